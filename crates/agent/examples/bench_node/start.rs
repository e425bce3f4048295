//! A thousand workloads at once: makers that make them as fast as the kernel does, a sender that sends
//! from each as soon as it can, and receivers at the node.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use crate::program::OPEN;
use crate::workload::{NODE, Netlink, WORKLOADS, Workload, enter, number};

/// What nobody may send to.
const SHUT: u16 = 7_001;
const MAKERS: usize = 4;
const GAP: Duration = Duration::from_millis(3);
const PATIENCE: Duration = Duration::from_secs(60);

/// What came about, all sorted.
pub struct Opened {
    /// From when the workload could send until the node had its first datagram.
    pub since_dressed: Vec<Duration>,
    /// From when the node's end of its interface was up.
    pub since_plugged: Vec<Duration>,
    /// Forbidden datagrams that came before all were open, and after.
    pub n_early: u64,
    pub n_late: u64,
    /// So long the last workload's interface came after the first one's.
    pub made_in: Duration,
}

/// Moments of one workload, in nanoseconds since the beginning; 0: not yet.
#[derive(Default)]
struct Moments {
    plugged: AtomicU64,
    dressed: AtomicU64,
    opened: AtomicU64,
}

struct Start {
    began: Instant,
    workloads: Vec<(Workload, Moments)>,
    n_opened: AtomicU64,
    n_shut: AtomicU64,
    is_over: AtomicBool,
}

impl Start {
    fn note(&self, moment: &AtomicU64) -> bool {
        let now = self.began.elapsed().as_nanos() as u64;
        moment.compare_exchange(0, now, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    fn make(&self, node: &str, maker: usize) {
        enter(node);
        let netlink = Netlink::open();
        for (workload, moments) in self.workloads.iter().skip(maker).step_by(MAKERS) {
            workload.plug(&netlink);
            self.note(&moments.plugged);
            workload.dress();
            self.note(&moments.dressed);
            workload.route(&netlink);
        }
    }

    /// Until the first datagram of every workload has come.
    fn send(&self) {
        while self.n_opened.load(Ordering::SeqCst) < u64::from(WORKLOADS) {
            let n_opened = self.n_opened.load(Ordering::SeqCst);
            assert!(self.began.elapsed() < PATIENCE, "only {n_opened} workloads are open");
            let is_waiting = |moments: &Moments| {
                moments.dressed.load(Ordering::SeqCst) > 0
                    && moments.opened.load(Ordering::SeqCst) == 0
            };
            for (workload, _) in self.workloads.iter().filter(|(_, moments)| is_waiting(moments)) {
                workload.send(SHUT);
                workload.send(OPEN);
            }
            std::thread::sleep(GAP);
        }
    }

    fn receive(&self, socket: &UdpSocket, hear: impl Fn(usize)) {
        while !self.is_over.load(Ordering::SeqCst) {
            if let Ok((_, SocketAddr::V4(from))) = socket.recv_from(&mut [0; 8]) {
                hear(number(*from.ip()) as usize);
            }
        }
    }

    fn times(&self, since: impl Fn(&Moments) -> &AtomicU64) -> Vec<Duration> {
        let time = |(_, moments): &(Workload, Moments)| {
            let opened = moments.opened.load(Ordering::SeqCst);
            Duration::from_nanos(opened.saturating_sub(since(moments).load(Ordering::SeqCst)))
        };
        let mut times: Vec<Duration> = self.workloads.iter().map(time).collect();
        times.sort();
        times
    }
}

fn listen(node: &str, port: u16) -> UdpSocket {
    let node = node.to_owned();
    let opened = std::thread::spawn(move || {
        enter(&node);
        let socket = UdpSocket::bind((NODE, port)).unwrap();
        setsockopt(&socket, sockopt::RcvBufForce, &(64 << 20)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        socket
    });
    opened.join().unwrap()
}

/// The namespaces are there before the time begins; what `node` is the name of is the node's own.
pub fn start_all(node: &str) -> (Opened, Vec<Workload>) {
    let mk_workloads = || (0..WORKLOADS).map(|n| (Workload::new(n), Moments::default())).collect();
    let workloads = std::thread::spawn(mk_workloads).join().unwrap();
    let (open, shut) = (listen(node, OPEN), listen(node, SHUT));
    let start = Start {
        began: Instant::now(),
        workloads,
        n_opened: AtomicU64::new(0),
        n_shut: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    };
    let (n_early, n_late) = std::thread::scope(|scope| {
        scope.spawn(|| {
            start.receive(&open, |n| {
                if start.note(&start.workloads[n].1.opened) {
                    start.n_opened.fetch_add(1, Ordering::SeqCst);
                }
            });
        });
        scope.spawn(|| {
            start.receive(&shut, |_| {
                start.n_shut.fetch_add(1, Ordering::SeqCst);
            });
        });
        let make = |maker| {
            let start = &start;
            scope.spawn(move || start.make(node, maker))
        };
        let makers: Vec<_> = (0..MAKERS).map(make).collect();
        start.send();
        makers.into_iter().for_each(|maker| maker.join().unwrap());
        // Everybody is open now: what is forbidden must not pass any more.
        std::thread::sleep(Duration::from_millis(500));
        let n_early = start.n_shut.load(Ordering::SeqCst);
        start.workloads.iter().for_each(|(workload, _)| workload.send(SHUT));
        std::thread::sleep(Duration::from_millis(500));
        start.is_over.store(true, Ordering::SeqCst);
        (n_early, start.n_shut.load(Ordering::SeqCst) - n_early)
    });
    let plugged = start.workloads.iter().map(|(_, at)| at.plugged.load(Ordering::SeqCst));
    let (first, last) = (plugged.clone().min().unwrap(), plugged.max().unwrap());
    let opened = Opened {
        since_dressed: start.times(|moments| &moments.dressed),
        since_plugged: start.times(|moments| &moments.plugged),
        n_early,
        n_late,
        made_in: Duration::from_nanos(last - first),
    };
    (opened, start.workloads.into_iter().map(|(workload, _)| workload).collect())
}

//! Updates under real traffic: every packet is judged by the old program or the new one.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bulkhead_wire::{ClassId, Judges, NodeProgram};

use crate::netns_node::enforce;
use crate::programs::Maker;
use crate::world::{StopOnDrop, World, inside, wait_for};

const PORT: u16 = 53;

/// The first pod may always reach the second, the third never; but the classes that say so and the
/// programs that read them change places with every revision. A program of one revision with classes
/// of another would deny the first pod, or let the third one in.
fn mk_program(world: &World, revision: u64) -> NodeProgram {
    let mut maker = Maker::new(revision);
    let (allow, deny) = (maker.allow(), maker.deny());
    let (friend, foe) = if revision.is_multiple_of(2) { (21, 22) } else { (22, 21) };
    let (friend, foe) = (ClassId(friend), ClassId(foe));
    let ingress = maker.judge(&deny, &[(friend, &allow), (foe, &deny)]);
    let own = Judges { ingress, egress: maker.judge(&allow, &[]) };
    let free = Judges { ingress: maker.judge(&allow, &[]), egress: maker.judge(&allow, &[]) };
    for (n, pod) in world.pods.iter().enumerate() {
        maker.endpoint(&pod.name, &pod.addresses(), if n == 1 { own } else { free });
        for address in pod.addresses().into_iter().filter(|_| n != 1) {
            maker.program.classes.insert(address.into(), if n == 0 { friend } else { foe });
        }
    }
    maker.program
}

/// A question from a new port each time.
fn ask(netns: &str, from: IpAddr, to: SocketAddr) -> bool {
    let socket = inside(netns, || UdpSocket::bind((from, 0)).unwrap());
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send_to(b"q", to).unwrap();
    socket.recv(&mut [0; 8]).is_ok()
}

#[test]
fn an_update_is_never_a_mixture_of_old_and_new() {
    let world = World::new(3);
    let (handle, _records) = world.start();
    enforce(&handle, mk_program(&world, 1));
    let [friend, server, foe] = world.pods.as_slice() else { panic!() };
    let target = server.v4_port(PORT);
    let listener = inside(&server.netns, || UdpSocket::bind(target).unwrap());
    listener.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let knocker = |n: u16| {
        inside(&foe.netns, || UdpSocket::bind((foe.v4, 20_000 + n)).unwrap())
            .send_to(b"knock", target)
            .unwrap()
    };
    let (stop, n_asked, n_knocked) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    let going = || !stop.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _stop = StopOnDrop(&stop);
            while going() {
                if let Ok((_, from)) = listener.recv_from(&mut [0; 8]) {
                    assert_eq!(from.ip(), IpAddr::from(friend.v4), "a foe came through");
                    listener.send_to(b"a", from).unwrap();
                }
            }
        });
        scope.spawn(|| {
            let _stop = StopOnDrop(&stop);
            while going() {
                assert!(ask(&friend.netns, friend.v4.into(), target), "a friend was denied");
                n_asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        scope.spawn(|| {
            let _stop = StopOnDrop(&stop);
            while going() {
                knocker(n_knocked.fetch_add(1, Ordering::Relaxed) as u16 % 40_000);
            }
        });
        let _stop = StopOnDrop(&stop);
        let until = Instant::now() + Duration::from_secs(3);
        let mut revision = 1;
        while Instant::now() < until {
            revision += 1;
            enforce(&handle, mk_program(&world, revision));
        }
        let enough = || {
            let n = n_asked.load(Ordering::Relaxed).min(n_knocked.load(Ordering::Relaxed));
            (n > 100).then_some(())
        };
        wait_for("enough questions", enough);
        assert!(revision > 50, "{revision} updates only");
    });
}

//! Watches a verdict from outside: one thread sends small packets without pause, another sees which
//! of them arrive.
//!
//! A sample is the time from the API's answer to the sending of the first packet that met the new
//! verdict. When a packet was sent is what counts, so a late look at it changes nothing.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use socket2::{Domain, Socket, Type};

use crate::lab::Lab;

/// Packets that must agree, one after another, before the new verdict is believed.
const AGREE: u64 = 4;
/// A packet that has not been seen after this time was dropped.
const LOST_AFTER: Duration = Duration::from_millis(3);
const GAP: Duration = Duration::from_micros(100);
const PATIENCE: Duration = Duration::from_secs(5);
/// Packets that are remembered; more than are sent in `PATIENCE`.
const REMEMBERED: usize = 1 << 17;

#[derive(Debug)]
struct Record {
    /// Nanoseconds since `began`, plus one; 0 before it is sent.
    sent: Vec<AtomicU64>,
    arrived: Vec<AtomicBool>,
    n_sent: AtomicU64,
    n_arrived: AtomicU64,
    stop: AtomicBool,
    began: Instant,
    gap: Duration,
}

#[derive(Debug)]
pub struct Prober {
    record: Arc<Record>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.record.stop.store(true, Ordering::SeqCst);
    }
}

impl Prober {
    pub async fn start(lab: &Lab, src: &str, dst: &str, port: u16) -> Result<Self> {
        Self::start_every(GAP, lab, src, dst, port).await
    }

    /// With another time between packets.
    pub async fn start_every(
        gap: Duration,
        lab: &Lab,
        src: &str,
        dst: &str,
        port: u16,
    ) -> Result<Self> {
        let (from, source) = lab.net().endpoint(src).await?;
        let (to, destination) = lab.net().endpoint(dst).await?;
        let address = destination.address(false).context("the destination has no IPv4 address")?;
        let at = SocketAddr::new(address, port);
        let src = SocketAddr::new(source.address(false).context("the source has no IPv4")?, 0);
        let receiver = lab.net().walker().within(&to, move || udp(at))?;
        let sender = lab.net().walker().within(&from, move || udp(src))?;
        sender.connect(at)?;
        let record = Arc::new(Record {
            sent: (0..REMEMBERED).map(|_| AtomicU64::new(0)).collect(),
            arrived: (0..REMEMBERED).map(|_| AtomicBool::new(false)).collect(),
            n_sent: AtomicU64::new(0),
            n_arrived: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            began: Instant::now(),
            gap,
        });
        let (a, b) = (Arc::clone(&record), Arc::clone(&record));
        let threads = vec![
            std::thread::Builder::new()
                .name("prober-send".into())
                .spawn(move || a.send(&sender))?,
            std::thread::Builder::new()
                .name("prober-see".into())
                .spawn(move || b.see(&receiver))?,
        ];
        Ok(Self { record, threads })
    }

    /// Time from `answered` to the first packet that met the verdict `passes`; checks that the
    /// packets after it meet it too.
    pub async fn first_after(&self, answered: Instant, passes: bool) -> Result<Duration> {
        let record = &self.record;
        let answered = record.nanos(answered);
        let mut next = record.first_sent_after(answered);
        let mut found = None;
        let mut agreed = 0;
        let until = Instant::now() + PATIENCE;
        while agreed < AGREE {
            if Instant::now() > until {
                bail!("no packet met the new verdict within {PATIENCE:?}");
            }
            match record.passed(next) {
                None => tokio::time::sleep(Duration::from_micros(500)).await,
                Some((sent, passed)) => {
                    next += 1;
                    if passed == passes {
                        found = found.or(Some(sent));
                        agreed += 1;
                    } else {
                        (found, agreed) = (None, 0);
                    }
                }
            }
        }
        Ok(Duration::from_nanos(found.unwrap_or(answered).saturating_sub(answered)))
    }

    /// How many packets were sent and how many arrived since the start.
    pub fn counts(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        (count(&self.record.n_sent), count(&self.record.n_arrived))
    }

    pub fn stop(mut self) -> Result<()> {
        self.record.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| anyhow!("a thread of the prober panicked"))??;
        }
        Ok(())
    }
}

impl Record {
    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX)
    }

    fn sent_at(&self, sequence: u64) -> Option<&AtomicU64> {
        self.sent.get(sequence as usize % REMEMBERED)
    }

    fn arrival(&self, sequence: u64) -> Option<&AtomicBool> {
        self.arrived.get(sequence as usize % REMEMBERED)
    }

    fn first_sent_after(&self, nanos: u64) -> u64 {
        let mut sequence = self.n_sent.load(Ordering::SeqCst);
        let later = |sequence: u64| {
            self.sent_at(sequence).is_some_and(|sent| sent.load(Ordering::SeqCst) > nanos)
        };
        while sequence > 0 && later(sequence - 1) {
            sequence -= 1;
        }
        sequence
    }

    /// When a packet was sent and whether it arrived; `None` while that is open.
    fn passed(&self, sequence: u64) -> Option<(u64, bool)> {
        if sequence >= self.n_sent.load(Ordering::SeqCst) {
            return None;
        }
        let sent = self.sent_at(sequence)?.load(Ordering::SeqCst).saturating_sub(1);
        if self.arrival(sequence)?.load(Ordering::SeqCst) {
            return Some((sent, true));
        }
        let age = self.nanos(Instant::now()).saturating_sub(sent);
        (u128::from(age) > LOST_AFTER.as_nanos()).then_some((sent, false))
    }

    fn send(&self, socket: &UdpSocket) -> Result<()> {
        // the kernel may otherwise round a sleep up by 50 µs
        nix::sys::prctl::set_timerslack(1)?;
        let mut sequence = 0_u64;
        while !self.stop.load(Ordering::SeqCst) {
            if let (Some(sent), Some(arrival)) = (self.sent_at(sequence), self.arrival(sequence)) {
                arrival.store(false, Ordering::SeqCst);
                sent.store(self.nanos(Instant::now()) + 1, Ordering::SeqCst);
            }
            // refused while nobody listens: the packet was sent all the same
            let _ = socket.send(&sequence.to_be_bytes());
            sequence += 1;
            self.n_sent.store(sequence, Ordering::SeqCst);
            std::thread::sleep(self.gap);
        }
        Ok(())
    }

    fn see(&self, socket: &UdpSocket) -> Result<()> {
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let mut bytes = [0; 8];
        while !self.stop.load(Ordering::SeqCst) {
            if matches!(socket.recv(&mut bytes), Ok(8))
                && let Some(arrival) = self.arrival(u64::from_be_bytes(bytes))
            {
                arrival.store(true, Ordering::SeqCst);
                self.n_arrived.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok(())
    }
}

/// A blocking socket with room for what comes while its thread waits for a core.
fn udp(at: SocketAddr) -> Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, None)?;
    socket.set_recv_buffer_size(4 << 20)?;
    socket.bind(&at.into()).with_context(|| format!("cannot bind {at}"))?;
    Ok(socket.into())
}

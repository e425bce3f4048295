//! What the worker waits for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until};

use super::alarm::Alarm;
use super::drains::Drains;
use super::hearing::Hearing;
use super::{Asked, Worker, failed};
use crate::kernel::linux::poll::wait_for;
use crate::netlink::far::{FarMonitor, Moved};
use crate::node::drift::LOOK_EVERY;
use crate::node::far::FarLooks;
use crate::node::{Command, EnforceError};

/// What there is to do.
pub enum Word {
    End,
    Asked(Command),
    /// Links, addresses or routes have moved.
    Moved,
    /// The same in containers' namespaces, as far as it is time to look there.
    FarMoved(Moved),
    /// An update wants to be finished.
    Settles,
    SweepDue,
    LookDue,
    /// Resolvers have answered.
    Answered,
    /// The kernel tells of packets and flows.
    Told,
}

pub struct Ears {
    moved: AsyncFd<OwnedFd>,
    far_monitor: FarMonitor,
    far_moved: AsyncFd<OwnedFd>,
    far_looks: FarLooks,
    told: AsyncFd<OwnedFd>,
    drains: Drains,
    alarm: Alarm,
    hearing: Hearing,
    sweep: Interval,
    look: Interval,
}

impl Ears {
    pub fn open(worker: &Worker) -> Result<Self, EnforceError> {
        let far_monitor = FarMonitor::open()?;
        Ok(Self {
            moved: ear(RTNETLINK, worker.monitor.as_fd())?,
            far_moved: ear(RTNETLINK, far_monitor.as_fd())?,
            far_monitor,
            far_looks: FarLooks::default(),
            told: ear(EVENTS, worker.backend.events())?,
            drains: Drains::new(Instant::now()),
            alarm: Alarm::of(worker.backend.as_ref())?,
            hearing: Hearing::of(worker.backend.as_ref())?,
            sweep: every(Duration::from_millis(worker.options.sweep_ms.max(10))),
            look: every(LOOK_EVERY),
        })
    }

    pub async fn next(&mut self, asked: &mut Asked, worker: &Worker) -> Result<Word, EnforceError> {
        loop {
            let grace = worker.backend.settles_in();
            let far_wait = self.far_looks.wait();
            let can_name = worker.program.is_some();
            tokio::select! {
                biased;
                _ = &mut asked.stopped => return Ok(Word::End),
                command = asked.commands.recv() => {
                    return Ok(command.map_or(Word::End, Word::Asked));
                }
                ready = heard(&self.moved, RTNETLINK) => return ready.map(|()| Word::Moved),
                ready = heard(&self.far_moved, RTNETLINK), if far_wait.is_none() => {
                    ready?;
                    self.far_looks.heard(self.far_monitor.drain());
                }
                () = sleep(far_wait.unwrap_or_default()), if far_wait.is_some() => {
                    return Ok(Word::FarMoved(self.far_looks.take()));
                }
                () = sleep(grace.unwrap_or_default()), if grace.is_some() => {
                    return Ok(Word::Settles);
                }
                _ = self.sweep.tick(), if can_name => return Ok(Word::SweepDue),
                () = sleep_until(self.drains.next), if can_name => return Ok(Word::Told),
                _ = self.look.tick() => return Ok(Word::LookDue),
                rang = self.alarm.rings() => return rang.map(|()| Word::LookDue),
                ready = self.hearing.ready(), if can_name => {
                    return ready.map(|()| Word::Answered);
                }
                ready = heard(&self.told, EVENTS), if can_name => {
                    return ready.map(|()| Word::Told);
                }
            }
        }
    }

    /// Takes what resolvers have answered.
    pub fn hear(&mut self, worker: &mut Worker) {
        self.hearing.hear(worker.backend.as_mut());
        self.drain(worker);
    }

    /// Takes what the kernel tells of packets and flows.
    pub fn drain(&mut self, worker: &mut Worker) {
        let was_something = worker.backend.drain(&mut worker.sink);
        self.drains.done(was_something, Instant::now());
    }
}

const RTNETLINK: &str = "rtnetlink";
const EVENTS: &str = "the events";

fn ear(what: &str, fd: BorrowedFd<'_>) -> Result<AsyncFd<OwnedFd>, EnforceError> {
    wait_for(fd).map_err(|error| failed(&poll(what), &error))
}

fn poll(what: &str) -> String {
    format!("poll {what}")
}

async fn heard(ear: &AsyncFd<OwnedFd>, what: &str) -> Result<(), EnforceError> {
    let ready: io::Result<_> = ear.readable().await;
    ready.map_err(|error| failed(&poll(what), &error))?.clear_ready();
    Ok(())
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

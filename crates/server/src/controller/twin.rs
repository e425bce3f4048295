//! The model in which no rule asks for an HTTP request, kept beside the model as long as it is asked
//! for.
//!
//! Making it takes as long as compiling everything. So it is made elsewhere, of the store as it was,
//! and what happens meanwhile is written down: no program waits for it.

use bulkhead_policy::reach::{Open, Reach, open};
use bulkhead_policy::rule::Moment;
use bulkhead_policy::{Engine, Event};
use tokio::sync::oneshot;

use super::held::Held;

#[derive(Debug, Default)]
pub enum Twin {
    #[default]
    Unknown,
    Making(Making),
    Ready(Box<Open>),
}

#[derive(Debug)]
pub struct Making {
    made: oneshot::Receiver<Option<Open>>,
    /// What has happened since.
    missed: Vec<Event>,
}

impl Twin {
    pub fn make(held: Held, moment: Moment) -> Self {
        let (to, made) = oneshot::channel();
        tokio::task::spawn_blocking(move || drop(to.send(read(&held, moment))));
        Self::Making(Making { made, missed: Vec::new() })
    }

    /// `event` is asked for only where it matters.
    pub fn apply(&mut self, event: impl FnOnce() -> Event) {
        match self {
            Self::Unknown => {}
            Self::Making(making) => making.missed.push(without_requests(event())),
            Self::Ready(twin) => twin.engine.apply(without_requests(event())),
        }
    }

    pub fn compile(&mut self, now: Moment) {
        let Self::Ready(twin) = self else { return };
        let Open { engine, reach } = twin.as_mut();
        engine.advance(now);
        engine.take_changes();
        let watched = engine.take_watched();
        reach.follow(engine, &watched);
    }

    /// Waits until it is made; for ever where it is not in the making. `None`: the store has forgotten
    /// of what it was to be made.
    pub async fn made(&mut self) -> Option<Open> {
        match self {
            Self::Making(making) => (&mut making.made).await.ok().flatten(),
            Self::Unknown | Self::Ready(_) => std::future::pending().await,
        }
    }

    /// Takes in what [`Twin::made`] gave.
    pub fn take(&mut self, made: Option<Open>, now: Moment) {
        let Self::Making(Making { missed, .. }) = std::mem::take(self) else { return };
        let Some(mut twin) = made else { return };
        missed.into_iter().for_each(|event| twin.engine.apply(event));
        *self = Self::Ready(Box::new(twin));
        self.compile(now);
    }

    pub fn ready(&mut self) -> Option<&mut Open> {
        match self {
            Self::Ready(twin) => Some(twin),
            Self::Unknown | Self::Making(_) => None,
        }
    }
}

fn without_requests(event: Event) -> Event {
    match event {
        Event::Upsert(object) => Event::Upsert(open(object)),
        Event::Delete(key) => Event::Delete(key),
    }
}

fn read(held: &Held, moment: Moment) -> Option<Open> {
    let mut engine = Engine::new();
    engine.watch();
    engine.advance(moment);
    for object in held.everything()? {
        engine.apply(Event::Upsert(open(object)));
    }
    engine.take_changes();
    engine.take_watched();
    let reach = Reach::of(&engine);
    Some(Open { engine, reach })
}

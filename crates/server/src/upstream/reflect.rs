//! One kind, heard without gaps: a whole list, then every change of it, and anew after any error.
//!
//! A watch goes on from where it was only when it has ended at its own time. After everything else the
//! kind is listed again: the server may have lost history, or come back with other state. Where the
//! connection broke, all kinds are; see [`Link`].

use std::time::{Duration, Instant};

use bulkhead_apimachinery::kinds::Resource;
use futures::StreamExt;
use kube::Client;
use kube::core::params::{ListParams, WatchParams};
use kube::core::{Request, WatchEvent};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::assemble::{Heard, Word};
use super::backoff::{Backoff, PAUSE_MAX};
use super::lean::lean;
use super::link::Link;
use crate::random;

/// Objects of one page of a list.
pub const PAGE_ITEMS_MAX: u32 = 500;
/// A request must be answered in this time; of a watch, its beginning.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// A watch is renewed after this, before a balancer in between takes it for idle (60 s and more): a
/// connection that died silently is noticed then.
pub const WATCH_LASTS: Duration = Duration::from_secs(50);
/// What a watch may end before or after its time.
const WATCH_SLACK: Duration = Duration::from_secs(10);
/// How often a kind that the server does not have is looked for.
pub const ABSENT_LOOK_EVERY: Duration = Duration::from_secs(10);
/// A kind that was there must be missing so often before its objects are taken to be gone: a server
/// that starts may not know all of its kinds yet.
const ABSENT_LOOKS_MIN: u32 = 6;

pub struct Reflector {
    client: Client,
    resource: &'static Resource,
    words: mpsc::Sender<Word>,
    link: Link,
    look_every: Duration,
    backoff: Backoff,
    /// Whether the server has ever had the kind.
    was_there: bool,
    n_missing: u32,
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMeta,
    #[serde(default)]
    items: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMeta {
    resource_version: Option<String>,
    r#continue: Option<String>,
}

/// Why something came to its end.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the API server has no such kind")]
    NotInstalled,
    /// The server answers, but not with what was asked for.
    #[error("the API server answers {code} {reason}: {message}")]
    Refused { code: u16, reason: String, message: String },
    #[error("the connection broke: {0}")]
    Cut(String),
    #[error("another kind's connection broke")]
    OtherCut,
    #[error("nobody listens any more")]
    Deaf,
}

impl Reflector {
    pub fn new(
        client: Client,
        resource: &'static Resource,
        words: mpsc::Sender<Word>,
        link: Link,
        look_every: Duration,
    ) -> Self {
        let backoff = Backoff::default();
        Self { client, resource, words, link, look_every, backoff, was_there: false, n_missing: 0 }
    }

    /// Until nobody listens.
    pub async fn run(mut self) {
        loop {
            let generation = self.link.generation();
            let start = Instant::now();
            let Err(broken) = self.hear(generation).await;
            if start.elapsed() >= PAUSE_MAX {
                self.backoff.reset();
            }
            if let Broken::Deaf = broken {
                return;
            }
            tracing::debug!(kind = self.resource.kind, %broken, "to be heard anew");
            self.pause(generation, broken).await;
        }
    }

    /// A whole list and its changes.
    async fn hear(&mut self, generation: u64) -> Result<std::convert::Infallible, Broken> {
        let (objects, mut version) = tokio::select! {
            listed = self.list() => listed?,
            () = self.link.is_cut(generation) => return Err(Broken::OtherCut),
        };
        self.link.answered();
        self.was_there = true;
        self.n_missing = 0;
        self.say(Heard::Listed { generation, objects }).await?;
        loop {
            let followed = tokio::select! {
                followed = self.follow(&mut version) => followed,
                () = self.link.is_cut(generation) => Err(Broken::OtherCut),
            };
            if let Err(Broken::Cut(_)) = followed {
                self.link.cut(generation);
            }
            followed?;
        }
    }

    async fn pause(&mut self, generation: u64, broken: Broken) {
        let mut length = self.backoff.next(random::number());
        let is_cut = matches!(broken, Broken::Cut(_));
        match broken {
            Broken::NotInstalled => {
                self.n_missing = self.n_missing.saturating_add(1);
                self.link.answered();
                if !self.was_there || self.n_missing >= ABSENT_LOOKS_MIN {
                    self.was_there = false;
                    // Deafness shows with the next word.
                    drop(self.say(Heard::NotInstalled { generation }).await);
                    length = self.look_every;
                }
            }
            Broken::OtherCut => return,
            other => drop(self.say(Heard::Failed(other.to_string())).await),
        }
        tokio::select! {
            () = sleep(length) => {}
            () = self.link.is_answered(), if is_cut => {}
            // What is known of a kind that is not there is known anew, too.
            () = self.link.is_cut(generation), if !is_cut => {}
        }
    }

    async fn list(&self) -> Result<(Vec<(bulkhead_store::Key, Value)>, String), Broken> {
        match self.pages(Some(PAGE_ITEMS_MAX)).await {
            // History ended between two pages.
            Err(Broken::Refused { code: 410, .. }) => self.pages(None).await,
            listed => listed,
        }
    }

    async fn pages(
        &self,
        limit: Option<u32>,
    ) -> Result<(Vec<(bulkhead_store::Key, Value)>, String), Broken> {
        let request = Request::new(path(self.resource));
        let mut params = ListParams { limit, ..ListParams::default() };
        let mut objects = Vec::new();
        loop {
            let asked = request.list(&params).map_err(|error| Broken::Cut(error.to_string()))?;
            let page: Page = answered(self.client.request(asked)).await?;
            objects.extend(page.items.into_iter().filter_map(|item| lean(self.resource, item)));
            match page.metadata.r#continue.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok((objects, page.metadata.resource_version.unwrap_or_default())),
            }
        }
    }

    /// Returns when the watch has ended at its time.
    async fn follow(&self, version: &mut String) -> Result<(), Broken> {
        let seconds = u32::try_from(WATCH_LASTS.as_secs()).unwrap_or(u32::MAX);
        let params = WatchParams::default().timeout(seconds);
        let asked = Request::new(path(self.resource))
            .watch(&params, version)
            .map_err(|error| Broken::Cut(error.to_string()))?;
        let start = Instant::now();
        let events = answered(self.client.request_events::<Value>(asked)).await?;
        let mut events = std::pin::pin!(events);
        loop {
            let left = (WATCH_LASTS + WATCH_SLACK).saturating_sub(start.elapsed());
            match timeout(left, events.next()).await {
                Err(_) => return Err(Broken::Cut("the watch is silent past its end".to_owned())),
                Ok(None) if start.elapsed() + WATCH_SLACK >= WATCH_LASTS => return Ok(()),
                Ok(None) => return Err(Broken::Cut("the watch ended before its time".to_owned())),
                Ok(Some(Err(error))) => return Err(broken(error)),
                Ok(Some(Ok(event))) => self.take(event, version).await?,
            }
        }
    }

    async fn take(&self, event: WatchEvent<Value>, version: &mut String) -> Result<(), Broken> {
        let (object, is_there) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, true),
            WatchEvent::Deleted(object) => (object, false),
            WatchEvent::Bookmark(bookmark) => {
                *version = bookmark.metadata.resource_version;
                return Ok(());
            }
            WatchEvent::Error(status) => return Err(refused(&status)),
        };
        let now = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        if let Some(now) = now {
            now.clone_into(version);
        }
        match lean(self.resource, object) {
            Some((key, value)) if is_there => self.say(Heard::Put(key, value)).await,
            Some((key, _)) => self.say(Heard::Removed(key)).await,
            None => Ok(()),
        }
    }

    async fn say(&self, heard: Heard) -> Result<(), Broken> {
        let word = Word { kind: self.resource.id, heard };
        self.words.send(word).await.map_err(|_| Broken::Deaf)
    }
}

/// The collection of a kind, over all namespaces.
pub fn path(resource: &Resource) -> String {
    format!("{}/{}", group_path(resource), resource.plural)
}

pub fn group_path(resource: &Resource) -> String {
    match resource.group {
        "" => format!("/api/{}", resource.version),
        group => format!("/apis/{group}/{}", resource.version),
    }
}

async fn answered<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Broken> {
    match timeout(ANSWER_MAX, request).await {
        Ok(answer) => answer.map_err(broken),
        Err(_) => Err(Broken::Cut(format!("no answer within {} s", ANSWER_MAX.as_secs()))),
    }
}

fn broken(error: kube::Error) -> Broken {
    match error {
        kube::Error::Api(status) => refused(&status),
        other => Broken::Cut(chain(&other)),
    }
}

fn refused(status: &kube::core::Status) -> Broken {
    if status.code == 404 {
        return Broken::NotInstalled;
    }
    let (reason, message) = (status.reason.clone(), status.message.clone());
    Broken::Refused { code: status.code, reason, message }
}

/// An error with what is behind it: the first one often says only that something failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

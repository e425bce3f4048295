//! Watch: a stream of JSON lines that ends by timeout, by shutdown, or when history has gone by.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode};
use bulkhead_apimachinery::kinds::Resource;
use bulkhead_apimachinery::status::{Reason, Status};
use bulkhead_store::{Event, Expired, ListRequest, ResourceVersion, Store, Stored, Watch};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::accept::{Accepted, Encoding, Form};
use super::answer::{Answer, bytes, expired};
use super::options::{Options, Version};
use super::path::Target;
use super::selection::Selection;
use super::show::{self, Include, Shown};
use crate::shutdown::Shutdown;
use crate::state::AppState;

/// Watches at a time, over all clients.
pub const WATCHES_MAX: usize = 4096;
/// A watch without a timeout of its own ends after this.
const WATCH_DEFAULT: Duration = Duration::from_secs(30 * 60);
const WATCH_MAX: Duration = Duration::from_secs(24 * 3600);
/// How often a watch that asked for bookmarks is told how far it has come.
const BOOKMARK_PERIOD: Duration = Duration::from_secs(20);
/// Lines that one chunk of the response carries.
const CHUNK_LINES_MAX: usize = 256;

pub fn watch(
    state: &AppState,
    target: &Target,
    options: &Options,
    accepted: Accepted,
    slot: OwnedSemaphorePermit,
) -> Answer {
    if accepted.encoding != Encoding::Json {
        let message = "watches are served as application/json only";
        return Err(Status::new(Reason::NotAcceptable, message));
    }
    let selection = Selection::parse(target.resource, options)?;
    let lines = Lines {
        resource: target.resource,
        form: accepted.form,
        include: Include::from_options(options),
        selection,
        n_tables: 0,
    };
    let timeout = options.timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(WATCH_DEFAULT);
    let session = Session::open(state.store.as_ref(), target, options, lines);
    let stream = Stream {
        session: Some(session),
        bookmarks: options.bookmarks,
        deadline: Instant::now() + timeout.min(WATCH_MAX),
        shutdown: state.shutdown.clone(),
        _slot: slot,
    };
    let body = futures::stream::unfold(stream, |mut stream| async move {
        let chunk = stream.next().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), stream))
    });
    let json = HeaderValue::from_static("application/json");
    Ok(bytes(StatusCode::OK, json, Body::from_stream(body)))
}

/// A watch in progress.
struct Stream {
    /// `None` once the last line has been sent.
    session: Option<Session>,
    bookmarks: bool,
    deadline: Instant,
    shutdown: Shutdown,
    _slot: OwnedSemaphorePermit,
}

enum Session {
    Open {
        watch: Watch,
        backlog: VecDeque<Initial>,
        lines: Lines,
    },
    /// The watch cannot be served: as upstream, that is an event, not an HTTP status.
    Refused(Status),
}

/// What a watch that begins with the current state sends before any event.
enum Initial {
    Object(Arc<Stored>),
    /// The state was complete as of this revision.
    End(ResourceVersion),
}

impl Stream {
    async fn next(&mut self) -> Option<Vec<u8>> {
        match self.session.take()? {
            Session::Refused(status) => Some(error_line(&status)),
            Session::Open { watch, mut backlog, mut lines } if !backlog.is_empty() => {
                let n_lines = backlog.len().min(CHUNK_LINES_MAX);
                let chunk = backlog.drain(..n_lines).flat_map(|initial| lines.initial(&initial));
                let chunk = chunk.collect();
                self.session = Some(Session::Open { watch, backlog, lines });
                Some(chunk)
            }
            Session::Open { mut watch, backlog, mut lines } => {
                let chunk = self.follow(&mut watch, &mut lines).await?;
                if let Chunk::More(_) = &chunk {
                    self.session = Some(Session::Open { watch, backlog, lines });
                }
                let (Chunk::More(bytes) | Chunk::Last(bytes)) = chunk;
                Some(bytes)
            }
        }
    }

    /// Waits for what comes first: events, time for a bookmark, or the end.
    async fn follow(&self, watch: &mut Watch, lines: &mut Lines) -> Option<Chunk> {
        loop {
            let bookmark_at = Instant::now() + BOOKMARK_PERIOD;
            tokio::select! {
                next = watch.next() => match next? {
                    Ok(events) => {
                        let chunk = lines.events(&events);
                        if !chunk.is_empty() {
                            return Some(Chunk::More(chunk));
                        }
                    }
                    Err(error) => return Some(Chunk::Last(error_line(&expired(error)))),
                },
                () = tokio::time::sleep_until(bookmark_at), if self.bookmarks => {
                    return Some(Chunk::More(lines.bookmark(watch.seen(), false)));
                }
                () = tokio::time::sleep_until(self.deadline) => {
                    return self.bookmarks.then(|| Chunk::Last(lines.bookmark(watch.seen(), false)));
                }
                () = self.shutdown.wait() => return None,
            }
        }
    }
}

enum Chunk {
    More(Vec<u8>),
    Last(Vec<u8>),
}

impl Session {
    fn open(store: &dyn Store, target: &Target, options: &Options, lines: Lines) -> Self {
        let starts_with_state = match (options.send_initial_events, options.version) {
            (Some(asked), _) => asked,
            (None, Version::Latest | Version::Any) => true,
            (None, _) => false,
        };
        let opened = if starts_with_state {
            let is_streaming_list = options.send_initial_events == Some(true);
            Self::from_state(store, target, is_streaming_list, &lines)
        } else {
            let from = match options.version {
                Version::From(from) | Version::NotOlderThan(from) if from.0 > 0 => from,
                _ => store.revision(),
            };
            store.watch(from, target.scope()).map(|watch| (watch, VecDeque::new()))
        };
        match opened {
            Ok((watch, backlog)) => Session::Open { watch, backlog, lines },
            Err(error) => Session::Refused(expired(error)),
        }
    }

    /// The current objects as `ADDED`, then whatever happens to them.
    fn from_state(
        store: &dyn Store,
        target: &Target,
        is_streaming_list: bool,
        lines: &Lines,
    ) -> Result<(Watch, VecDeque<Initial>), Expired> {
        let keep = |stored: &Stored| lines.selection.matches(&stored.value);
        let request = ListRequest { keep: &keep, ..ListRequest::all(target.scope()) };
        let page = store.list(&request)?;
        let watch = store.watch(page.revision, target.scope())?;
        let mut backlog: VecDeque<_> = page.items.into_iter().map(Initial::Object).collect();
        if is_streaming_list {
            backlog.push_back(Initial::End(page.revision));
        }
        Ok((watch, backlog))
    }
}

/// Turns events into the lines that one client sees.
struct Lines {
    resource: &'static Resource,
    form: Form,
    include: Include,
    selection: Selection,
    /// Column definitions are sent with the first table only.
    n_tables: usize,
}

impl Lines {
    fn initial(&mut self, initial: &Initial) -> Vec<u8> {
        match initial {
            Initial::Object(stored) => self.line("ADDED", &stored.value),
            Initial::End(revision) => self.bookmark(*revision, true),
        }
    }

    fn events(&mut self, events: &[Arc<Event>]) -> Vec<u8> {
        events.iter().filter_map(|event| self.event(event)).flatten().collect()
    }

    /// An object that comes into the selection is added to it, one that leaves it is deleted.
    fn event(&mut self, event: &Event) -> Option<Vec<u8>> {
        let old = event.old.as_ref().filter(|old| self.selection.matches(&old.value));
        let new = event.new.as_ref().filter(|new| self.selection.matches(&new.value));
        match (old, new) {
            (None, Some(new)) => Some(self.line("ADDED", &new.value)),
            (Some(_), Some(new)) => Some(self.line("MODIFIED", &new.value)),
            (Some(old), None) => {
                let mut last = old.value.clone();
                if let Some(metadata) = last.get_mut("metadata").and_then(Value::as_object_mut) {
                    let revision = event.revision.to_string();
                    metadata.insert("resourceVersion".to_owned(), Value::String(revision));
                }
                Some(self.line("DELETED", &last))
            }
            (None, None) => None,
        }
    }

    fn line(&mut self, kind: &str, object: &Value) -> Vec<u8> {
        let mut shown = show::object(self.resource, object, self.form, self.include);
        if let (Form::Table, Shown::Made(table)) = (self.form, &mut shown) {
            if self.n_tables > 0
                && let Some(table) = table.as_object_mut()
            {
                table.insert("columnDefinitions".to_owned(), Value::Null);
            }
            self.n_tables += 1;
        }
        line(kind, &shown)
    }

    fn bookmark(&self, revision: ResourceVersion, ends_initial_events: bool) -> Vec<u8> {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if ends_initial_events && let Some(metadata) = metadata.as_object_mut() {
            let end = json!({"k8s.io/initial-events-end": "true"});
            metadata.insert("annotations".to_owned(), end);
        }
        let (api_version, kind) = match self.form {
            Form::Object => (self.resource.api_version(), self.resource.kind),
            Form::Table => ("meta.k8s.io/v1".to_owned(), "Table"),
            Form::Metadata => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadata"),
        };
        let object = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
        line("BOOKMARK", &object)
    }
}

fn line(kind: &str, object: &impl Serialize) -> Vec<u8> {
    let mut line = format!("{{\"type\":\"{kind}\",\"object\":").into_bytes();
    // JSON values always serialise; were it otherwise, the client sees a line it cannot read.
    if let Err(error) = serde_json::to_writer(&mut line, object) {
        tracing::error!(%error, "an object cannot be written as JSON");
    }
    line.extend_from_slice(b"}\n");
    line
}

fn error_line(status: &Status) -> Vec<u8> {
    line("ERROR", &status.to_value())
}

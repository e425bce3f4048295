//! The contract that every back end keeps.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch::Receiver;

use crate::error::{CommitError, Expired};
use crate::event::Stored;
use crate::key::{Key, ResourceVersion, Scope};
use crate::watch::Watch;
use crate::write::{Batch, Committed};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An object database with one history. Reads are answered from memory and never block.
pub trait Store: Send + Sync + 'static {
    /// The latest revision that readers can see.
    fn revision(&self) -> ResourceVersion;

    /// The latest revision as a channel, to wait for one that is not here yet.
    fn revisions(&self) -> Receiver<ResourceVersion>;

    /// False once a disk error has made the store read-only.
    fn is_writable(&self) -> bool;

    fn get(&self, key: &Key) -> Option<Arc<Stored>>;

    /// Objects in the order of their keys, all as of one revision.
    fn list(&self, request: &ListRequest<'_>) -> Result<Page, Expired>;

    /// Every change after `from`, in order and without gaps.
    fn watch(&self, from: ResourceVersion, scope: Scope) -> Result<Watch, Expired>;

    /// Applies the batch whole or not at all; answers once it is durable.
    ///
    /// A caller that gives up waiting does not undo the batch.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, CommitError>>;
}

pub struct ListRequest<'a> {
    pub scope: Scope,
    /// The latest when unset.
    pub at: Option<ResourceVersion>,
    /// Only keys after this one: where the page before ended.
    pub after: Option<Key>,
    /// At most so many objects.
    pub limit: usize,
    pub keep: &'a (dyn Fn(&Stored) -> bool + Sync),
}

impl ListRequest<'_> {
    /// All of it, now.
    pub fn all(scope: Scope) -> ListRequest<'static> {
        ListRequest { scope, at: None, after: None, limit: usize::MAX, keep: &|_| true }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub revision: ResourceVersion,
    pub items: Vec<Arc<Stored>>,
    /// Objects that the limit cut off; the next page starts after the last item.
    pub n_remaining: usize,
}

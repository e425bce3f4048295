//! Creation: names, namespaces, and identities.

use std::sync::Arc;

use bulkhead_apimachinery::kinds::Resource;
use bulkhead_apimachinery::meta;
use bulkhead_apimachinery::status::{Reason, Status};
use bulkhead_apimachinery::write::{self, Subresource};
use bulkhead_store::{Batch, Expect, Write};
use jiff::Timestamp;
use serde_json::Value;

use super::namespace::namespace_key;
use super::options::Draw;
use crate::confirm;

use super::{ATTEMPTS_MAX, Attempt, Objects, Place, WriteOptions, Written, contended};

impl Objects {
    /// Creates `object` in `namespace`, which is empty for cluster-scoped kinds.
    pub async fn create(
        &self,
        resource: &'static Resource,
        namespace: &str,
        object: Value,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let is_named = !meta::name(&object).is_empty();
        for _ in 0..ATTEMPTS_MAX {
            match self.try_create(resource, namespace, object.clone(), options).await {
                Ok(Attempt::Done(written)) => return Ok(written),
                Ok(Attempt::Again) => {}
                // A generated name that is taken is drawn again.
                Err(error) if !is_named && error.reason == Reason::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(contended(resource, meta::name(&object)))
    }

    async fn try_create(
        &self,
        resource: &'static Resource,
        namespace: &str,
        object: Value,
        options: &WriteOptions,
    ) -> Result<Attempt<Written>, Status> {
        let draw = Draw::new()?;
        let collection = Place { resource, namespace, name: "" };
        let request = draw.request(collection, Subresource::None, options);
        let mut draft = write::create(&request, object)?;
        confirm::arrange(None, &mut draft.object, Timestamp::now())?;
        let name = meta::name(&draft.object).to_owned();
        self.put_new(Place { name: &name, ..collection }, draft, options).await
    }

    /// Commits an object that is not there yet, on the condition that its namespace is.
    pub(super) async fn put_new(
        &self,
        place: Place<'_>,
        draft: write::Written,
        options: &WriteOptions,
    ) -> Result<Attempt<Written>, Status> {
        let home = self.home(place)?;
        if self.store.get(&place.key()).is_some() {
            return Err(Status::already_exists(place.resource, place.name));
        }
        let mut batch = Batch::from(Write::create(place.key(), draft.object.clone()));
        if let Some(home) = home {
            batch = batch.guarded(namespace_key(place.namespace), Expect::At(home.revision));
        }
        self.put(place, batch, draft, true, options).await
    }

    /// Commits `batch`, whose only write is about `place`; a dry run only says what it would be.
    pub(super) async fn put(
        &self,
        place: Place<'_>,
        batch: Batch,
        draft: write::Written,
        is_new: bool,
        options: &WriteOptions,
    ) -> Result<Attempt<Written>, Status> {
        let write::Written { object, warnings, .. } = draft;
        let stored = if options.dry_run {
            Arc::new(self.unwritten(place, object))
        } else {
            let committed = match self.try_commit(batch).await? {
                Attempt::Done(committed) => committed,
                Attempt::Again => return Ok(Attempt::Again),
            };
            let outcome = committed.objects.into_iter().next().flatten();
            outcome.ok_or_else(|| Status::internal("the write has no outcome"))?
        };
        Ok(Attempt::Done(Written { stored, is_new, warnings }))
    }
}

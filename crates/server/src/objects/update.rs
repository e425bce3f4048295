//! Replacing, patching and applying.

use std::sync::Arc;

use bulkhead_apimachinery::meta;
use bulkhead_apimachinery::patch::PatchType;
use bulkhead_apimachinery::status::{Reason, Status};
use bulkhead_apimachinery::write::{self, Request, Subresource};
use bulkhead_store::{Batch, Key, Stored, Write};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::confirm;

use super::options::Draw;
use super::{
    ATTEMPTS_MAX, Attempt, Objects, Patch, Place, SERVER_MANAGER, WriteOptions, Written, contended,
};

/// How one state follows another.
enum Change<'a> {
    Replace(&'a Value),
    Patch(&'a Patch),
    /// By the server itself.
    Edit(&'a (dyn Fn(&mut Value) + Send + Sync)),
}

impl Objects {
    /// Puts `object` in the place of the one that is there.
    pub async fn update(
        &self,
        place: Place<'_>,
        subresource: Subresource,
        object: &Value,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        self.alter(place, subresource, Change::Replace(object), options).await
    }

    /// Patches what is there. Only an apply may find nothing and create.
    pub async fn patch(
        &self,
        place: Place<'_>,
        subresource: Subresource,
        patch: &Patch,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        self.alter(place, subresource, Change::Patch(patch), options).await
    }

    /// A change by the server itself, of anything but the status.
    pub async fn edit(
        &self,
        place: Place<'_>,
        edit: impl Fn(&mut Value) + Send + Sync,
    ) -> Result<Written, Status> {
        let options = WriteOptions::by(SERVER_MANAGER);
        self.alter(place, Subresource::None, Change::Edit(&edit), &options).await
    }

    /// A change of `status` by the server itself; `None` when the object is gone.
    pub async fn update_status(
        &self,
        key: &Key,
        edit: impl Fn(&mut Value) + Send + Sync,
    ) -> Result<Option<Arc<Stored>>, Status> {
        let Some(place) = Place::of(key) else { return Ok(None) };
        let edit = |object: &mut Value| {
            if let Some(fields) = object.as_object_mut() {
                edit(fields.entry("status").or_insert_with(|| Value::Object(Map::new())));
            }
        };
        let options = WriteOptions::by(SERVER_MANAGER);
        match self.alter(place, Subresource::Status, Change::Edit(&edit), &options).await {
            Ok(written) => Ok(Some(written.stored)),
            Err(error) if error.reason == Reason::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn alter(
        &self,
        place: Place<'_>,
        subresource: Subresource,
        change: Change<'_>,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        for _ in 0..ATTEMPTS_MAX {
            let (draw, live) = (Draw::new()?, self.store.get(&place.key()));
            let request = draw.request(place, subresource, options);
            let old = live.as_ref().map(|live| &live.value);
            let mut draft = decide(&request, old, &change)?;
            confirm::arrange(old, &mut draft.object, Timestamp::now())?;
            let attempt = match &live {
                Some(live) => self.put_over(place, live, draft, options).await?,
                None => self.put_new(place, draft, options).await?,
            };
            if let Attempt::Done(written) = attempt {
                return Ok(written);
            }
        }
        Err(contended(place.resource, place.name))
    }

    /// Commits what follows `live`: nothing when it is the same, a deletion when the last finalizer
    /// of an object that is being deleted is gone.
    async fn put_over(
        &self,
        place: Place<'_>,
        live: &Arc<Stored>,
        draft: write::Written,
        options: &WriteOptions,
    ) -> Result<Attempt<Written>, Status> {
        if !draft.changed {
            let (stored, warnings) = (Arc::clone(live), draft.warnings);
            return Ok(Attempt::Done(Written { stored, is_new: false, warnings }));
        }
        let batch: Batch = if !place.is_namespace() && meta::is_released(&draft.object) {
            Write::delete(place.key(), live.revision).into()
        } else {
            Write::replace(place.key(), live.revision, draft.object.clone()).into()
        };
        self.put(place, batch, draft, false, options).await
    }
}

/// What shall stand in the place of `live`.
fn decide(
    request: &Request<'_>,
    live: Option<&Value>,
    change: &Change<'_>,
) -> Result<write::Written, Status> {
    if let Change::Patch(Patch { kind: PatchType::Apply, body }) = change {
        return write::apply(request, live, body.clone());
    }
    let live = live.ok_or_else(|| Status::not_found(request.resource, request.name))?;
    match change {
        Change::Replace(object) => write::replace(request, live, (*object).clone()),
        Change::Patch(patch) => write::patch(request, live, patch.kind, &patch.body),
        Change::Edit(edit) => {
            let mut object = live.clone();
            edit(&mut object);
            write::replace(request, live, object)
        }
    }
}

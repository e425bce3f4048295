//! Status where the objects are: at the API server, as a merge patch of the status alone.
//!
//! A patch names the resourceVersion that it was made of, so that it never undoes what somebody else
//! wrote beside it; whoever came first wins, and the writer comes again.

use bulkhead_apimachinery::kinds::Resource;
use bulkhead_store::{Key, Store};
use kube::core::Request;
use kube::core::params::{Patch, PatchParams};
use serde_json::{Map, Value, json};

use super::Upstream;
use super::reflect::{group_path, path};
use crate::objects::{Place, SERVER_MANAGER};

#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    #[error("the API server does not take it: {0}")]
    Refused(#[from] Box<kube::Error>),
    #[error("somebody else wrote at the same time")]
    Moved,
}

impl Upstream {
    /// Writes what `edit` makes of the status. An object that is gone, and a kind that has no status or
    /// whose status may not be written, is nothing to come back for.
    pub async fn update_status(
        &self,
        key: &Key,
        edit: impl Fn(&mut Value),
    ) -> Result<(), PatchError> {
        let (Some(place), Some(stored)) = (Place::of(key), self.mirror().get(key)) else {
            return Ok(());
        };
        let resource = place.resource;
        if self.lock().is_unwritten(resource.id) {
            return Ok(());
        }
        let before = stored.value.get("status").cloned().unwrap_or_else(|| json!({}));
        let mut after = before.clone();
        edit(&mut after);
        let Some(changed) = changed(&before, &after) else { return Ok(()) };
        let version = stored.value.pointer("/metadata/resourceVersion");
        let patch = json!({"metadata": {"resourceVersion": version}, "status": changed});
        match self.patch_status(&place, &patch).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) => match status.code {
                404 | 405 => {
                    self.learn_of_status(resource).await;
                    Ok(())
                }
                400 | 403 | 422 => {
                    self.cannot_write(resource, &status.message);
                    Ok(())
                }
                409 => Err(PatchError::Moved),
                _ => Err(PatchError::Refused(Box::new(kube::Error::Api(status)))),
            },
            Err(error) => Err(PatchError::Refused(Box::new(error))),
        }
    }

    async fn patch_status(&self, place: &Place<'_>, patch: &Value) -> kube::Result<Value> {
        let collection = match place.namespace {
            "" => path(place.resource),
            namespace => {
                let group = group_path(place.resource);
                format!("{group}/namespaces/{namespace}/{}", place.resource.plural)
            }
        };
        let params = PatchParams {
            field_manager: Some(SERVER_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let request = Request::new(collection)
            .patch_subresource("status", place.name, &params, &Patch::Merge(patch))
            .map_err(kube::Error::BuildRequest)?;
        self.0.client.request(request).await
    }

    /// Not found: is it the object that is gone, or has the kind no status there?
    async fn learn_of_status(&self, resource: &Resource) {
        let Ok(request) = axum::http::Request::get(group_path(resource)).body(Vec::new()) else {
            return;
        };
        let Ok(list) = self.0.client.request::<Value>(request).await else { return };
        let wanted = format!("{}/status", resource.plural);
        let mut names = list.get("resources").and_then(Value::as_array).into_iter().flatten();
        if !names.any(|one| one.get("name").and_then(Value::as_str) == Some(&wanted)) {
            self.cannot_write(resource, "the API server keeps no status of this kind");
        }
    }

    fn cannot_write(&self, resource: &Resource, why: &str) {
        tracing::warn!(kind = resource.kind, %why, "its status is not written");
        self.lock().cannot_write(resource.id, why);
    }
}

/// The fields of a status that differ; `None` where none does.
fn changed(before: &Value, after: &Value) -> Option<Map<String, Value>> {
    let fields = after.as_object()?;
    let differs = |(name, value): &(&String, &Value)| before.get(*name) != Some(*value);
    let changed: Map<String, Value> =
        fields.iter().filter(differs).map(|(name, value)| (name.clone(), value.clone())).collect();
    (!changed.is_empty()).then_some(changed)
}

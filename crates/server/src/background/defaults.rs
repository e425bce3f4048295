//! Objects that are always there: the `default` namespace and the tiers of the policy model.

use bulkhead_api::object::Kind;
use bulkhead_apimachinery::kinds;
use bulkhead_apimachinery::status::Status;
use serde_json::{Value, json};

use crate::objects::{Objects, Place, SERVER_MANAGER, WriteOptions};

/// Tier, order, default action. A lower order is judged first.
const TIERS: &[(&str, u32, &str)] = &[
    ("kube-admin", 1_000, "Pass"),
    ("default", 1_000_000, "Deny"),
    ("kube-baseline", 10_000_000, "Pass"),
];

/// Creates what is missing; what is there is left as it is.
pub async fn ensure(objects: &Objects) -> Result<(), Status> {
    ensure_one(objects, Kind::Namespace, "", "default", json!({})).await?;
    objects.ensure_default_account("default").await?;
    for (name, order, action) in TIERS {
        let spec = json!({"order": order, "defaultAction": action});
        ensure_one(objects, Kind::Tier, "", name, json!({"spec": spec})).await?;
    }
    Ok(())
}

async fn ensure_one(
    objects: &Objects,
    kind: Kind,
    namespace: &str,
    name: &str,
    mut object: Value,
) -> Result<(), Status> {
    let resource = kinds::by_id(kind);
    let place = Place { resource, namespace, name };
    if objects.store().get(&place.key()).is_some() {
        return Ok(());
    }
    if let Some(fields) = object.as_object_mut() {
        fields.insert("metadata".to_owned(), json!({"name": name}));
    }
    match objects.create(resource, namespace, object, &WriteOptions::by(SERVER_MANAGER)).await {
        Err(error) if error.code() != 409 => Err(error),
        _ => Ok(()),
    }
}

impl Objects {
    /// Every namespace has a service account that its pods run as when they name none.
    pub async fn ensure_default_account(&self, namespace: &str) -> Result<(), Status> {
        ensure_one(self, Kind::ServiceAccount, namespace, "default", json!({})).await
    }
}

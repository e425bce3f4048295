//! A pod from its owner's template.

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::object::{Object, ObjectKey};

/// The representative of `owner`; `None` where it has no template.
pub(super) fn pod(owner: &Object, key: &ObjectKey, name: String) -> Option<Pod> {
    let template = of(owner)?;
    let written = template.metadata.clone().unwrap_or_default();
    let mut labels = written.labels.unwrap_or_default();
    for (label, value) in added_labels(owner, &key.name) {
        labels.entry(label.to_owned()).or_insert(value);
    }
    let (api_version, kind) = key.kind.api();
    let made_by = OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: key.name.clone(),
        uid: owner.metadata().uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    };
    let metadata = ObjectMeta {
        name: Some(name),
        namespace: Some(key.namespace.clone()),
        labels: Some(labels).filter(|labels| !labels.is_empty()),
        annotations: written.annotations,
        owner_references: Some(vec![made_by]),
        ..ObjectMeta::default()
    };
    Some(Pod { metadata, spec: template.spec.clone(), status: None })
}

fn of(owner: &Object) -> Option<&PodTemplateSpec> {
    Some(match owner {
        Object::Deployment(o) => &o.spec.as_ref()?.template,
        Object::ReplicaSet(o) => o.spec.as_ref()?.template.as_ref()?,
        Object::StatefulSet(o) => &o.spec.as_ref()?.template,
        Object::DaemonSet(o) => &o.spec.as_ref()?.template,
        Object::Job(o) => &o.spec.as_ref()?.template,
        Object::CronJob(o) => &o.spec.as_ref()?.job_template.spec.as_ref()?.template,
        Object::ReplicationController(o) => o.spec.as_ref()?.template.as_ref()?,
        _ => return None,
    })
}

/// Labels that controllers add and that are known beforehand; of a StatefulSet, its first pod's.
fn added_labels(owner: &Object, name: &str) -> Vec<(&'static str, String)> {
    match owner {
        Object::Job(_) => {
            vec![("job-name", name.to_owned()), ("batch.kubernetes.io/job-name", name.to_owned())]
        }
        Object::StatefulSet(_) => vec![
            ("statefulset.kubernetes.io/pod-name", format!("{name}-0")),
            ("apps.kubernetes.io/pod-index", "0".to_owned()),
        ],
        _ => Vec::new(),
    }
}

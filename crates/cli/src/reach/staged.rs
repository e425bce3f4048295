//! The world as it would be once every staged action was taken.

use std::collections::BTreeMap;

use bulkhead_api::calico::StagedAction;
use bulkhead_api::object::Kind;
use bulkhead_api::{Object, ObjectKey};
use k8s_openapi::api::networking::v1::NetworkPolicy as KubernetesNetworkPolicy;

/// A staged policy takes the place of the enforced one of its name, or takes it away.
pub fn enforced(objects: Vec<Object>) -> Vec<Object> {
    let (staged, mut rest): (Vec<Object>, Vec<Object>) =
        objects.into_iter().partition(|object| twin(object).is_some());
    let mut actions: BTreeMap<ObjectKey, Option<Object>> = BTreeMap::new();
    for object in &staged {
        let Some((kind, action, twin)) = twin(object) else { continue };
        let key = ObjectKey { kind, ..object.key() };
        match action {
            StagedAction::Set => actions.insert(key, Some(twin)),
            StagedAction::Delete => actions.insert(key, None),
            StagedAction::Learn | StagedAction::Ignore => None,
        };
    }
    rest.retain(|object| !actions.contains_key(&object.key()));
    rest.extend(actions.into_values().flatten());
    rest
}

/// What a staged policy would be once enforced.
fn twin(object: &Object) -> Option<(Kind, StagedAction, Object)> {
    let (action, twin) = match object {
        Object::StagedNetworkPolicy(staged) => {
            let (metadata, spec) = (staged.metadata.clone(), staged.spec.policy.clone());
            let twin = bulkhead_api::calico::NetworkPolicy { metadata, spec };
            (staged.spec.staged_action, Object::NetworkPolicy(Box::new(twin)))
        }
        Object::StagedGlobalNetworkPolicy(staged) => {
            let (metadata, spec) = (staged.metadata.clone(), staged.spec.policy.clone());
            let twin = bulkhead_api::calico::GlobalNetworkPolicy { metadata, spec };
            (staged.spec.staged_action, Object::GlobalNetworkPolicy(Box::new(twin)))
        }
        Object::StagedKubernetesNetworkPolicy(staged) => {
            let (metadata, spec) = (staged.metadata.clone(), Some(staged.spec.policy.clone()));
            let twin = KubernetesNetworkPolicy { metadata, spec };
            (staged.spec.staged_action, Object::KubernetesNetworkPolicy(Box::new(twin)))
        }
        _ => return None,
    };
    Some((twin.kind(), action.unwrap_or_default(), twin))
}

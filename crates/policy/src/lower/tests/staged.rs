//! Staged policies, and policies that expire.

use serde_json::{Value, json};

use super::{clean, lower, mk_gnp, mk_knp, mk_np, show};
use crate::lower as lowering;
use crate::rule::{Moment, Order, Staged};
use bulkhead_api::Object;
use bulkhead_types::PolicyKind;

fn mk_staged(kind: &str, mut object: Value, action: Option<&str>) -> Value {
    object["apiVersion"] = json!("projectcalico.org/v3");
    object["kind"] = json!(kind);
    if let Some(action) = action {
        object["spec"]["stagedAction"] = json!(action);
    }
    object
}

#[test]
fn a_staged_policy_is_read_as_its_enforced_twin() {
    let rules = || json!({"selector": "app == 'db'", "order": 5, "ingress": [{"action": "Allow"}]});
    for (object, kind) in
        [(mk_np(rules()), "NetworkPolicy"), (mk_gnp(rules()), "GlobalNetworkPolicy")]
    {
        let enforced = clean(object.clone());
        let staged = clean(mk_staged(&format!("Staged{kind}"), object, None));
        assert_eq!(staged.staged, Some(Staged::Set));
        assert_eq!(staged.twin(), Some(enforced.id.clone()));
        assert_eq!(
            (&staged.subject, staged.order, &staged.ingress),
            (&enforced.subject, enforced.order, &enforced.ingress)
        );
        assert!(enforced.twin().is_none());
    }
    let spec = json!({"podSelector": {}, "ingress": [{}]});
    let staged = clean(mk_staged("StagedKubernetesNetworkPolicy", mk_knp(spec), None));
    assert_eq!((staged.tier.as_str(), staged.order), ("default", Order::new(Some(1000.0))));
    assert_eq!(staged.twin().map(|twin| twin.kind), Some(PolicyKind::KubernetesNetworkPolicy));
}

#[test]
fn a_staged_policy_stands_where_its_twin_would() {
    let named = |kind: Option<&str>, name: &str| {
        let mut object = mk_np(json!({"ingress": []}));
        object["metadata"]["name"] = json!(name);
        clean(kind.map_or(object.clone(), |kind| mk_staged(kind, object, None)))
    };
    let staged = named(Some("StagedNetworkPolicy"), "b");
    assert_eq!(named(None, "a").precedence(&staged), std::cmp::Ordering::Less);
    assert_eq!(named(None, "c").precedence(&staged), std::cmp::Ordering::Greater);
}

#[test]
fn delete_has_no_rules_and_learn_and_ignore_say_nothing() {
    let staged =
        |action: &str, spec: Value| mk_staged("StagedNetworkPolicy", mk_np(spec), Some(action));
    let policy = clean(staged("Delete", json!({})));
    assert_eq!((policy.staged, policy.ingress, policy.egress), (Some(Staged::Delete), None, None));
    let (policy, said) = lower(staged("Delete", json!({"ingress": [{"action": "Allow"}]})));
    assert_eq!(policy.ingress, None);
    assert!(said[0].contains("its rules say nothing"), "{said:?}");
    for action in ["Learn", "Ignore"] {
        let object = Object::from_value(staged(action, json!({}))).expect("an object");
        assert!(lowering::policy(&object).is_none(), "{action}");
    }
}

const NOON: &str = "2030-01-31T12:00:00Z";

fn noon() -> Moment {
    lowering::moment(NOON).expect("a moment")
}

#[test]
fn a_policy_expires_by_its_spec_or_by_an_annotation() {
    assert_eq!(noon(), Moment(1_896_091_200_000_000_000));
    let annotated = |mut object: Value, text: &str| {
        object["metadata"]["annotations"] = json!({"bulkhead.dev/expires": text});
        object
    };
    assert_eq!(clean(mk_np(json!({"expires": NOON}))).expires, Some(noon()));
    assert_eq!(
        clean(mk_gnp(json!({"expires": "2030-01-31T14:00:00+02:00"}))).expires,
        Some(noon())
    );
    let kubernetes = || mk_knp(json!({"podSelector": {}}));
    assert_eq!(clean(annotated(kubernetes(), NOON)).expires, Some(noon()));
    assert_eq!(clean(annotated(mk_np(json!({"expires": NOON})), NOON)).expires, Some(noon()));
    assert_eq!(clean(kubernetes()).expires, None);
    let policy = clean(mk_np(json!({"expires": NOON})));
    assert!(policy.is_expired(noon()));
    assert!(!policy.is_expired(Moment(noon().0 - 1)));
}

#[test]
fn a_policy_whose_end_is_unreadable_denies_for_ever() {
    let allow = || json!([{"action": "Allow"}]);
    let mut contradicting = mk_np(json!({"expires": NOON, "ingress": allow()}));
    contradicting["metadata"]["annotations"] =
        json!({"bulkhead.dev/expires": "2030-01-31T12:00:01Z"});
    for (object, message) in [
        (mk_np(json!({"expires": "tomorrow", "ingress": allow()})), "`tomorrow` is not a moment"),
        (mk_np(json!({"expires": "", "ingress": allow()})), "`` is not a moment"),
        (contradicting, "says another moment than `spec.expires`"),
    ] {
        let (policy, said) = lower(object);
        assert_eq!(show::rules(policy.ingress.as_deref()), Some(vec!["0 deny".to_owned()]));
        assert_eq!(policy.expires, None);
        assert!(said[0].contains(message), "{said:?}");
        assert!(said[0].ends_with("does not expire"), "{said:?}");
    }
}

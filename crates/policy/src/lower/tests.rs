//! Lowering, row by row. `check` shows a lowered policy as text, one line a rule, so that a test can
//! be read aloud.

mod beyond;
mod calico;
mod closed;
mod cluster;
mod kubernetes;
mod show;
mod staged;

use bulkhead_api::Object;
use serde_json::{Value, json};

use crate::lower::{self, Severity};
use crate::rule::Policy;

/// Lowers a policy that nothing is wrong with.
fn clean(object: Value) -> Policy {
    let (policy, said) = lower(object);
    assert!(said.is_empty(), "{said:?}");
    policy
}

/// The policy, and what was said about it: `error spec.x: message; effect`.
fn lower(object: Value) -> (Policy, Vec<String>) {
    let object = Object::from_value(object).expect("an object of a known kind");
    let (policy, said) = lower::policy(&object).expect("an object that carries a policy");
    let said = said.iter().map(|d| {
        let severity = match d.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        format!("{severity} {d}")
    });
    (policy, said.collect())
}

fn check(object: Value, ingress: Option<&[&str]>, egress: Option<&[&str]>) {
    let policy = clean(object);
    assert_eq!(show::rules(policy.ingress.as_deref()), show::owned(ingress), "ingress");
    assert_eq!(show::rules(policy.egress.as_deref()), show::owned(egress), "egress");
}

fn mk_np(spec: Value) -> Value {
    json!({
        "apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": "shop"}, "spec": spec,
    })
}

fn mk_gnp(spec: Value) -> Value {
    json!({
        "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "p"}, "spec": spec,
    })
}

fn mk_knp(spec: Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": "shop"}, "spec": spec,
    })
}

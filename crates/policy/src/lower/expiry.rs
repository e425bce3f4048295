//! When a policy stops applying: `spec.expires`, or for any kind the annotation
//! `bulkhead.dev/expires`.

use std::fmt::Display;

use bulkhead_api::Object;

use super::{Diagnostic, Notes, Severity, calico};
use crate::rule::{Moment, Policy};

pub const ANNOTATION: &str = "bulkhead.dev/expires";

/// Nobody knows how long a policy with an unreadable end was meant to allow, so it denies, for ever.
pub fn read(object: &Object, policy: &mut Policy, notes: &mut Notes) {
    let annotations = object.metadata().annotations.as_ref();
    let annotated = annotations.and_then(|list| list.get(ANNOTATION)).map(String::as_str);
    let at = format_args!("metadata.annotations[{ANNOTATION}]");
    let ((spec, annotation), intact) = notes.reading(EFFECT, |notes| {
        let mut read = |text: Option<&str>, field: &dyn Display| {
            let moment = moment(text?);
            if moment.is_none() {
                let shown: String = text?.chars().take(64).collect();
                let message = format!(
                    "`{}` is not a moment such as `2030-01-31T18:00:00Z`",
                    shown.escape_debug()
                );
                notes.error(field, message);
            }
            moment
        };
        let found = (read(in_spec(object), &"spec.expires"), read(annotated, &at));
        if let (Some(spec), Some(annotation)) = found
            && spec != annotation
        {
            notes.error(at, "says another moment than `spec.expires`: keep one of them");
        }
        found
    });
    policy.expires = spec.or(annotation).filter(|_| intact);
    if !intact {
        calico::close(policy);
    }
}

/// When the object's policy ends, where it says so readably and in one voice.
pub fn expires(object: &Object) -> Option<Moment> {
    let annotations = object.metadata().annotations.as_ref();
    let annotated = annotations.and_then(|list| list.get(ANNOTATION)).map(String::as_str);
    let moments = [in_spec(object), annotated].map(|text| text.and_then(moment));
    match moments {
        [Some(spec), Some(annotation)] => (spec == annotation).then_some(spec),
        [spec, annotation] => spec.or(annotation),
    }
}

const EFFECT: &str = "the policy denies everything in its directions and does not expire";

/// Reads RFC 3339.
pub fn moment(text: &str) -> Option<Moment> {
    text.trim().parse::<jiff::Timestamp>().ok().map(|t| Moment(t.as_nanosecond()))
}

/// What is to be said of a policy that has expired.
pub fn expired(policy: &Policy) -> Diagnostic {
    let at = policy.expires.and_then(|Moment(at)| jiff::Timestamp::from_nanosecond(at).ok());
    let at = at.map(|at| at.to_string()).unwrap_or_default();
    Diagnostic {
        object: (&policy.id).into(),
        severity: Severity::Note,
        field: "spec.expires".to_owned(),
        message: format!("expired at {at}: the policy no longer applies"),
        effect: "",
    }
}

fn in_spec(object: &Object) -> Option<&str> {
    match object {
        Object::NetworkPolicy(o) => o.spec.expires.as_deref(),
        Object::GlobalNetworkPolicy(o) => o.spec.common.expires.as_deref(),
        Object::StagedNetworkPolicy(o) => o.spec.policy.expires.as_deref(),
        Object::StagedGlobalNetworkPolicy(o) => o.spec.policy.common.expires.as_deref(),
        Object::ClusterNetworkPolicy(o) => o.spec.expires.as_deref(),
        Object::AdminNetworkPolicy(o) => o.spec.expires.as_deref(),
        Object::BaselineAdminNetworkPolicy(o) => o.spec.expires.as_deref(),
        _ => None,
    }
}

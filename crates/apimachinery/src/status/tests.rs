use serde_json::json;

use super::*;
use crate::kinds;

fn netpol() -> &'static Resource {
    kinds::by_kind("networking.k8s.io/v1", "NetworkPolicy").unwrap()
}

#[test]
fn an_invalid_object_is_answered_with_422_the_field_and_the_rule() {
    let errors = [
        FieldError::invalid("spec.a", &json!(0), "must be between 1 and 65535, inclusive"),
        FieldError::required("spec.b", "say which"),
    ];
    let status = Status::invalid(netpol(), "web", &errors);
    assert_eq!(
        status.message,
        "NetworkPolicy.networking.k8s.io \"web\" is invalid: [spec.a: Invalid value: 0: must be \
         between 1 and 65535, inclusive, spec.b: Required value: say which]"
    );
    let value = status.to_value();
    assert_eq!(value["code"], 422);
    assert_eq!(value["reason"], "Invalid");
    assert_eq!(value["details"]["kind"], "NetworkPolicy");
    assert_eq!(
        value["details"]["causes"][1],
        json!({"reason": "FieldValueRequired", "message": "Required value: say which", "field": "spec.b"})
    );
}

#[test]
fn a_single_error_stands_without_brackets() {
    let status = Status::invalid(netpol(), "web", &[FieldError::required("spec.b", "")]);
    assert_eq!(
        status.message,
        "NetworkPolicy.networking.k8s.io \"web\" is invalid: spec.b: Required value"
    );
}

#[test]
fn missing_and_doubled_objects_are_named_by_plural_and_group() {
    let pod = kinds::by_kind("v1", "Pod").unwrap();
    assert_eq!(Status::not_found(pod, "a").message, "pods \"a\" not found");
    let twice = Status::already_exists(netpol(), "a");
    assert_eq!(twice.message, "networkpolicies.networking.k8s.io \"a\" already exists");
    assert_eq!((twice.code(), twice.reason.word().as_str()), (409, "AlreadyExists"));
}

#[test]
fn a_stale_write_is_answered_with_the_words_that_clients_look_for() {
    let text = Status::conflict(netpol(), "a").message;
    assert_eq!(
        text,
        "Operation cannot be fulfilled on networkpolicies.networking.k8s.io \"a\": the object has \
         been modified; please apply your changes to the latest version and try again"
    );
}

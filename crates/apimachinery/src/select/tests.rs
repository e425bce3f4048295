use serde_json::json;

use super::*;
use crate::kinds;

fn labelled() -> Value {
    json!({"metadata": {"labels": {"app": "web", "tier": "front", "n": "5", "a.b/c": ""}}})
}

#[test]
fn label_queries_match_as_kubectl_users_expect() {
    let cases = [
        ("", true),
        ("app", true),
        ("!app", false),
        ("!gone", true),
        ("app=web", true),
        ("app==web", true),
        ("app!=web", false),
        ("gone!=x", true),
        ("app in (api, web)", true),
        ("app in (api),tier", false),
        ("app notin (api,db)", true),
        ("gone notin (api)", true),
        ("gone in (api)", false),
        ("app=web,tier=front,!gone", true),
        ("app=web,tier=back", false),
        ("n>4", true),
        ("n<5", false),
        ("a.b/c=", true),
        ("app in(web)", true),
    ];
    for (query, expected) in cases {
        assert_eq!(LabelQuery::parse(query).unwrap().matches(&labelled()), expected, "{query}");
    }
}

#[test]
fn unreadable_label_queries_are_400_and_say_why() {
    for query in ["a b", "a=b=c", "-=x", "a in b", "a in (b", "a,,b", "x>y", "a=has space"] {
        let refused = LabelQuery::parse(query).expect_err(query);
        assert_eq!(refused.code(), 400);
        assert!(refused.message.contains(&format!("{query:?}")), "{refused}");
    }
}

#[test]
fn field_queries_know_the_fields_of_the_kind() {
    let pod = kinds::by_kind("v1", "Pod").unwrap();
    let object = json!({"metadata": {"name": "a", "namespace": "n"}, "spec": {"nodeName": "x"}});
    let on = |text: &str| FieldQuery::parse(pod, text).unwrap().matches(&object);
    assert!(on("metadata.name=a,spec.nodeName=x,status.phase!=Failed"));
    assert!(!on("spec.nodeName!=x"));
    assert!(on("status.phase="));
    assert_eq!(FieldQuery::parse(pod, "metadata.name=a").unwrap().name(), Some("a"));
    let tier = kinds::by_kind("projectcalico.org/v3", "Tier").unwrap();
    let refused = FieldQuery::parse(tier, "spec.nodeName=x").unwrap_err();
    assert_eq!(refused.message, "field label not supported: spec.nodeName");
}

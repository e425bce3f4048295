use serde_json::json;

use super::*;

fn object(order: i64, annotations: Value) -> Value {
    json!({"metadata": {"name": "p", "annotations": annotations}, "spec": {"order": order}})
}

/// What `object` makes of this order.
fn was(order: i64) -> Option<Before> {
    Some(Before::Was(Content::of(&object(order, json!({})))))
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn arranged(live: Option<&Value>, mut object: Value) -> Value {
    arrange(live, &mut object, now()).unwrap();
    object
}

#[test]
fn a_change_keeps_what_was_there_before_until_it_is_confirmed() {
    let first = object(1, json!({}));
    let second = arranged(Some(&first), object(2, json!({WITHIN: "90s"})));
    assert_eq!(deadline(&second), Some("2026-01-01T00:01:30Z".parse().unwrap()));
    assert_eq!(before(&second), was(1));
    assert!(annotation(&second, WITHIN).is_none());

    let mut confirmed = second.clone();
    annotations(&mut confirmed).unwrap().remove(BY);
    let confirmed = arranged(Some(&second), confirmed);
    assert_eq!((deadline(&confirmed), before(&confirmed)), (None, None));

    let mut back = second.clone();
    let Some(Before::Was(content)) = before(&second) else { panic!("nothing is kept") };
    take_back(&mut back, &content, now());
    let back = arranged(Some(&second), back);
    assert_eq!((back["spec"]["order"].as_i64(), before(&back)), (Some(1), None));
}

#[test]
fn a_second_change_keeps_the_first_ones_past_and_its_own_time() {
    let first = object(1, json!({}));
    let second = arranged(Some(&first), object(2, json!({WITHIN: "90s"})));
    let mut third = second.clone();
    third["spec"]["order"] = 3.into();
    let without_a_wish = arranged(Some(&second), third.clone());
    assert_eq!(deadline(&without_a_wish), deadline(&second));
    annotations(&mut third).unwrap().insert(WITHIN.to_owned(), "5m".into());
    let third = arranged(Some(&second), third);
    assert_eq!(before(&third), was(1));
    assert_eq!(deadline(&third), Some("2026-01-01T00:05:00Z".parse().unwrap()));
}

#[test]
fn what_is_new_becomes_nothing_again_and_what_is_the_same_needs_no_word() {
    let new = arranged(None, object(1, json!({WITHIN: "1h"})));
    assert_eq!(before(&new), Some(Before::Nothing));
    let settled = object(1, json!({}));
    let same = arranged(Some(&settled), object(1, json!({WITHIN: "1h"})));
    assert_eq!(deadline(&same), None);
}

#[test]
fn nobody_makes_a_past_by_hand_and_times_have_bounds() {
    let forged = json!({BY: "2027-01-01T00:00:00Z", UNCONFIRMED: "null"});
    let live = object(1, json!({}));
    let written = arranged(Some(&live), object(1, forged.clone()));
    assert_eq!(before(&written), None);
    assert_eq!(before(&arranged(None, object(1, forged))), None);
    for wrong in ["", "s", "4s", "25h", "1d", "-9s", "9999999999999999999s"] {
        let mut object = object(1, json!({WITHIN: wrong}));
        let error = arrange(None, &mut object, now()).unwrap_err();
        assert!(error.message.contains("no time to confirm in"), "{wrong}: {}", error.message);
    }
}

#[test]
fn labels_and_content_outside_of_spec_are_taken_back_too() {
    let mk = |role: &str, port: u16, wish: Value| {
        json!({
            "apiVersion": "v1", "kind": "Any",
            "metadata": {"name": "e", "labels": {"role": role}, "annotations": wish},
            "endpoints": [{"port": port}], "status": {"seen": port},
        })
    };
    let first = mk("edge", 1, json!({}));
    for second in [mk("other", 1, json!({WITHIN: "90s"})), mk("edge", 2, json!({WITHIN: "90s"}))] {
        let mut second = arranged(Some(&first), second);
        let Some(Before::Was(content)) = before(&second) else { panic!("not pending: {second}") };
        second["status"] = json!({"seen": "later"});
        take_back(&mut second, &content, now());
        assert_eq!(second["metadata"]["labels"], json!({"role": "edge"}));
        assert_eq!(second["endpoints"], first["endpoints"]);
        assert_eq!(second["status"]["seen"], "later", "status is not a part of a change");
    }
    // From nothing, and back.
    let bare = json!({"metadata": {"name": "e", "annotations": {}}});
    let mut labelled = arranged(Some(&bare), mk("edge", 1, json!({WITHIN: "90s"})));
    let Some(Before::Was(content)) = before(&labelled) else { panic!("not pending: {labelled}") };
    take_back(&mut labelled, &content, now());
    assert_eq!((labelled.get("endpoints"), labelled["metadata"].get("labels")), (None, None));
}

#[test]
fn what_an_older_server_kept_is_put_back_and_leaves_labels_alone() {
    let kept = json!({BY: "2027-01-01T00:00:00Z", UNCONFIRMED: "{\"spec\":{\"order\":1}}"});
    let mut pending = object(2, kept);
    pending["metadata"]["labels"] = json!({"role": "edge"});
    let Some(Before::Was(content)) = before(&pending) else { panic!("not pending") };
    take_back(&mut pending, &content, now());
    assert_eq!(pending["spec"]["order"], 1);
    assert_eq!(pending["metadata"]["labels"], json!({"role": "edge"}));
}

use serde_json::json;

use super::*;

fn mk_labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_node_may_say_where_it_stands_and_not_what_it_may_do() {
    let rules = LabelRules::default();
    for key in
        ["cloud.bulkhead.dev/tag.team", "host.bulkhead.dev/rack", "topology.kubernetes.io/zone"]
    {
        assert!(rules.allows(key), "{key}");
    }
    for key in [
        "role",
        "node-role.kubernetes.io/control-plane",
        "topology.kubernetes.io/zone-2",
        "projectcalico.org/created-by",
        "evil/cloud.bulkhead.dev/x",
    ] {
        assert!(!rules.allows(key), "{key}");
    }
}

#[test]
fn what_a_node_no_longer_says_goes_and_what_others_said_stays() {
    let mut node = json!({"metadata": {"name": "n1", "labels": {"a/kept": "theirs"}}});
    put(&mut node, &mk_labels(&[("a/kept", "mine"), ("a/zone", "z1"), ("a/rack", "r1")]));
    assert_eq!(
        node["metadata"]["labels"],
        json!({"a/kept": "theirs", "a/zone": "z1", "a/rack": "r1"})
    );
    assert_eq!(node["metadata"]["annotations"][OWN_KEYS], "a/rack,a/zone");
    put(&mut node, &mk_labels(&[("a/zone", "z2")]));
    assert_eq!(node["metadata"]["labels"], json!({"a/kept": "theirs", "a/zone": "z2"}));
    put(&mut node, &Labels::new());
    assert_eq!(
        node["metadata"],
        json!({"name": "n1", "labels": {"a/kept": "theirs"}, "annotations": {}})
    );
}

use super::*;

fn mk_labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_cloud_init_file_says_where_the_instance_stands() {
    let text = r#"{
        "ds": {"meta_data": {"instance-type": "m5.large",
               "tags": {"instance": {"team": "shop", "Cost Centre": "4 2"}}}},
        "v1": {"region": "eu-west-1", "availability_zone": "eu-west-1b", "instance_id": "i-0abc",
               "cloud_name": "aws"}
    }"#;
    let wanted = mk_labels(&[
        ("cloud.bulkhead.dev/instance-id", "i-0abc"),
        ("cloud.bulkhead.dev/instance-type", "m5.large"),
        ("cloud.bulkhead.dev/provider", "aws"),
        ("cloud.bulkhead.dev/region", "eu-west-1"),
        ("cloud.bulkhead.dev/tag.team", "shop"),
        ("cloud.bulkhead.dev/zone", "eu-west-1b"),
        ("node.kubernetes.io/instance-type", "m5.large"),
        ("topology.kubernetes.io/region", "eu-west-1"),
        ("topology.kubernetes.io/zone", "eu-west-1b"),
    ]);
    assert_eq!(of_text(text).unwrap(), wanted);
}

#[test]
fn a_flat_file_says_the_same() {
    let lines = "# written by hand\nREGION=\"eu-west-1\"\nzone = eu-west-1b\ntag.team=shop\n";
    let json = r#"{"region": "eu-west-1", "zone": "eu-west-1b", "tags": {"team": "shop"}}"#;
    assert_eq!(of_text(lines).unwrap(), of_text(json).unwrap());
    assert_eq!(of_text(lines).unwrap().len(), 5);
    assert!(of_text("no key and no value").is_err() && of_text("{ no json").is_err());
}

#[test]
fn a_flag_is_a_label_of_the_host_and_comes_before_a_file() {
    let label = |text| parse_label(text).unwrap();
    assert_eq!(label("rack=r1"), ("host.bulkhead.dev/rack".to_owned(), "r1".to_owned()));
    for bad in ["rack", "=r1", "rack=-", "a b=c", "rack=r 1", "Bad/key=x", "/x=y"] {
        assert!(parse_label(bad).is_err(), "{bad}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metadata");
    std::fs::write(&file, "zone=z1\nregion=r1\n").unwrap();
    let said = labels(&[label("topology.kubernetes.io/zone=z2")], &[&file]).unwrap();
    assert_eq!(said["topology.kubernetes.io/zone"], "z2");
    assert_eq!(said["topology.kubernetes.io/region"], "r1");
    assert!(labels(&[], &[folder.path().join("none")]).is_err(), "a file that is not there");
}

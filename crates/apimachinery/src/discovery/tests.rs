use super::*;

#[test]
fn every_served_kind_is_in_the_legacy_and_the_aggregated_lists() {
    let aggregated = [aggregated_core(Aggregated::V2), aggregated_groups(Aggregated::V2)];
    for resource in kinds::all() {
        let list = resources(resource.group, resource.version).unwrap();
        let names: Vec<&Value> =
            list["resources"].as_array().unwrap().iter().map(|r| &r["name"]).collect();
        assert!(names.contains(&&Value::from(resource.plural)), "{}", resource.plural);
        let found =
            aggregated.iter().flat_map(|doc| doc["items"].as_array().unwrap()).any(|group| {
                let versions = group["versions"].as_array().unwrap();
                versions.iter().flat_map(|v| v["resources"].as_array().unwrap()).any(|r| {
                    r["resource"] == resource.plural && r["responseKind"]["group"] == resource.group
                })
            });
        assert!(found, "{}", resource.plural);
    }
}

#[test]
fn groups_are_listed_once_and_the_core_group_apart() {
    let list = groups();
    let names: Vec<&str> =
        list["groups"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
    let expected = [
        "discovery.k8s.io",
        "networking.k8s.io",
        "projectcalico.org",
        "policy.networking.k8s.io",
        "bulkhead.dev",
    ];
    assert_eq!(names, expected);
    let policies = group("policy.networking.k8s.io").unwrap();
    assert_eq!(policies["versions"].as_array().unwrap().len(), 2);
    assert_eq!(policies["preferredVersion"]["version"], "v1alpha2");
    assert!(group("nope.example").is_none());
    assert!(resources("networking.k8s.io", "v2").is_none());
    assert_eq!(group("bulkhead.dev").unwrap()["kind"], "APIGroup");
}

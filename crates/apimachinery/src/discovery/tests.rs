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
                group["versions"][0]["resources"].as_array().unwrap().iter().any(|r| {
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
    let expected = ["discovery.k8s.io", "networking.k8s.io", "projectcalico.org", "bulkhead.dev"];
    assert_eq!(names, expected);
    assert!(group("nope.example").is_none());
    assert!(resources("networking.k8s.io", "v2").is_none());
    assert_eq!(group("bulkhead.dev").unwrap()["kind"], "APIGroup");
}

use super::*;

/// `plural group|namespace|name|subresource` of the object path.
fn check(path: &str, expected: Option<&str>) {
    let found = Place::parse(path).map(|place| match place {
        Place::Objects(target) => format!(
            "{}|{}|{}|{}",
            target.resource.qualified_plural(),
            target.namespace.unwrap_or_default(),
            target.name.unwrap_or_default(),
            target.subresource.map(|sub| format!("{sub:?}")).unwrap_or_default(),
        ),
        other => format!("{other:?}"),
    });
    assert_eq!(found.as_deref(), expected, "{path}");
}

#[test]
fn object_paths_name_resource_namespace_name_and_subresource() {
    check("/api/v1/pods", Some("pods|||"));
    check("/api/v1/namespaces/shop/pods", Some("pods|shop||"));
    check("/api/v1/namespaces/shop/pods/web", Some("pods|shop|web|"));
    check("/api/v1/namespaces/shop/pods/web/status", Some("pods|shop|web|Status"));
    check("/apis/projectcalico.org/v3/tiers/a%2Db", Some("tiers.projectcalico.org||a-b|"));
}

#[test]
fn namespaces_are_objects_and_places_of_objects() {
    check("/api/v1/namespaces", Some("namespaces|||"));
    check("/api/v1/namespaces/shop", Some("namespaces||shop|"));
    check("/api/v1/namespaces/shop/status", Some("namespaces||shop|Status"));
    check("/api/v1/namespaces/shop/finalize", Some("namespaces||shop|Finalize"));
}

#[test]
fn paths_that_fit_no_kind_name_nothing() {
    check("/api/v1/pods/web", None);
    check("/api/v1/namespaces/shop/nodes", None);
    check("/api/v1/namespaces/shop/serviceaccounts/x/status", None);
    check("/api/v1/namespaces//pods", None);
    check("/api/v1/widgets", None);
    check("/api/v1/namespaces/shop/pods/a%00b", None);
    check("/api/v1/namespaces/shop/pods/a%f", None);
}

#[test]
fn discovery_paths_are_told_from_objects() {
    check("/api", Some("CoreVersions"));
    check("/apis/", Some("Groups"));
    check("/apis/apps", Some(r#"Group("apps")"#));
    check("/api/v1", Some(r#"GroupVersion("", "v1")"#));
}

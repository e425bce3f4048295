//! The manifests for clusters: stock kubectl reads them, and the server may do there what it does and no
//! more.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use bulkhead_apimachinery::{crd, kinds};
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name)
}

fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(folder(name)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn words(rule: &Value, key: &str) -> Vec<String> {
    let items = rule.get(key).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

#[test]
fn the_servers_role_is_what_it_does_and_no_more() {
    let role = read("cluster/server-role.yaml");
    let mut granted = BTreeSet::new();
    for rule in role.get("rules").and_then(Value::as_array).unwrap() {
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                for verb in words(rule, "verbs") {
                    granted.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    let grant =
        |group: &str, resource: String, verb: &str| (group.to_owned(), resource, verb.to_owned());
    let mut needed = BTreeSet::from([
        grant("authentication.k8s.io", "tokenreviews".to_owned(), "create"),
        grant("", "nodes/status".to_owned(), "patch"),
    ]);
    for resource in kinds::all() {
        needed.insert(grant(resource.group, resource.plural.to_owned(), "list"));
        needed.insert(grant(resource.group, resource.plural.to_owned(), "watch"));
        if resource.id.policy_kind().is_some() {
            needed.insert(grant(resource.group, format!("{}/status", resource.plural), "patch"));
        }
    }
    assert_eq!(granted, needed);
}

/// What kubectl makes of a folder.
fn kustomize(name: &str) -> Vec<Value> {
    let output = Command::new("kubectl")
        .arg("kustomize")
        .arg(folder(name))
        .output()
        .expect("kubectl (Debian package kubernetes-client)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

#[test]
fn kubectl_reads_the_definitions_as_they_were_written() {
    let mut read = kustomize("crds");
    let mut written: Vec<Value> = crd::resources().map(crd::definition).collect();
    let name = |value: &Value| value.pointer("/metadata/name").unwrap().to_string();
    read.sort_by_key(name);
    written.sort_by_key(name);
    assert!(read == written, "another YAML reader sees something else");
}

#[test]
fn kubectl_reads_the_cluster_manifests_and_their_names_fit_together() {
    let objects = kustomize("cluster");
    let find = |kind: &str, name: &str| {
        let found = objects.iter().find(|object| {
            object.get("kind") == Some(&kind.into())
                && object.pointer("/metadata/name") == Some(&name.into())
        });
        found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
    };
    for (kind, name) in [("Deployment", "bulkhead-server"), ("DaemonSet", "bulkhead-agent")] {
        let spec = find(kind, name).pointer("/spec/template/spec").unwrap();
        let account = spec.get("serviceAccountName").and_then(Value::as_str).unwrap();
        find("ServiceAccount", account);
        assert_eq!(spec.get("hostNetwork"), Some(&Value::Bool(true)), "{name}");
    }
    for binding in objects.iter().filter(|object| object.get("roleRef").is_some()) {
        let role = |field: &str| binding.pointer(&format!("/roleRef/{field}")).unwrap();
        find(role("kind").as_str().unwrap(), role("name").as_str().unwrap());
    }
    assert_eq!(objects.len(), 11);
}

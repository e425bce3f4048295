//! Crate edges, read from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// `(crate, crates of ours that it may import)`. Development dependencies are free, except that
/// nothing may lean on a shed (`testbed`, `lab`) outside of tests.
const EDGES: &[(&str, &[&str])] = &[
    ("bulkhead-types", &[]),
    ("bulkhead-api", &["bulkhead-types"]),
    ("bulkhead-apimachinery", &["bulkhead-types", "bulkhead-api"]),
    ("bulkhead-wire", &["bulkhead-types"]),
    ("bulkhead-policy", &["bulkhead-types", "bulkhead-api", "bulkhead-wire"]),
    ("bulkhead-store", &["bulkhead-types", "bulkhead-api"]),
    ("bulkhead-enforce-abi", &[]),
    ("bulkhead-enforce", &["bulkhead-types", "bulkhead-wire", "bulkhead-enforce-abi"]),
    (
        "bulkhead-server",
        &[
            "bulkhead-types",
            "bulkhead-api",
            "bulkhead-apimachinery",
            "bulkhead-wire",
            "bulkhead-policy",
            "bulkhead-store",
        ],
    ),
    ("bulkhead-cni", &["bulkhead-types"]),
    ("bulkhead-agent", &["bulkhead-types", "bulkhead-wire", "bulkhead-enforce", "bulkhead-cni"]),
    (
        "bulkhead-cli",
        &["bulkhead-types", "bulkhead-api", "bulkhead-apimachinery", "bulkhead-policy"],
    ),
    ("bulkhead-lab", &["bulkhead-types", "bulkhead-api"]),
    ("bulkhead-testbed", &["bulkhead-types", "bulkhead-api", "bulkhead-wire"]),
    ("bulkhead-fuzz", &["bulkhead-types", "bulkhead-api", "bulkhead-wire", "bulkhead-policy"]),
    ("xtask", &[]),
];

/// Crates that compute and never touch the world.
const PURE: &[&str] = &[
    "bulkhead-types",
    "bulkhead-api",
    "bulkhead-apimachinery",
    "bulkhead-wire",
    "bulkhead-policy",
];

/// What a pure crate may not reach, at any distance: runtimes, sockets, databases, kernels, dice.
const IMPURE: &[&str] = &[
    "tokio", "mio", "socket2", "hyper", "reqwest", "tonic", "axum", "redb", "rustls", "ring",
    "aya", "nlink", "nix", "rand",
];

pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let metadata =
        MetadataCommand::new().current_dir(root).exec().context("cargo metadata failed")?;
    let mut faults = edges(&ours(&metadata), EDGES);
    faults.extend(reaches(&metadata)?);
    Ok(faults)
}

/// Ordinary and build imports among the workspace's own crates.
fn ours(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let members: BTreeSet<String> =
        metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    metadata
        .workspace_packages()
        .iter()
        .map(|package| {
            let imports = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind != DependencyKind::Development)
                .map(|dependency| dependency.name.clone())
                .filter(|name| members.contains(name))
                .collect();
            (package.name.to_string(), imports)
        })
        .collect()
}

fn edges(found: &BTreeMap<String, BTreeSet<String>>, allowed: &[(&str, &[&str])]) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, imports) in found {
        let Some((_, permitted)) = allowed.iter().find(|(known, _)| known == name) else {
            faults.push(format!(
                "crate {name} has no line in xtask/src/tidy/walls.rs: say what it may import"
            ));
            continue;
        };
        for import in imports.iter().filter(|import| !permitted.contains(&import.as_str())) {
            faults.push(format!(
                "{name} imports {import}: that wall is there for a reason (docs/architecture.md)"
            ));
        }
    }
    faults
}

/// Whether a pure crate's transitive closure reaches the world.
fn reaches(metadata: &Metadata) -> anyhow::Result<Vec<String>> {
    let resolve = metadata.resolve.as_ref().context("cargo metadata gave no dependency graph")?;
    let nodes: BTreeMap<&PackageId, _> =
        resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let names: BTreeMap<&PackageId, &str> =
        metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let mut faults = Vec::new();
    for package in metadata.workspace_packages() {
        if !PURE.contains(&package.name.as_str()) {
            continue;
        }
        let mut seen = BTreeSet::new();
        let mut open = vec![&package.id];
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            let Some(node) = nodes.get(id) else { continue };
            open.extend(
                node.deps
                    .iter()
                    .filter(|edge| edge.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal))
                    .map(|edge| &edge.pkg),
            );
        }
        for name in seen.iter().filter_map(|id| names.get(id)) {
            if IMPURE.contains(name) {
                faults.push(format!("{} is pure, but reaches {name}", package.name));
            }
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(name: &str, imports: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
        [(name.to_owned(), imports.iter().map(|s| (*s).to_owned()).collect())].into()
    }

    #[test]
    fn an_allowed_import_is_no_fault() {
        assert!(edges(&world("bulkhead-api", &["bulkhead-types"]), EDGES).is_empty());
    }

    #[test]
    fn an_import_through_a_wall_is_named() {
        let faults = edges(&world("bulkhead-agent", &["bulkhead-policy"]), EDGES);
        assert!(
            faults.iter().any(|fault| fault.contains("bulkhead-agent imports bulkhead-policy"))
        );
    }

    #[test]
    fn a_crate_that_nobody_declared_is_named() {
        assert_eq!(edges(&world("bulkhead-new", &[]), EDGES).len(), 1);
    }
}

//! What we ship may only lean on permissive licences.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use cargo_metadata::{DependencyKind, MetadataCommand, PackageId};

/// SPDX names that we accept; one of them must satisfy each dependency's expression.
const ACCEPTED: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "0BSD",
    "Unlicense",
    "BSL-1.0",
];

/// What we ship for: dependencies of other systems are not in it.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Programs that users get, and with them everything they link.
const SHIPPED: &[&str] = &["bulkhead-server", "bulkhead-agent", "bulkhead-cli", "bulkhead-lab"];

pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let metadata = MetadataCommand::new()
        .current_dir(root)
        .other_options(["--filter-platform".to_owned(), PLATFORM.to_owned()])
        .exec()
        .context("cargo metadata failed")?;
    let resolve = metadata.resolve.as_ref().context("cargo metadata gave no dependency graph")?;
    let nodes: BTreeMap<&PackageId, _> =
        resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let packages: BTreeMap<&PackageId, _> =
        metadata.packages.iter().map(|package| (&package.id, package)).collect();
    let mut open: Vec<&PackageId> = metadata
        .workspace_packages()
        .iter()
        .filter(|package| SHIPPED.contains(&package.name.as_str()))
        .map(|package| &package.id)
        .collect();
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        if let Some(package) = packages.get(id) {
            let licence = package.license.as_deref().unwrap_or("none stated");
            if !is_accepted(licence) {
                faults.push(format!("{} {} has licence {licence}", package.name, package.version));
            }
        }
        if let Some(node) = nodes.get(id) {
            let shipped = node
                .deps
                .iter()
                .filter(|edge| edge.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal));
            open.extend(shipped.map(|edge| &edge.pkg));
        }
    }
    Ok(faults)
}

/// `A OR B` needs one, `A AND B` needs both; parentheses group.
fn is_accepted(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
    flat.split(" AND ").all(|all_of| {
        all_of.split(" OR ").any(|one| {
            let name = one.split(" WITH ").next().unwrap_or_default().trim();
            ACCEPTED.contains(&name)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissive_expressions_pass_and_copyleft_ones_do_not() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR MIT",
            "LGPL-2.1-only OR MIT",
        ] {
            assert!(is_accepted(good), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-2.0", "MPL-2.0+", "none stated"] {
            assert!(!is_accepted(bad), "{bad}");
        }
    }
}

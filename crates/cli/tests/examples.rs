//! What the worlds in `examples/` allow. `BULKHEAD_BLESS=1` writes the files anew.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panic")]

use std::path::Path;
use std::process::Command;

/// `reach.txt` beside the manifests is what `bulkhead reach` prints of them.
fn check(example: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example);
    let output = Command::new(env!("CARGO_BIN_EXE_bulkhead"))
        .args(["reach", "-f"])
        .arg(&folder)
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = folder.join("reach.txt");
    if std::env::var_os("BULKHEAD_BLESS").is_some() {
        std::fs::write(&path, printed).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: run with BULKHEAD_BLESS=1", path.display()));
    assert!(printed == expected, "{}:\n{printed}\n=== expected\n{expected}", path.display());
}

#[test]
fn borders_are_ranges_with_source_ports_and_icmp_types() {
    check("borders");
}

#[test]
fn replicas_are_one_workload_and_unlike_pods_are_told_apart() {
    check("replicas");
}

#[test]
fn the_shop_is_closed_where_it_says_so() {
    check("shop");
}

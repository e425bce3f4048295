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

/// Every block of YAML in a guide that is an object, as somebody copies it.
#[test]
fn what_guides_show_is_what_check_takes() {
    let guides = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide");
    let scratch = tempfile::tempdir().unwrap();
    let mut n_checked = 0;
    for entry in guides.read_dir().unwrap() {
        let guide = entry.unwrap().path();
        let text = std::fs::read_to_string(&guide).unwrap();
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        for block in blocks.filter(|block| block.starts_with("apiVersion:")) {
            let file = scratch.path().join("shown.yaml");
            std::fs::write(&file, block).unwrap();
            let mut check = Command::new(env!("CARGO_BIN_EXE_bulkhead"));
            let output = check.args(["check", "-f"]).arg(&file).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{}:\n{block}\n{said}", guide.display());
            n_checked += 1;
        }
    }
    assert!(n_checked > 5, "{n_checked} blocks only: how guides are written has changed");
}

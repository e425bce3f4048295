//! Hostile and broken manifests: an answer within bounds, exit status 1, never a panic.
#![expect(clippy::unwrap_used, reason = "tests fail by panic")]

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const POD: &str =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: a}]}\n";

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Exit status and all that was printed.
fn check(path: &Path) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bulkhead"))
        .arg("check")
        .arg("-f")
        .arg(path)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(!text.contains("panicked"), "{text}");
    (output.status.code().unwrap(), text)
}

/// One file of this text is refused with all of these words.
#[track_caller]
fn refused(text: &[u8], words: &[&str]) {
    let folder = folder();
    let file = folder.path().join("a.yaml");
    fs::write(&file, text).unwrap();
    let (status, printed) = check(&file);
    assert_eq!(status, 1, "{printed}");
    for word in words {
        assert!(printed.contains(word), "{word}\n{printed}");
    }
    // Whatever the input, the answer is for people.
    assert!(printed.len() < 100_000, "{} bytes", printed.len());
}

#[test]
fn binary_files_are_named_with_their_first_bad_byte() {
    refused(
        b"kind: Pod\n\xff\xfe\x00",
        &["error[not-text]", "a.yaml:2:1", "0xff", "save it as UTF-8"],
    );
    refused(&[0u8; 4096], &["error["]);
}

#[test]
fn yaml_bombs_go_off_small() {
    let mut text =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\na: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (one, other) in ["ab", "bc", "cd", "de", "ef", "fg", "gh", "hi"].map(|p| p.split_at(1)) {
        text.push_str(&format!("{other}: &{other} [{}]\n", vec![format!("*{one}"); 9].join(",")));
    }
    refused(text.as_bytes(), &["error[yaml-bomb]", "a.yaml:", "write the values out"]);
    // Merge keys multiply as well.
    let mut text = "a: &a {k0: 1}\n".to_owned();
    for n in 1..30 {
        let before = if n == 1 { "a".to_owned() } else { format!("m{}", n - 1) };
        text.push_str(&format!("m{n}: &m{n} {{x: *{before}, y: *{before}}}\n"));
    }
    refused(text.as_bytes(), &["error[yaml-bomb]"]);
}

#[test]
fn deep_nesting_is_refused() {
    refused("[".repeat(1_000_000).as_bytes(), &["error[too-deep]", "a.yaml:1:"]);
    refused("{\"a\":".repeat(100_000).as_bytes(), &["error[too-deep]"]);
    let mut block = String::new();
    for depth in 0..2_000 {
        block.push_str(&format!("{}a:\n", " ".repeat(depth)));
    }
    refused(block.as_bytes(), &["error[too-deep]", "a.yaml:65:"]);
}

#[test]
fn huge_lines_are_quoted_in_part() {
    let text = format!("{POD}---\nkind: {}\n", "x".repeat(5_000_000));
    refused(text.as_bytes(), &["a.yaml:6:1"]);
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{\"{}\": 1}}\n",
        "y".repeat(1_000_000)
    );
    refused(text.as_bytes(), &["error[", "a.yaml:4:"]);
}

#[test]
fn duplicates_and_circles_are_named_with_both_places() {
    let text = format!("{POD}---\n{POD}");
    refused(text.as_bytes(), &["error[duplicate]", "a.yaml:8:18", "first at", "a.yaml:1:1"]);
    let set = |name: &str, owner: &str| {
        format!(
            "---\napiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {{name: {name}, ownerReferences: \
             [{{apiVersion: apps/v1, kind: ReplicaSet, name: {owner}, uid: '', controller: true}}]}}\n\
             spec: {{selector: {{}}, template: {{metadata: {{labels: {{a: b}}}}}}}}\n"
        )
    };
    let text = format!("{}{}", set("a", "b"), set("b", "a"));
    refused(
        text.as_bytes(),
        &["error[owner-cycle]", "ReplicaSet default/a -> ReplicaSet default/b"],
    );
}

#[test]
fn conflicting_tiers_are_named() {
    let tier = |name: &str, order: u32| {
        format!(
            "---\napiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {{name: {name}}}\nspec: {{order: {order}}}\n"
        )
    };
    let folder = folder();
    fs::write(folder.path().join("a.yaml"), format!("{}{}", tier("one", 5), tier("two", 5)))
        .unwrap();
    let (status, printed) = check(folder.path());
    assert_eq!(status, 0, "{printed}");
    assert!(
        printed.contains("warning[same-tier-order]") && printed.contains("a.yaml:10:15"),
        "{printed}"
    );
    fs::write(folder.path().join("b.yaml"), tier("one", 7)).unwrap();
    let (status, printed) = check(folder.path());
    assert_eq!(status, 1, "{printed}");
    assert!(printed.contains("error[duplicate]") && printed.contains("b.yaml:4:18"), "{printed}");
}

#[cfg(unix)]
#[test]
fn loops_of_links_end_and_lose_nothing() {
    use std::os::unix::fs::symlink;
    let folder = folder();
    for name in ["one", "two"] {
        let inner = folder.path().join(name);
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("pod.yaml"), POD.replace("name: a}", &format!("name: {name}}}")))
            .unwrap();
        symlink(folder.path(), inner.join("up")).unwrap();
        symlink("self.yaml", inner.join("self.yaml")).unwrap();
    }
    let (status, printed) = check(folder.path());
    // A link to itself can be read by nobody.
    assert_eq!(status, 1, "{printed}");
    assert_eq!(printed.matches("error[unreadable]").count(), 2, "{printed}");
    assert!(printed.contains("2 objects in 2 files"), "{printed}");
}

#[cfg(unix)]
#[test]
fn one_broken_file_does_not_hide_the_others() {
    let folder = folder();
    fs::write(folder.path().join("a.yaml"), [0xffu8]).unwrap();
    fs::write(folder.path().join("b.yaml"), POD).unwrap();
    fs::write(folder.path().join("c.yaml"), "kind: [").unwrap();
    let (status, printed) = check(folder.path());
    assert_eq!(status, 1);
    for word in ["error[not-text]", "a.yaml:1:1", "error[yaml-syntax]", "1 object in 3 files"] {
        assert!(printed.contains(word), "{word}\n{printed}");
    }
    // Verdicts are not given where something was not read.
    let output = Command::new(env!("CARGO_BIN_EXE_bulkhead"))
        .args(["why", "a", "10.0.0.1:1", "-f"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
}

/// 24 MB in 240 files and as much in one: no finding costs the whole again.
#[test]
fn big_folders_and_big_files_are_read() {
    let folder = folder();
    let policy = |n: usize| {
        format!(
            "---\napiVersion: projectcalico.org/v3\nkind: NetworkPolicy\n\
             metadata: {{namespace: n{}, name: p{n}}}\n\
             spec: {{order: {n}, selector: app == 'a{n}', types: [Ingress], ingress: [{{action: Allow, \
             protocol: TCP, source: {{nets: [10.0.0.0/8]}}, destination: {{ports: [80]}}}}], egress: []}}\n",
            n % 100
        )
    };
    let mut text = String::new();
    for n in 0..4_000 {
        text.push_str(&policy(n));
    }
    text.push_str(&format!("---\n# {}\n", "x".repeat(24 << 20)));
    text.push_str(&policy(4_000).replace("Allow", "allow"));
    fs::write(folder.path().join("big.yaml"), &text).unwrap();
    let (status, printed) = check(folder.path());
    assert_eq!(status, 1);
    assert!(
        printed.contains("error[unknown-value]") && printed.contains("4000 objects"),
        "{}",
        printed.len()
    );
}

#[test]
fn anchors_within_anchors_are_bounded() {
    let items = vec!["x"; 30_000].join(",");
    let text = (0..40).fold(format!("[{items}]"), |inner, n| format!("&a{n} [{inner}]"));
    refused(text.as_bytes(), &["error[yaml-bomb]", "anchors name more than 1000000 nodes"]);
}

/// Each key used to be looked for among all that were merged in.
#[test]
fn many_merged_keys_are_read_once_each() {
    let keys =
        |from: usize| (from..from + 40_000).map(|n| format!("  k{n}: v\n")).collect::<String>();
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n name: a\n annotations: &all\n{}\n labels:\n  <<: *all\n{}",
        keys(0),
        keys(20_000)
    );
    refused(text.as_bytes(), &["error[", "a.yaml:"]);
}

#[test]
fn what_is_too_much_to_compare_is_said() {
    let policies: String = (0..330)
        .map(|n| {
            format!(
                "---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: p{n:03}}}\n\
                 spec: {{order: 5, selector: a == '{n}', types: [Ingress]}}\n"
            )
        })
        .collect();
    let folder = folder();
    fs::write(folder.path().join("a.yaml"), policies).unwrap();
    let (status, printed) = check(folder.path());
    assert_eq!(status, 0, "{printed}");
    assert!(printed.contains("note[not-compared]"), "{printed}");
    assert!(printed.contains("more than 50000 pairs"), "{printed}");
}

/// `kubectl` fills the namespace in, so its absence is no error.
#[test]
fn objects_without_a_namespace_are_of_the_default_one() {
    let folder = folder();
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n\
                  spec: {podSelector: {}, policyTypes: [Ingress]}\n";
    fs::write(folder.path().join("a.yaml"), format!("{POD}---\n{policy}")).unwrap();
    let (status, printed) = check(folder.path());
    assert_eq!(status, 0, "{printed}");
    assert!(printed.starts_with("2 objects in 1 file: 0 errors, 0 warnings, 0 notes"), "{printed}");
    let elsewhere = policy.replace("{name: a}", "{name: b, namespace: shop}");
    fs::write(folder.path().join("b.yaml"), elsewhere).unwrap();
    let (status, printed) = check(folder.path());
    assert_eq!(status, 0, "{printed}");
    assert!(
        printed.contains("note[no-namespace]: names no namespace, as 1 more objects"),
        "{printed}"
    );
}

#[test]
fn a_policy_of_nothing_but_a_selector_closes_ingress_and_that_is_said() {
    let folder = folder();
    let policy =
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: a}\nspec: ";
    fs::write(folder.path().join("a.yaml"), format!("{policy}{{selector: a == 'b'}}\n")).unwrap();
    let (_, printed) = check(folder.path());
    assert!(
        printed.contains("warning[deny-all]: the policy has neither rules nor types"),
        "{printed}"
    );
    fs::write(folder.path().join("a.yaml"), format!("{policy}{{types: [Ingress]}}\n")).unwrap();
    let (_, printed) = check(folder.path());
    assert!(printed.contains("note[deny-all]: closes ingress of every workload"), "{printed}");
}

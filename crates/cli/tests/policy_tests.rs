//! `bulkhead test`, on the guide's own cases and on cases that must not pass.
#![expect(clippy::unwrap_used, reason = "tests fail by panic")]

use std::path::Path;
use std::process::Command;

/// The text of the guide's code blocks with this word after `yaml`.
fn blocks(word: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/policy-tests.md");
    let page = std::fs::read_to_string(page).unwrap();
    let begin = format!("```yaml {word}\n");
    let mut texts = page.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap());
    texts.next().unwrap().to_owned()
}

struct Run {
    status: i32,
    stdout: String,
    stderr: String,
}

/// Runs the command over the guide's world, with the cases as a file of this name.
fn test(file: &str, cases: &str, more: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let world = write("world.yaml", &blocks("world"));
    let cases = write(file, cases);
    let output = Command::new(env!("CARGO_BIN_EXE_bulkhead"))
        .arg("test")
        .arg("-f")
        .arg(world)
        .arg("--cases")
        .arg(cases)
        .args(more)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run {
        status: output.status.code().unwrap(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

#[test]
fn the_guides_own_cases_hold() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/policy-tests.md");
    let page = std::fs::read_to_string(page).unwrap();
    let run = test("cases.md", &page, &[]);
    assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.starts_with("8 cases, 12 connections: 8 hold, 0 fail"), "{}", run.stdout);
    let run = test("cases.yaml", &blocks("cases"), &["--verbose"]);
    assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("ok    the shop works"), "{}", run.stdout);
    assert!(run.stdout.contains("3 cases, 8 connections: 3 hold, 0 fail"), "{}", run.stdout);
}

const FAILING: &str = "cases:
- {name: 'a <wrong> one', from: ops/scan, to: shop/web, port: 8080, expect: deny}
- {from: shop/web, to: shop/db, port: 5432, expect: allow, rule: end of tier default}
- {from: shop/web, to: shop/db, port: 5432, expect: allow}
";

#[test]
fn a_failing_case_names_the_rule_that_decided_at_each_end() {
    let run = test("cases.yaml", FAILING, &[]);
    assert_eq!(run.status, 1, "{}", run.stderr);
    for expected in [
        "FAIL  a <wrong> one",
        "cases.yaml:2:3",
        "ops/scan -> shop/web 8080/TCP: expected deny, got allow",
        "egress at ops/scan: allowed by rule 1 (egress) of NetworkPolicy ops/out in tier default",
        "world.yaml:",
        "ingress at shop/web: allowed by profile kns.shop: no tier decided",
        "shop/web -> shop/db 5432/TCP: allow as expected, but not by `end of tier default`",
        "3 cases, 3 connections: 1 hold, 2 fail",
    ] {
        assert!(run.stdout.contains(expected), "{expected}\n{}", run.stdout);
    }
}

#[test]
fn machines_get_json_and_junit() {
    let run = test("cases.yaml", FAILING, &["--output", "json"]);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.status, &report["cases"], &report["failed"]), (1, &3.into(), &2.into()));
    assert_eq!(report["results"][0]["failures"][0]["got"], "allow");
    assert_eq!(report["results"][2]["holds"], true);
    let run = test("cases.yaml", FAILING, &["--output", "junit"]);
    assert_eq!(run.status, 1);
    for expected in [
        r#"<testsuites name="bulkhead" tests="3" failures="2""#,
        r#"name="a &lt;wrong&gt; one""#,
        r#"<failure type="deny" message="ops/scan -&gt; shop/web 8080/TCP: expected deny, got allow">"#,
        "</testsuites>",
    ] {
        assert!(run.stdout.contains(expected), "{expected}\n{}", run.stdout);
    }
}

#[test]
fn what_cannot_be_asked_is_never_passed() {
    let unusable = [
        (
            "cases.yaml",
            "cases:\n- {from: shop/wbe, to: shop/db, port: 1, expect: deny}\n",
            "did you mean `shop/web`?",
        ),
        (
            "cases.yaml",
            "cases:\n- {from: nowhere/*, to: shop/db, port: 1, expect: deny}\n",
            "selects no workload",
        ),
        (
            "cases.yaml",
            "cases:\n- {from: ops/scan, to: 'svc:shop/web', port: 81, expect: deny}\n",
            "has no port `81`",
        ),
        ("cases.yaml", "cases: []\n", "holds no case"),
        ("cases.yaml", "cases:\n- {from: a}\n", "has no `expect`"),
        ("cases.md", "# No table\n", "holds no case"),
    ];
    for (file, cases, expected) in unusable {
        let run = test(file, cases, &[]);
        assert_eq!(run.status, 2, "{cases}: {}", run.stdout);
        assert!(run.stderr.contains(expected), "{cases}: {}", run.stderr);
    }
}

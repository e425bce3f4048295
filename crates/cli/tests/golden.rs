//! What the offline commands print, to the letter. `BULKHEAD_BLESS=1` writes the files anew.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panic")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Exit status, stdout and stderr as one text.
fn run(args: &[&str], stdin: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bulkhead"))
        .current_dir(folder())
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that fails early does not read its input.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let status = output.status.code().expect("ended by itself");
    format!("$ bulkhead {}\n{stdout}--- stderr\n{stderr}--- status {status}\n", args.join(" "))
}

fn golden(name: &str, args: &[&str], stdin: &str) {
    let path = folder().join("expected").join(format!("{name}.txt"));
    let printed = run(args, stdin);
    if std::env::var_os("BULKHEAD_BLESS").is_some() {
        std::fs::write(&path, printed).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: run with BULKHEAD_BLESS=1", path.display()));
    assert!(printed == expected, "{}:\n{printed}\n=== expected\n{expected}", path.display());
}

#[test]
fn check_of_sound_manifests() {
    golden("check-sound", &["check", "-f", "shop"], "");
}

#[test]
fn check_names_unknown_fields_wrong_types_and_misspelt_kinds() {
    golden("check-fields", &["check", "-f", "broken/fields.yaml"], "");
}

#[test]
fn check_names_what_the_engine_refuses_dangling_references_and_slips() {
    golden("check-meaning", &["check", "-f", "broken/meaning.yaml"], "");
}

#[test]
fn check_survives_bad_syntax() {
    golden("check-syntax", &["check", "-f", "broken/syntax.yaml", "shop"], "");
}

#[test]
fn check_as_json_and_sarif() {
    golden("check-json", &["check", "-f", "broken/syntax.yaml", "--output", "json"], "");
    golden("check-sarif", &["check", "-f", "broken/syntax.yaml", "--output", "sarif"], "");
}

#[test]
fn check_reads_stdin() {
    golden("check-stdin", &["check", "-f", "-"], "kind: Pod\n");
}

#[test]
fn paths_that_cannot_be_read_are_named() {
    golden("path-missing", &["check", "-f", "nowhere.yaml"], "");
    golden("path-empty-folder", &["check", "-f", "expected"], "");
    golden("stdin-twice", &["eval", "-f", "-", "--flows", "-"], "");
}

#[test]
fn eval_answers_in_order() {
    let flows = r#"{"id":"1","src":"shop/web","dst":"shop/db","protocol":"TCP","port":5432}
{"id":"2","src":"ops/scan","dst":"shop/db","protocol":"TCP","port":5432}
{"id":3,"src":"ops/scan","dst":"shop/web","protocol":"tcp","port":22}
{"id":"4","src":"shop/web","dst":"203.0.113.9","protocol":"TCP","port":443}

{"id":"5","src":"203.0.113.9","dst":"shop/db","protocol":"ICMP"}
{"id":"6","src":"shop/web","dst":"shop/db","protocol":6,"port":5432,"family":6}
{"id":"7","src":"10.65.0.3","dst":"192.0.2.10","protocol":"TCP","port":5901}
{"id":"8","src":"shop/db","dst":"shop/db","protocol":"TCP","port":1}
{"id":{"any":["json"]},"src":"192.0.2.1","dst":"192.0.2.2","protocol":"UDP","port":53}
{"id":"9","src":"shop/web","dst":"shop/db","protocol":"ICMPv6","icmpType":128,"icmpCode":0}
{"id":"10","src":"shop/web","dst":"shop/db","protocol":47}
"#;
    golden("eval", &["eval", "-f", "shop", "--flows", "-"], flows);
}

#[test]
fn eval_never_guesses() {
    let flows = r#"{"id":"1","src":"shop/wbe","dst":"shop/db","protocol":"TCP","port":5432}
{"id":"2","src":"shop/web","dst":"db","protocol":"TCP","port":5432}
{"id":"3","src":"shop/web","dst":"shop/db","protocol":"TCP"}
{"id":"4","src":"shop/web","dst":"shop/db","protocol":"XYZ","port":1}
{"id":"5","src":"shop/web","dst":"2001:db8::1","protocol":"TCP","port":80,"family":4}
{"id":"6","src":"192.0.2.1","dst":"fd65::1","protocol":"TCP","port":80}
{"id":"7","src":"ops/mainframe","dst":"shop/db","protocol":"TCP","port":80,"family":6}
{"id":"8","src":"shop/web","dst":"shop/db","protocol":"TCP","port":70000}
{"id":"9","src":"shop/web","dst":"shop/db","protocol":"TCP","prot":80}
{"id":"10","src":"shop/web","dst":"shop/db","protocol":"TCP","port":80,"family":5}
not json
{"id":"11","src":"shop/web","dst":"shop/db","protocol":"TCP","port":5432}
"#;
    golden("eval-errors", &["eval", "-f", "shop", "--flows", "-"], flows);
}

#[test]
fn eval_refuses_manifests_with_errors() {
    golden("eval-broken", &["eval", "-f", "broken/fields.yaml", "--flows", "-"], "");
}

#[test]
fn why_explains_both_ends() {
    golden("why-allow", &["why", "shop/web", "shop/db:5432", "-f", "shop"], "");
    golden("why-deny", &["why", "ops/scan", "shop/db:5432", "-f", "shop"], "");
    golden("why-tier", &["why", "203.0.113.9", "shop/web:22", "-f", "shop"], "");
    golden("why-same", &["why", "shop/web", "shop/web:80", "-f", "shop"], "");
    let args = ["why", "shop/web", "shop/db:5432/UDP", "-f", "shop", "--output", "json"];
    golden("why-json", &args, "");
}

#[test]
fn why_shows_every_name_of_an_address_that_several_share() {
    let alone = "api.example.com:443";
    golden("why-one-name", &["why", "shop/web", alone, "-f", "names.yaml"], "");
    let shared = "api.example.com,ad.tracker.example,203.0.113.7:443";
    golden("why-shared", &["why", "shop/web", shared, "-f", "names.yaml"], "");
    let two = "api.example.com,203.0.113.7,203.0.113.8:443";
    golden("why-two-addresses", &["why", "shop/web", two, "-f", "names.yaml"], "");
}

#[test]
fn why_names_what_it_does_not_know() {
    golden("why-unknown", &["why", "shop/web", "shop/cache:80", "-f", "shop"], "");
    golden("why-target", &["why", "shop/web", "shop/db", "-f", "shop"], "");
}

#[test]
fn what_is_read_closed_is_said() {
    let flows = r#"{"id":"1","src":"shop/web","dst":"shop/db","protocol":"TCP","port":5432}
{"id":"2","src":"shop/db","dst":"192.0.2.1","protocol":"TCP","port":443}
"#;
    let args = ["eval", "-f", "shop/world.yaml", "broken/closed.yaml", "--flows", "-"];
    golden("eval-closed", &args, flows);
}

#[test]
fn check_knows_what_a_server_would_refuse() {
    golden("check-names", &["check", "-f", "broken/names.yaml"], "");
}

#[test]
fn reach_lists_every_connection() {
    golden("reach-json", &["reach", "-f", "shop", "--output", "json"], "");
    golden("reach-focus", &["reach", "-f", "shop", "--focus", "shop/db"], "");
    golden("reach-mermaid", &["reach", "-f", "shop", "--output", "mermaid"], "");
    golden("reach-dot", &["reach", "-f", "shop", "--output", "dot"], "");
    golden("reach-unknown", &["reach", "-f", "shop", "--focus", "shop/cache"], "");
}

#[test]
fn reach_shows_exposure_names_requests_and_ways_in() {
    golden("reach-exposure", &["reach", "-f", "front.yaml", "--exposure"], "");
    let args = ["reach", "-f", "front.yaml", "--exposure", "--output", "json"];
    golden("reach-exposure-json", &args, "");
}

#[test]
fn hosts_are_named_as_not_computed() {
    golden("host-reach", &["reach", "-f", "host.yaml"], "");
    golden("host-reach-json", &["reach", "-f", "host.yaml", "--output", "json"], "");
    golden("host-reach-dot", &["reach", "-f", "host.yaml", "--output", "dot"], "");
    golden("host-diff", &["diff", "host.yaml", "host.yaml"], "");
    golden("host-diff-json", &["diff", "host.yaml", "host.yaml", "--output", "json"], "");
    golden("host-blast", &["blast", "-f", "host.yaml", "--from", "shop/db"], "");
    let json = ["blast", "-f", "host.yaml", "--from", "shop/db", "--output", "json"];
    golden("host-blast-json", &json, "");
    golden("host-blast-host", &["blast", "-f", "host.yaml", "--from", "gate[HostEndpoint]"], "");
    golden("host-blast-address", &["blast", "-f", "host.yaml", "--from", "192.0.2.9"], "");
}

#[test]
fn diff_tells_what_is_added_removed_and_altered() {
    golden("diff-same", &["diff", "shop", "shop", "--exit-code"], "");
    golden("diff-table", &["diff", "shop", "shop/world.yaml", "--exit-code"], "");
    golden("diff-json", &["diff", "shop", "shop/world.yaml", "--output", "json"], "");
    golden("diff-staged", &["diff", "--staged", "-f", "shop", "staged.yaml"], "");
    golden("diff-nothing", &["diff", "shop"], "");
}

#[test]
fn blast_goes_hop_by_hop() {
    golden("blast-table", &["blast", "-f", "shop", "--from", "ops/scan"], "");
    golden("blast-json", &["blast", "-f", "shop", "--from", "203.0.113.9", "--output", "json"], "");
    golden(
        "blast-depth",
        &["blast", "-f", "shop", "--from", "ops/scan", "--depth", "1", "--output", "mermaid"],
        "",
    );
}

#[test]
fn check_finds_what_is_probably_not_meant() {
    let at = ["--at", "2030-01-01T00:00:00Z"];
    golden("check-lint", &[&["check", "-f", "broken/lint.yaml"], &at[..]].concat(), "");
}

#[test]
fn check_fails_on_what_is_denied_and_is_silent_on_what_is_allowed() {
    let sound = ["check", "-f", "shop"];
    let status = |more: &[&str]| {
        let printed = run(&[&sound[..], more].concat(), "");
        (printed.ends_with("--- status 0\n"), printed)
    };
    assert!(status(&[]).0);
    let (is_fine, printed) = status(&["--deny", "notes"]);
    assert_eq!(is_fine, !printed.contains("note["), "{printed}");
    let (is_fine, printed) = status(&["--deny", "warnings"]);
    assert_eq!(is_fine, !printed.contains("warning["), "{printed}");
    let lint = ["check", "-f", "broken/lint.yaml"];
    let printed = run(&[&lint[..], &["--deny", "same-order"]].concat(), "");
    assert!(printed.contains("[same-order]") && printed.ends_with("status 1\n"), "{printed}");
    let printed = run(&[&lint[..], &["--allow", "same-order"]].concat(), "");
    assert!(!printed.contains("[same-order]"), "{printed}");
    let printed = run(&[&lint[..], &["--deny", "everything"]].concat(), "");
    assert!(printed.contains("lints.md") && printed.ends_with("status 2\n"), "{printed}");
}

#[test]
fn convert_goes_both_ways_and_names_what_it_refuses() {
    let there = ["convert", "--to", "calico", "-f", "shop"];
    golden("convert-calico", &there, "");
    let calico = run(&there, "");
    let yaml = calico.split_once('\n').unwrap().1.split("--- stderr").next().unwrap();
    golden("convert-kubernetes", &["convert", "--to", "kubernetes", "-f", "-"], yaml);
    golden("convert-refused", &["convert", "--to", "kubernetes", "-f", "broken/lint.yaml"], "");
    golden("convert-nothing", &["convert", "--to", "kubernetes", "-f", "shop/world.yaml"], "");
}

/// Fields and versions that every cluster has and that policy has no use for.
const FROM_A_CLUSTER: &str = "\
apiVersion: gateway.networking.k8s.io/v1beta1
kind: Gateway
metadata: {name: gw, namespace: shop}
spec:
  gatewayClassName: any
  listeners:
  - {name: web, port: 80, protocol: HTTP, tls: {mode: Terminate}, allowedRoutes: {namespaces: {from: All}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{name: gw}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /}}]
    filters: [{type: RequestHeaderModifier}]
    timeouts: {request: 1s}
    backendRefs: [{name: web, port: 80, filters: []}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: base}
spec:
  tier: Baseline
  priority: 5
  subject: {namespaces: {}}
  ingress:
  - {name: from-the-gateway, action: Accept, from: [{namespaces: {}}]}
  - {name: drop-the-rest, action: Deny, from: [{namespaces: {matchLabels: {a: b}}}]}
";

#[test]
fn what_a_cluster_says_beyond_policy_stops_nothing() {
    let printed = run(&["reach", "-f", "-"], FROM_A_CLUSTER);
    assert!(printed.contains("--- status 0"), "{printed}");
    let route = |line: &str| {
        line.split_whitespace().eq(["shop/web[HTTPRoute]", "shop/web[Pod]", "TCP", "8080"])
    };
    assert!(printed.lines().any(route), "{printed}");
}

#[test]
fn rules_are_called_what_people_called_them() {
    let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: ops, namespace: shop}\n";
    let input = format!("{FROM_A_CLUSTER}{pod}");
    let printed = run(&["why", "shop/ops", "shop/web:80", "-f", "-"], &input);
    assert!(printed.contains("rule 0 `from-the-gateway` Allow  matches and decides"), "{printed}");
    let json = run(&["why", "shop/ops", "shop/web:80", "-f", "-", "--output", "json"], &input);
    assert!(json.contains("\"name\": \"from-the-gateway\""), "{json}");
    let blast = run(&["blast", "--from", "shop/ops", "-f", "-"], &input);
    let words = "allowed by rule 0 `from-the-gateway` (ingress) of ClusterNetworkPolicy base";
    assert!(blast.contains(words), "{blast}");
}

#[test]
fn every_tool_says_that_a_tier_is_missing() {
    let policy = "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\n\
                  metadata: {name: a, namespace: shop}\nspec: {tier: platfrom, ingress: [{action: Allow}]}\n";
    let input = format!("{FROM_A_CLUSTER}---\n{policy}");
    for args in [
        &["why", "192.0.2.1", "shop/web:80", "-f", "-"][..],
        &["reach", "-f", "-"],
        &["blast", "--from", "shop/web", "-f", "-"],
    ] {
        let printed = run(args, &input);
        assert_eq!(printed.matches("there is no tier `platfrom`").count(), 1, "{printed}");
    }
    let printed = run(&["check", "-f", "-"], &input);
    assert_eq!(printed.matches("there is no tier `platfrom`").count(), 1, "{printed}");
}

/// Each hint looks through many names, and a file of flows may be wrong in every line.
#[test]
fn hints_at_what_was_meant_are_given_a_few_times() {
    let flow = |name: &str| {
        format!(
            "{{\"id\":1,\"src\":\"192.0.2.1\",\"dst\":\"{name}\",\"protocol\":\"TCP\",\"port\":1}}\n"
        )
    };
    let printed = run(&["eval", "-f", "shop", "--flows", "-"], &flow("shop/dv").repeat(40));
    assert_eq!(printed.matches("is no workload of these manifests").count(), 40, "{printed}");
    assert_eq!(printed.matches("did you mean `shop/db`?").count(), 32, "{printed}");
    let printed = run(&["eval", "-f", "shop", "--flows", "-"], &flow("shpo/db"));
    assert!(printed.contains("did you mean `shop/db`?"), "{printed}");
}

#[test]
fn a_misspelt_workload_is_answered_with_the_one_that_was_meant() {
    for args in [
        &["reach", "-f", "shop", "--focus", "shop/dv"][..],
        &["blast", "-f", "shop", "--from", "shop/dv"],
    ] {
        let printed = run(args, "");
        assert!(
            printed.contains("is no workload of these manifests; did you mean `shop/db`?"),
            "{printed}"
        );
    }
}

#[test]
fn why_follows_a_service_to_what_stands_behind_it() {
    for target in ["svc:shop/web:80", "svc:shop/web:http"] {
        let input = FROM_A_CLUSTER.replace("ports: [{port: 80,", "ports: [{name: http, port: 80,");
        let printed = run(&["why", "192.0.2.1", target, "-f", "-"], &input);
        assert!(printed.contains("192.0.2.1 -> shop/web (10.65.0.1), TCP port 8080"), "{printed}");
    }
}

//! The walkthrough: what a person does with the stock kubectl, step by step.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::Server;

/// A person at a terminal.
pub struct Kubectl {
    pub server: Server,
    home: tempfile::TempDir,
}

pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Kubectl {
    pub fn new() -> Self {
        Self { server: Server::start(), home: tempfile::tempdir().unwrap() }
    }

    fn command(&self) -> Command {
        // Another kubectl than the installed one may be tried with the same walkthrough.
        let program = std::env::var_os("BULKHEAD_TEST_KUBECTL").unwrap_or_else(|| "kubectl".into());
        let mut command = Command::new(program);
        command.env("KUBECONFIG", self.server.kubeconfig()).env("HOME", self.home.path());
        command.env_remove("KUBECTL_EXTERNAL_DIFF");
        command
    }

    pub fn run(&self, line: &str, stdin: &str) -> Outcome {
        let mut child = self
            .command()
            .args(words(line))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl must be installed (Debian: kubernetes-client)");
        // A kubectl that does not read its input closes the pipe, which is no failure.
        drop(child.stdin.take().unwrap().write_all(stdin.as_bytes()));
        let output = child.wait_with_output().unwrap();
        Outcome {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Must succeed; gives what it printed.
    pub fn ok(&self, line: &str) -> String {
        self.ok_with(line, "")
    }

    pub fn ok_with(&self, line: &str, stdin: &str) -> String {
        let outcome = self.run(line, stdin);
        assert_eq!(
            outcome.code,
            0,
            "kubectl {line}\n{}{}\nserver: {}",
            outcome.stdout,
            outcome.stderr,
            self.server.log()
        );
        outcome.stdout
    }

    pub fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("{line} -o json"))).expect("JSON")
    }

    /// Must fail and say all of `expected`.
    pub fn fails(&self, line: &str, stdin: &str, expected: &[&str]) {
        let outcome = self.run(line, stdin);
        assert_ne!(outcome.code, 0, "kubectl {line} succeeded: {}", outcome.stdout);
        for text in expected {
            assert!(outcome.stderr.contains(text), "`{text}` is not in: {}", outcome.stderr);
        }
    }

    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// Splits at blanks outside single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[track_caller]
pub fn says(text: &str, expected: &[&str]) {
    for word in expected {
        assert!(text.contains(word), "`{word}` is not in:\n{text}");
    }
}

const POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: web
  namespace: shop
  labels:
    team: a
spec:
  podSelector:
    matchLabels:
      app: web
  ingress:
  - from:
    - podSelector:
        matchLabels:
          app: front
    ports:
    - port: 80
      protocol: TCP
  policyTypes:
  - Ingress
";

fn shop() -> Kubectl {
    let kubectl = Kubectl::new();
    says(&kubectl.ok("create namespace shop"), &["namespace/shop created"]);
    kubectl
}

#[test]
fn the_server_tells_what_it_serves() {
    let kubectl = Kubectl::new();
    let resources = kubectl.ok("api-resources");
    says(
        &resources,
        &["netpol", "networking.k8s.io/v1", "gnp", "GlobalNetworkPolicy", "workloads"],
    );
    let versions = kubectl.ok("api-versions");
    for version in [
        "v1",
        "discovery.k8s.io/v1",
        "networking.k8s.io/v1",
        "projectcalico.org/v3",
        "bulkhead.dev/v1",
    ] {
        assert!(versions.lines().any(|line| line == version), "{versions}");
    }
    says(&kubectl.ok("version"), &["Server Version", "33"]);
    says(&kubectl.ok("explain networkpolicy.spec.podSelector"), &["podSelector"]);
    says(&kubectl.ok("explain globalnetworkpolicy.spec.ingress"), &["action", "destination"]);
    says(&kubectl.ok("explain workload.spec"), &["addresses", "nodeName"]);
    says(&kubectl.ok("auth can-i create pods"), &["yes"]);
    says(&kubectl.ok("cluster-info"), &["is running at"]);
}

#[test]
fn a_policy_is_applied_changed_and_compared() {
    let kubectl = shop();
    let file = kubectl.file("web.yaml", POLICY);
    let file = file.to_str().unwrap();
    says(&kubectl.ok(&format!("apply -f {file} --dry-run=server")), &["created (server dry run)"]);
    kubectl.fails(
        "get netpol web -n shop",
        "",
        &["networkpolicies.networking.k8s.io \"web\" not found"],
    );
    says(
        &kubectl.ok(&format!("apply -f {file}")),
        &["networkpolicy.networking.k8s.io/web created"],
    );
    says(&kubectl.ok(&format!("apply -f {file}")), &["web unchanged"]);

    let changed = POLICY.replace("port: 80", "port: 8080").replace("team: a", "team: b");
    let file = kubectl.file("web.yaml", &changed);
    let file = file.to_str().unwrap();
    let diff = kubectl.run(&format!("diff -f {file}"), "");
    assert_eq!(diff.code, 1, "{}{}", diff.stdout, diff.stderr);
    says(
        &diff.stdout,
        &["-    - port: 80", "+    - port: 8080", "+    team: b"]
            .map(|s| s.trim_start_matches("-    - ")),
    );
    says(&kubectl.ok(&format!("apply -f {file}")), &["web configured"]);
    assert_eq!(kubectl.run(&format!("diff -f {file}"), "").code, 0);
    let changed = kubectl.json("get netpol web -n shop");
    assert_eq!(changed["spec"]["ingress"][0]["ports"].as_array().unwrap().len(), 1);
    assert_eq!(changed["spec"]["ingress"][0]["ports"][0]["port"], 8080);
    says(&kubectl.ok(&format!("delete -f {file}")), &["\"web\" deleted"]);
}

#[test]
fn server_side_apply_names_the_other_manager() {
    let kubectl = shop();
    says(&kubectl.ok_with("apply --server-side -f -", POLICY), &["web serverside-applied"]);
    let other = POLICY.replace("team: a", "team: b");
    kubectl.fails(
        "apply --server-side --field-manager=other -f -",
        &other,
        &["conflict with \"kubectl\"", ".metadata.labels.team"],
    );
    let line = "apply --server-side --field-manager=other --force-conflicts -f -";
    says(&kubectl.ok_with(line, &other), &["web serverside-applied"]);
    let path = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/web";
    let raw = kubectl.ok(&format!("get --raw {path}"));
    let fields: Value = serde_json::from_str(&raw).unwrap();
    let managers = fields["metadata"]["managedFields"].as_array().unwrap();
    let of_spec = managers.iter().filter(|manager| manager["subresource"].is_null());
    let names: Vec<_> = of_spec.map(|manager| manager["manager"].as_str().unwrap()).collect();
    assert_eq!(names, ["kubectl", "other"]);
}

#[test]
fn objects_are_labelled_annotated_patched_and_replaced() {
    let kubectl = shop();
    kubectl.ok_with("create -f -", POLICY);
    kubectl.fails("create -f -", POLICY, &["AlreadyExists", "\"web\" already exists"]);
    says(&kubectl.ok("label netpol web -n shop tier=front"), &["labeled"]);
    kubectl.fails("label netpol web -n shop tier=back", "", &["--overwrite is false"]);
    kubectl.ok("label netpol web -n shop tier=back --overwrite");
    kubectl.ok("label netpol web -n shop team-");
    says(&kubectl.ok("annotate netpol web -n shop why='a reason'"), &["annotated"]);
    let labels = kubectl.json("get netpol web -n shop")["metadata"]["labels"].clone();
    assert_eq!(labels, serde_json::json!({"tier": "back"}));

    let patch = |kind: &str, body: &str| {
        kubectl.ok(&format!("patch netpol web -n shop --type={kind} -p '{body}'"))
    };
    says(&patch("merge", r#"{"spec":{"policyTypes":["Ingress","Egress"]}}"#), &["patched"]);
    says(&patch("json", r#"[{"op":"remove","path":"/metadata/labels/tier"}]"#), &["patched"]);
    says(&patch("strategic", r#"{"metadata":{"labels":{"x":"y"}}}"#), &["patched"]);
    says(&patch("strategic", r#"{"metadata":{"labels":{"x":"y"}}}"#), &["patched (no change)"]);
    let line =
        r#"patch netpol web -n shop --type=json -p '[{"op":"test","path":"/kind","value":"x"}]'"#;
    kubectl.fails(line, "", &["web"]);

    let live = kubectl.ok("get netpol web -n shop -o yaml");
    says(&kubectl.ok_with("replace -f -", &live), &["replaced"]);
    let stale = live.replace("resourceVersion: \"", "resourceVersion: \"1");
    kubectl.fails(
        "replace -f -",
        &stale,
        &["Conflict", "please apply your changes to the latest version"],
    );
    let tier =
        "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata:\n  name: t\nspec:\n  order: 5\n";
    kubectl.ok_with("create -f -", tier);
    let line = r#"patch tier t --type=strategic -p '{"spec":{"order":6}}'"#;
    kubectl.fails(line, "", &["media type"]);
}

#[test]
fn objects_are_made_from_the_command_line_alone() {
    let kubectl = Kubectl::new();
    says(&kubectl.ok("create serviceaccount robot"), &["serviceaccount/robot created"]);
    says(&kubectl.ok("create service clusterip web --tcp=80:8080"), &["service/web created"]);
    let ports = kubectl.json("get service web")["spec"]["ports"].clone();
    assert_eq!((&ports[0]["port"], &ports[0]["targetPort"]), (&80.into(), &8080.into()));
    says(&kubectl.ok("run front --image=nginx --port=80"), &["pod/front created"]);
    says(&kubectl.ok("expose pod front"), &["service/front exposed"]);
    says(&kubectl.ok("get all"), &["pod/front", "service/front", "service/web"]);
}

#[test]
fn lists_are_shown_in_every_form() {
    let kubectl = shop();
    kubectl.ok_with("create -f -", POLICY);
    kubectl.ok_with(
        "create -f -",
        &POLICY.replace("name: web", "name: api").replace("team: a", "team: b"),
    );
    let table = kubectl.ok("get netpol -n shop");
    says(table.lines().next().unwrap(), &["NAME", "AGE"]);
    says(&table, &["web", "api"]);
    says(&kubectl.ok("get netpol -A"), &["NAMESPACE", "shop"]);
    let picked = kubectl.ok("get netpol -n shop -l team=b -o name");
    assert_eq!(picked.trim(), "networkpolicy.networking.k8s.io/api");
    let by_field = kubectl.ok("get netpol -n shop --field-selector metadata.name=web -o name");
    assert_eq!(by_field.trim(), "networkpolicy.networking.k8s.io/web");
    says(&kubectl.ok("get netpol -n shop -o wide"), &["NAME"]);
    says(&kubectl.ok("get netpol -n shop --show-labels"), &["team=a"]);
    says(&kubectl.ok("get netpol -n shop -L team"), &["TEAM"]);
    says(&kubectl.ok("get netpol web -n shop -o yaml"), &["kind: NetworkPolicy", "app: front"]);
    says(&kubectl.ok("get netpol -n shop -o jsonpath={.items[*].metadata.name}"), &["api web"]);
    says(&kubectl.ok("get netpol -n shop --sort-by=.metadata.name"), &["api"]);
    says(&kubectl.ok("get ns,netpol -n shop"), &["namespace/default", "web"]);
    let chunked = kubectl.ok("get netpol -n shop --chunk-size=1 -o name");
    assert_eq!(chunked.lines().count(), 2);
    let describe = kubectl.ok("describe netpol web -n shop");
    says(&describe, &["app=web", "80/TCP", "app=front"]);
    says(&kubectl.ok("describe ns shop"), &["Name:", "shop", "Active"]);
}

#[test]
fn a_watch_prints_changes_as_they_come() {
    let kubectl = shop();
    let mut watching = kubectl
        .command()
        .args(["get", "netpol", "-n", "shop", "-w", "--output-watch-events"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(watching.stdout.take().unwrap()));
    kubectl.ok_with("create -f -", POLICY);
    // The first line is the header; it comes with the first object.
    says(&lines.next().unwrap().unwrap(), &["EVENT", "NAME"]);
    says(&lines.next().unwrap().unwrap(), &["ADDED", "web"]);
    kubectl.ok("label netpol web -n shop a=b");
    says(&lines.next().unwrap().unwrap(), &["MODIFIED", "web"]);
    kubectl.ok("delete netpol web -n shop");
    // The server itself writes the status meanwhile.
    let last = lines.map(Result::unwrap).find(|line| !line.starts_with("MODIFIED"));
    says(&last.unwrap(), &["DELETED", "web"]);
    watching.kill().unwrap();
    watching.wait().unwrap();
}

#[test]
fn bad_objects_are_refused_with_field_value_and_rule() {
    let kubectl = shop();
    let bad_port = POLICY.replace("port: 80", "port: 99999");
    let expected =
        ["web", "is invalid", "spec.ingress[0].ports[0].port", "99999", "between 1 and 65535"];
    kubectl.fails("apply -f -", &bad_port, &expected);
    let typo = POLICY.replace(
        "podSelector:\n    matchLabels:\n      app: web",
        "podSelector: {}\n  inggress: []",
    );
    kubectl.fails("apply -f -", &typo, &["unknown field", "inggress"]);
    kubectl.fails("get nothing", "", &["doesn't have a resource type \"nothing\""]);
    kubectl.fails("get pod nobody", "", &["pods \"nobody\" not found"]);
    kubectl.fails(
        "create -f -",
        "apiVersion: v1\nkind: Gadget\nmetadata:\n  name: x\n",
        &["no matches for kind"],
    );
    kubectl.fails(
        "apply -f -",
        &POLICY.replace("namespace: shop", "namespace: nowhere"),
        &["\"nowhere\" not found"],
    );
}

#[test]
fn deletion_by_selector_and_of_a_whole_namespace() {
    let kubectl = shop();
    kubectl.ok_with("create -f -", POLICY);
    kubectl.ok_with(
        "create -f -",
        &POLICY.replace("name: web", "name: api").replace("team: a", "team: b"),
    );
    says(&kubectl.ok("delete netpol -n shop -l team=a"), &["\"web\" deleted"]);
    kubectl.ok_with("create -f -", &POLICY.replace("name: web", "name: more"));
    says(&kubectl.ok("delete netpol --all -n shop"), &["\"api\" deleted", "\"more\" deleted"]);
    kubectl.ok_with("create -f -", POLICY);
    says(&kubectl.ok("delete ns shop"), &["\"shop\" deleted"]);
    kubectl.fails("get netpol web -n shop", "", &["not found"]);
    kubectl.fails("delete ns default", "", &["may not be deleted"]);
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  generateName: p-\nspec:\n  containers:\n  - {name: c, image: i}\n";
    let name = kubectl.ok_with("create -f - -o name", pod);
    says(&kubectl.ok(&format!("delete {} --cascade=foreground", name.trim())), &["deleted"]);
}

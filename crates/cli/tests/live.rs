//! The commands that speak to a server, against one that says what the test wants.
#![expect(clippy::unwrap_used, reason = "tests fail by panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread::JoinHandle;

/// Answers one request and gives back its head and body.
fn serve_one(status: &'static str, body: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut request = String::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            request.push_str(&line);
            if line.trim().is_empty() {
                break;
            }
        }
        let mut sent = vec![0; length];
        reader.read_exact(&mut sent).unwrap();
        request.push_str(&String::from_utf8(sent).unwrap());
        answer(&mut stream, status, body);
        request
    });
    (url, served)
}

fn answer(stream: &mut TcpStream, status: &str, body: &str) {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
}

fn bulkhead(server: &str, args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n\
         users: [{{name: u, user: {{}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
    );
    std::fs::write(&kubeconfig, text).unwrap();
    Command::new(env!("CARGO_BIN_EXE_bulkhead"))
        .args(args)
        .env("KUBECONFIG", &kubeconfig)
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .output()
        .unwrap()
}

fn texts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

const FLOW: &str = r#"{"time":"2026-01-02T03:04:05.678901Z","started":"2026-01-02T03:04:05.6Z","node":"n1","event":"denied","direction":"ingress","reporter":{"kind":"Pod","namespace":"shop","name":"db"},"src":{"address":"203.0.113.9","port":40312},"dst":{"address":"10.65.0.9","port":5432,"kind":"Pod","namespace":"shop","name":"db"},"protocol":"TCP","verdict":"deny","rule":{"tier":"default"},"revision":8,"forward":{"packets":1,"bytes":60},"reverse":{"packets":0,"bytes":0}}
{"missed":3}
"#;

#[test]
fn flows_are_listed_with_the_filters_asked_for() {
    let (url, served) = serve_one("200 OK", FLOW);
    let output = bulkhead(&url, &["flows", "--verdict", "deny", "-n", "shop"]);
    let (status, stdout, stderr) = texts(&output);
    assert_eq!((status, stderr.as_str()), (0, ""));
    let mut lines = stdout.lines();
    let line = lines.next().unwrap();
    assert!(line.starts_with("03:04:05.678  DENY"), "{line}");
    assert!(line.contains("203.0.113.9:40312 -> shop/db:5432"), "{line}");
    assert!(line.ends_with("default  end of tier"), "{line}");
    assert_eq!(lines.next(), Some("... 3 flows missed"));
    let request = served.join().unwrap();
    let path = "GET /apis/bulkhead.dev/v1/flows?namespace=shop&verdict=deny ";
    assert!(request.starts_with(path), "{request}");
}

#[test]
fn flows_as_json_come_as_they_are() {
    let (url, _served) = serve_one("200 OK", FLOW);
    let (status, stdout, _) = texts(&bulkhead(&url, &["flows", "--output", "json"]));
    assert_eq!((status, stdout.as_str()), (0, FLOW));
}

#[test]
fn a_follower_says_that_the_server_has_gone() {
    let (url, _served) = serve_one("200 OK", FLOW);
    let (status, stdout, stderr) = texts(&bulkhead(&url, &["flows", "--follow"]));
    assert_eq!((status, stdout.lines().count()), (1, 2));
    assert!(stderr.contains("the server has ended the stream"), "{stderr}");
}

#[test]
fn a_token_is_printed_alone() {
    let (url, served) = serve_one("201 Created", r#"{"status":{"token":"bh1.a.b.c"}}"#);
    let (status, stdout, _) = texts(&bulkhead(&url, &["node", "token", "n1", "--ttl", "60"]));
    assert_eq!((status, stdout.as_str()), (0, "bh1.a.b.c\n"));
    let request = served.join().unwrap();
    assert!(request.starts_with("POST /apis/bulkhead.dev/v1/jointokens "), "{request}");
    assert!(request.contains(r#""spec":{"node":"n1","ttlSeconds":60}"#), "{request}");
}

#[test]
fn a_refusal_and_a_dead_server_show_the_way_out() {
    let refusal = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"admins only","reason":"Forbidden","code":403}"#;
    let (url, _served) = serve_one("403 Forbidden", refusal);
    let (status, _, stderr) = texts(&bulkhead(&url, &["node", "token", "n1"]));
    assert_eq!(status, 1);
    assert!(stderr.contains("no token for node `n1`: the server answers 403 `admins only`"));
    assert!(stderr.contains("use the server's admin.kubeconfig"), "{stderr}");

    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (status, _, stderr) = texts(&bulkhead(&format!("http://{dead}"), &["flows"]));
    assert_eq!(status, 1);
    assert!(stderr.contains("cannot list flows"), "{stderr}");
    assert!(stderr.contains("is the server running"), "{stderr}");
}

#[test]
fn a_missing_kubeconfig_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_bulkhead"))
        .args(["flows", "--kubeconfig", "/nowhere/kubeconfig"])
        .output()
        .unwrap();
    let (status, _, stderr) = texts(&output);
    assert_eq!(status, 1);
    assert!(stderr.contains("cannot read the kubeconfig `/nowhere/kubeconfig`"), "{stderr}");
}

/// Answers every request until the test ends: lists by path, 404 elsewhere.
fn serve_lists(lists: &'static [(&'static str, &'static str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = BufReader::new(stream.try_clone().unwrap());
            let mut first = String::new();
            head.read_line(&mut first).unwrap();
            let mut line = String::new();
            while head.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let path = first.split(' ').nth(1).unwrap_or_default();
            let found = lists.iter().find(|(prefix, _)| path.starts_with(prefix));
            let missing = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"none","reason":"NotFound","code":404}"#;
            let (status, body) = match found {
                Some((_, body)) => ("200 OK", *body),
                None => ("404 Not Found", missing),
            };
            answer(&mut stream, status, body);
        }
    });
    url
}

/// Two pages of pods, and a policy that lets nobody in.
const LISTS: &[(&str, &str)] = &[
    (
        "/api/v1/pods?limit=500&continue=next%2Fpage",
        r#"{"metadata":{},"items":[{"metadata":{"namespace":"shop","name":"db","labels":{"app":"db"}},"status":{"podIP":"10.0.0.2"}}]}"#,
    ),
    (
        "/api/v1/pods?limit=500",
        r#"{"metadata":{"continue":"next/page"},"items":[{"metadata":{"namespace":"shop","name":"web"},"status":{"podIP":"10.0.0.1"}}]}"#,
    ),
    (
        "/apis/networking.k8s.io/v1/networkpolicies?limit=500",
        r#"{"metadata":{},"items":[{"metadata":{"namespace":"shop","name":"db"},"spec":{"podSelector":{}}}]}"#,
    ),
];

#[test]
fn the_offline_tools_read_a_server_page_by_page() {
    let url = serve_lists(LISTS);
    let output = bulkhead(&url, &["why", "shop/web", "shop/db:5432", "--server"]);
    let (status, stdout, stderr) = texts(&output);
    assert_eq!((status, stderr.as_str()), (0, ""), "{stdout}");
    assert!(stdout.starts_with("shop/web (10.0.0.1) -> shop/db (10.0.0.2), TCP port 5432: DENY"));
    assert!(stdout.contains("KubernetesNetworkPolicy shop/db"), "{stdout}");
    // The URL may be named as well; there is nothing else at this one.
    let empty = serve_lists(&[]);
    let flag = format!("--server={empty}");
    let output = bulkhead(&url, &["why", "shop/web", "shop/db:5432", &flag]);
    let (status, _, stderr) = texts(&output);
    assert_eq!(status, 1);
    assert!(stderr.contains("`shop/web` is no workload"), "{stderr}");
}

/// As [`LISTS`], all of it on a node but `db`.
const UNPLACED: &[(&str, &str)] = &[
    (
        "/api/v1/pods?limit=500",
        r#"{"metadata":{},"items":[
            {"metadata":{"namespace":"shop","name":"web","labels":{"app":"web"}},"spec":{"nodeName":"n1","containers":[]},"status":{"podIP":"10.0.0.1"}},
            {"metadata":{"namespace":"shop","name":"old"},"spec":{"nodeName":"n1","containers":[]},"status":{"podIP":"10.0.0.3"}},
            {"metadata":{"namespace":"shop","name":"db","labels":{"app":"db"}},"status":{"podIP":"10.0.0.2"}}]}"#,
    ),
    (
        "/apis/networking.k8s.io/v1/networkpolicies?limit=500",
        r#"{"metadata":{},"items":[
            {"metadata":{"namespace":"shop","name":"db"},"spec":{"podSelector":{"matchLabels":{"app":"db"}}}},
            {"metadata":{"namespace":"shop","name":"web"},"spec":{"podSelector":{"matchLabels":{"app":"web"}},
             "policyTypes":["Egress"],"egress":[{"to":[{"podSelector":{"matchLabels":{"app":"db"}}}]}]}}]}"#,
    ),
];

#[test]
fn what_a_server_has_placed_nowhere_is_told_to_be_enforced_nowhere() {
    let url = serve_lists(UNPLACED);
    let (status, stdout, stderr) = texts(&bulkhead(&url, &["reach", "--server"]));
    assert_eq!((status, stderr.as_str()), (0, ""), "{stdout}");
    let mark = "shop/db[Pod]: no node: its own rules are not enforced";
    assert_eq!(stdout.lines().last(), Some(mark), "{stdout}");
    let line = |src: &str, dst: &str| {
        let ends = |line: &str| line.split_whitespace().take(2).eq([src, dst]);
        stdout.lines().any(ends)
    };
    assert!(line("shop/web[Pod]", "shop/db[Pod]"), "its ingress policy is nobody's: {stdout}");
    assert!(!line("shop/web[Pod]", "shop/old[Pod]"), "others' policies are enforced: {stdout}");
    assert!(!stdout.contains("10.0.0.2"), "it is not outside: {stdout}");

    let (status, stdout, _) = texts(&bulkhead(&url, &["reach", "--server", "--output", "json"]));
    let told: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(status, 0);
    let because = "no node: its own rules are not enforced";
    let marked = serde_json::json!([{"workload": "shop/db[Pod]", "because": because}]);
    assert_eq!(told["unenforced"], marked);
}

#[test]
fn files_lie_on_top_of_what_a_server_holds() {
    let url = serve_lists(LISTS);
    let folder = tempfile::tempdir().unwrap();
    let change = folder.path().join("change.yaml");
    let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                metadata: {namespace: shop, name: db}\nspec: {podSelector: {}, ingress: [{}]}\n";
    std::fs::write(&change, text).unwrap();
    let args = ["why", "shop/web", "shop/db:5432", "--server", "-f", change.to_str().unwrap()];
    let (status, stdout, stderr) = texts(&bulkhead(&url, &args));
    assert_eq!((status, stderr.as_str()), (0, ""), "{stdout}");
    assert!(stdout.contains(": ALLOW") && stdout.contains("change.yaml:4"), "{stdout}");
    let output = bulkhead(&url, &["check", "--server", "-f", change.to_str().unwrap()]);
    let (_, stdout, _) = texts(&output);
    assert!(stdout.contains("3 objects in 1 file"), "{stdout}");
    assert!(stdout.contains("warning[allow-all]"), "{stdout}");
}

/// As [`LISTS`], on one page and on a node.
const PLACED: &[(&str, &str)] = &[
    (
        "/api/v1/pods?limit=500",
        r#"{"metadata":{},"items":[
            {"metadata":{"namespace":"shop","name":"web"},"spec":{"nodeName":"n1","containers":[]},"status":{"podIP":"10.0.0.1"}},
            {"metadata":{"namespace":"shop","name":"db"},"spec":{"nodeName":"n1","containers":[]},"status":{"podIP":"10.0.0.2"}}]}"#,
    ),
    (
        "/apis/networking.k8s.io/v1/networkpolicies?limit=500",
        r#"{"metadata":{},"items":[{"metadata":{"namespace":"shop","name":"db"},"spec":{"podSelector":{}}}]}"#,
    ),
];

#[test]
fn a_change_is_compared_with_what_a_server_holds() {
    let url = serve_lists(PLACED);
    let folder = tempfile::tempdir().unwrap();
    let change = folder.path().join("change.yaml");
    let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                metadata: {namespace: shop, name: db}\nspec: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}\n";
    std::fs::write(&change, text).unwrap();
    let change = change.to_str().unwrap();
    let output = bulkhead(&url, &["diff", "--server", "-f", change, "--exit-code"]);
    let (status, stdout, stderr) = texts(&output);
    assert_eq!((status, stderr.as_str()), (1, ""), "{stdout}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let wanted = ["added", "shop/web[Pod]", "shop/db[Pod]", "nothing", "TCP", "80"];
    assert!(stdout.lines().any(|line| words(line) == wanted), "{stdout}");
    let output = bulkhead(&url, &["diff", "--server", "--staged"]);
    assert!(texts(&output).1.starts_with("nothing changes"));
    let output = bulkhead(&url, &["diff", "--server"]);
    let (status, _, stderr) = texts(&output);
    assert_eq!(status, 1);
    assert!(stderr.contains("add `-f` or `--staged`"), "{stderr}");
}

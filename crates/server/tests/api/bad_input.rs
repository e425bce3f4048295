//! What must never hurt: every bad body is answered, nothing is written, the server lives on.

use serde_json::{Value, json};

use crate::process::{Answer, Server, get, post, send};

const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";
const CALICO: &str = "/apis/projectcalico.org/v3/namespaces/default/networkpolicies";

fn policy(spec: Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "bad"}, "spec": spec,
    })
}

/// Sends the body; the answer must be a Status with this code that says all of `words`.
async fn check(
    server: &mut Server,
    path: &str,
    media: &str,
    body: Vec<u8>,
    code: u16,
    words: &[&str],
) {
    let client = server.client().await;
    let before = get(&client, path).await.body["metadata"]["resourceVersion"].clone();
    let Answer { code: found, body } = send(&client, "POST", path, media, body).await;
    let message = body["message"].as_str().unwrap_or_default();
    assert_eq!((found, body["kind"].as_str()), (code, Some("Status")), "{body}");
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
    assert!(message.len() < 4000, "a message of {} bytes", message.len());
    let after = get(&client, path).await.body["metadata"]["resourceVersion"].clone();
    assert_eq!(before, after, "something was written");
    assert!(server.is_running());
}

async fn check_json(path: &str, body: Value, code: u16, words: &[&str]) {
    let mut server = Server::start();
    check(&mut server, path, "application/json", body.to_string().into(), code, words).await;
}

#[tokio::test]
async fn bodies_that_cannot_be_read_name_the_place() {
    let mut server = Server::start();
    let server = &mut server;
    let yaml = "application/yaml";
    check(server, POLICIES, "application/json", b"{\"spec\": ".into(), 400, &["line 1"]).await;
    check(server, POLICIES, yaml, b"spec:\n  a: [1,\n".into(), 400, &["line"]).await;
    check(server, POLICIES, yaml, b"just words".into(), 400, &["object"]).await;
    check(server, POLICIES, "application/json", vec![0xff, 0xfe], 400, &[]).await;
    check(server, POLICIES, "text/html", b"<p>".into(), 415, &["media type"]).await;
    let deep = "[".repeat(100_000);
    check(server, POLICIES, "application/json", deep.into(), 400, &[]).await;
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
    check(server, POLICIES, yaml, bomb.into(), 400, &[]).await;
}

#[tokio::test]
async fn a_wrong_type_names_the_field() {
    let spec = json!({"podSelector": {}, "ingress": [{"ports": [{"port": {}}]}]});
    check_json(POLICIES, policy(spec), 422, &["spec.ingress[0].ports[0].port"]).await;
    let spec = json!({"podSelector": 7});
    check_json(POLICIES, policy(spec), 422, &["spec.podSelector"]).await;
}

#[tokio::test]
async fn an_unknown_field_is_refused_when_validation_is_strict() {
    let mut server = Server::start();
    let body = policy(json!({"podSelector": {}, "inngress": []})).to_string();
    let path = format!("{POLICIES}?fieldValidation=Strict");
    let media = "application/json";
    check(&mut server, &path, media, body.into(), 400, &["unknown field", "spec.inngress"]).await;
}

#[tokio::test]
async fn an_impossible_selector_names_the_field_the_value_and_the_rule() {
    let spec = json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}});
    let words = ["spec.podSelector.matchExpressions[0].operator", "Near"];
    check_json(POLICIES, policy(spec), 422, &words).await;
    let policy = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
        "metadata": {"name": "bad"}, "spec": {"selector": "app == 'web' &&"},
    });
    check_json(CALICO, policy, 422, &["spec.selector", "app == 'web' &&"]).await;
}

#[tokio::test]
async fn a_label_of_a_million_characters_is_refused_briefly() {
    let mut body = policy(json!({"podSelector": {}}));
    body["metadata"]["labels"] = json!({"app": "x".repeat(1_000_000)});
    check_json(POLICIES, body, 422, &["metadata.labels"]).await;
}

#[tokio::test]
async fn a_body_of_50_mb_is_refused_without_being_read() {
    let mut server = Server::start();
    let body = vec![b' '; 50 * 1024 * 1024];
    check(&mut server, POLICIES, "application/json", body, 413, &["limit is 3145728"]).await;
}

#[tokio::test]
async fn an_object_beyond_its_limit_is_refused() {
    let mut body = policy(json!({"podSelector": {}}));
    body["metadata"]["annotations"] = json!({"a": "x".repeat(2_000_000)});
    let server = Server::start();
    let answer = post(&server.client().await, POLICIES, &body).await;
    assert!([413, 422].contains(&answer.code), "{}", answer.body);
}

#[tokio::test]
async fn names_kinds_and_namespaces_that_do_not_fit_are_refused() {
    let mut server = Server::start();
    let server = &mut server;
    let media = "application/json";
    let mut other_kind = policy(json!({"podSelector": {}}));
    other_kind["kind"] = json!("Pod");
    check(server, POLICIES, media, other_kind.to_string().into(), 400, &["Pod"]).await;
    let mut bad_name = policy(json!({"podSelector": {}}));
    bad_name["metadata"]["name"] = json!("Not A Name");
    check(server, POLICIES, media, bad_name.to_string().into(), 422, &["metadata.name"]).await;
    let mut elsewhere = policy(json!({"podSelector": {}}));
    elsewhere["metadata"]["namespace"] = json!("other");
    check(server, POLICIES, media, elsewhere.to_string().into(), 400, &["namespace"]).await;
    let body = policy(json!({"podSelector": {}})).to_string();
    let nowhere = "/apis/networking.k8s.io/v1/namespaces/nowhere/networkpolicies";
    check(server, nowhere, media, body.into(), 404, &["namespaces \"nowhere\" not found"]).await;
}

#[tokio::test]
async fn bad_parameters_are_refused() {
    let server = Server::start();
    let client = server.client().await;
    for (query, code) in [
        ("labelSelector=a%20in%20(", 400),
        ("fieldSelector=spec.nothing%3Dx", 400),
        ("limit=many", 400),
        ("resourceVersion=abc", 400),
        ("continue=x", 400),
        ("resourceVersionMatch=Exact", 400),
    ] {
        let answer = get(&client, &format!("/api/v1/pods?{query}")).await;
        assert_eq!(
            (answer.code, answer.text("/kind")),
            (code, "Status"),
            "{query}: {}",
            answer.body
        );
    }
    assert_eq!(get(&client, "/apis/nothing.dev/v1/things").await.code, 404);
}

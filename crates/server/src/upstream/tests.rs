//! Against an API server of the test's own making, which breaks in every way that servers break.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use bulkhead_store::{Key, Store};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_stream::wrappers::ReceiverStream;

use super::*;
use crate::shutdown;

/// Nothing here takes long; a test that waits for more than this has failed.
const PATIENCE: Duration = Duration::from_secs(20);
const PODS: &str = "/api/v1/pods";
const POLICIES: &str = "/apis/networking.k8s.io/v1/networkpolicies";
const CLUSTER_POLICIES: &str = "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies";

#[derive(Default)]
struct Served {
    /// Objects by collection.
    objects: BTreeMap<&'static str, Vec<Value>>,
    /// Collections that answer with this code.
    failing: BTreeMap<&'static str, u16>,
    /// Open watches by collection.
    open: BTreeMap<String, Vec<mpsc::Sender<Result<Bytes, std::io::Error>>>>,
    lists: BTreeMap<String, usize>,
    patches: Vec<(String, Value)>,
    patch_code: Option<u16>,
    /// What a review of a token says.
    review: Value,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Served>>);

impl Fake {
    fn with(&self, change: impl FnOnce(&mut Served)) {
        change(&mut self.0.lock().unwrap());
    }

    fn put(&self, collection: &'static str, objects: &[Value]) {
        self.with(|served| drop(served.objects.insert(collection, objects.to_vec())));
    }

    /// The collection answers with this code from now on.
    fn fail(&self, collection: &'static str, code: u16) {
        self.0.lock().unwrap().failing.insert(collection, code);
    }

    /// Sends a line on every open watch of the collection, and says how many there are.
    async fn send(&self, collection: &str, line: &Value) -> usize {
        let open = self.0.lock().unwrap().open.get(collection).cloned().unwrap_or_default();
        let mut n_sent = 0;
        for watch in open {
            n_sent += usize::from(watch.send(Ok(format!("{line}\n").into())).await.is_ok());
        }
        n_sent
    }

    /// Ends the watches of a collection before their time.
    fn cut(&self, collection: &str) {
        self.with(|served| drop(served.open.remove(collection)));
    }

    fn n_lists(&self, collection: &str) -> usize {
        self.0.lock().unwrap().lists.get(collection).copied().unwrap_or_default()
    }

    /// Starts it, and the upstream over it.
    async fn start(&self) -> (Upstream, shutdown::Switch) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum_serve(listener, router).await });
        let mut config = kube::Config::new(server.parse().unwrap());
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        let mut upstream = Upstream::over(client, server, Limits::default());
        Arc::get_mut(&mut upstream.0).unwrap().look_every = Duration::from_millis(20);
        let (switch, shutdown) = shutdown::channel();
        tokio::spawn(upstream.clone().run(shutdown));
        (upstream, switch)
    }
}

async fn axum_serve(listener: TcpListener, router: Router) {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use hyper_util::service::TowerToHyperService;
    while let Ok((stream, _)) = listener.accept().await {
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            drop(builder.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(
    State(fake): State<Fake>,
    Query(query): Query<BTreeMap<String, String>>,
    request: Request<Body>,
) -> Response {
    let path = request.uri().path().to_owned();
    if request.method() == axum::http::Method::PATCH {
        let bytes = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
        let patch = serde_json::from_slice(&bytes).unwrap();
        let mut served = fake.0.lock().unwrap();
        served.patches.push((path, patch));
        return match served.patch_code {
            Some(code) => refusal(code),
            None => axum::Json(json!({})).into_response(),
        };
    }
    let mut served = fake.0.lock().unwrap();
    if path == "/apis/authentication.k8s.io/v1/tokenreviews" {
        return axum::Json(json!({"status": served.review.clone()})).into_response();
    }
    if path == "/apis/networking.k8s.io/v1" {
        return axum::Json(json!({"resources": [{"name": "networkpolicies"}]})).into_response();
    }
    if let Some(code) = served.failing.get(path.as_str()) {
        return refusal(*code);
    }
    if query.contains_key("watch") {
        let (sender, receiver) = mpsc::channel(16);
        served.open.entry(path).or_default().push(sender);
        return Body::from_stream(ReceiverStream::new(receiver)).into_response();
    }
    *served.lists.entry(path.clone()).or_default() += 1;
    let all = served.objects.get(path.as_str()).cloned().unwrap_or_default();
    // One object a page, so that every list of more has pages.
    let at: usize = query.get("continue").and_then(|at| at.parse().ok()).unwrap_or_default();
    let next = if at + 1 < all.len() { (at + 1).to_string() } else { String::new() };
    let items: Vec<Value> = all.into_iter().skip(at).take(1).collect();
    axum::Json(json!({"metadata": {"resourceVersion": "5", "continue": next}, "items": items}))
        .into_response()
}

fn refusal(code: u16) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "as the test wants it", "reason": "Test", "code": code});
    (StatusCode::from_u16(code).unwrap(), axum::Json(status)).into_response()
}

fn object(namespace: &str, name: &str, label: &str) -> Value {
    json!({"metadata": {"namespace": namespace, "name": name, "resourceVersion": "3",
        "labels": {"l": label}}})
}

fn gone() -> Value {
    json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "reason": "Expired", "message": "too old", "code": 410}})
}

/// Waits until it holds.
async fn becomes(what: &str, holds: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "never came: {what}");
}

fn holds(upstream: &Upstream, resource: &str, name: &str, label: &str) -> bool {
    let stored = upstream.mirror().get(&Key::new(resource, "app", name));
    stored.is_some_and(|stored| stored.value["metadata"]["labels"]["l"] == label)
}

fn is_gone(upstream: &Upstream, resource: &str, name: &str) -> bool {
    upstream.mirror().get(&Key::new(resource, "app", name)).is_none()
}

#[tokio::test]
async fn all_pages_and_all_changes_are_heard() {
    let fake = Fake::default();
    fake.put(PODS, &[object("app", "a", "1"), object("app", "b", "1"), object("app", "c", "1")]);
    let (upstream, _switch) = fake.start().await;
    upstream.known().await;
    assert!(["a", "b", "c"].iter().all(|name| holds(&upstream, "pods", name, "1")));

    becomes("a watch", || fake.0.lock().unwrap().open.contains_key(PODS)).await;
    fake.send(PODS, &json!({"type": "MODIFIED", "object": object("app", "a", "2")})).await;
    fake.send(PODS, &json!({"type": "DELETED", "object": object("app", "b", "1")})).await;
    becomes("the change", || holds(&upstream, "pods", "a", "2")).await;
    becomes("the deletion", || is_gone(&upstream, "pods", "b")).await;
    assert_eq!(fake.n_lists(PODS), 3, "one list of three pages");
}

#[tokio::test]
async fn a_watch_that_lost_history_is_begun_anew_and_what_vanished_meanwhile_is_gone() {
    let fake = Fake::default();
    fake.put(PODS, &[object("app", "a", "1"), object("app", "b", "1")]);
    let (upstream, _switch) = fake.start().await;
    upstream.known().await;
    becomes("a watch", || fake.0.lock().unwrap().open.contains_key(PODS)).await;
    let n_policies = fake.n_lists(POLICIES);
    fake.put(PODS, &[object("app", "b", "2"), object("app", "c", "2")]);
    assert_eq!(fake.send(PODS, &gone()).await, 1);
    becomes("the new list", || holds(&upstream, "pods", "c", "2")).await;
    assert!(is_gone(&upstream, "pods", "a") && holds(&upstream, "pods", "b", "2"));
    // nothing else has lost anything
    assert_eq!((fake.n_lists(POLICIES), upstream.epoch()), (n_policies, 1));
}

#[tokio::test]
async fn a_watch_that_breaks_makes_everything_be_heard_anew_and_taken_over_together() {
    let fake = Fake::default();
    fake.put(PODS, &[object("app", "a", "1")]);
    fake.put(POLICIES, &[object("app", "p", "1")]);
    let (upstream, _switch) = fake.start().await;
    upstream.known().await;
    becomes("a watch", || fake.0.lock().unwrap().open.contains_key(POLICIES)).await;
    becomes("a watch", || fake.0.lock().unwrap().open.contains_key(PODS)).await;

    // the server comes back with other state, and is slow to tell of its pods
    fake.put(PODS, &[object("app", "b", "2")]);
    fake.put(POLICIES, &[object("app", "q", "2")]);
    fake.fail(PODS, 503);
    fake.cut(POLICIES);
    becomes("policies again", || fake.n_lists(POLICIES) == 2).await;
    let broken = || {
        upstream
            .report()
            .state()
            .kinds
            .iter()
            .any(|kind| kind.kind == "Pod" && !kind.message.is_empty())
    };
    becomes("word of the pods", broken).await;
    assert!(
        holds(&upstream, "pods", "a", "1")
            && holds(&upstream, "networkpolicies.networking.k8s.io", "p", "1")
    );

    fake.with(|served| served.failing.clear());
    becomes("everything", || upstream.epoch() == 2).await;
    assert!(is_gone(&upstream, "pods", "a") && holds(&upstream, "pods", "b", "2"));
    let policies = "networkpolicies.networking.k8s.io";
    assert!(is_gone(&upstream, policies, "p") && holds(&upstream, policies, "q", "2"));
}

#[tokio::test]
async fn nothing_is_known_while_one_kind_is_forbidden_and_the_report_names_it() {
    let fake = Fake::default();
    fake.put(PODS, &[object("app", "a", "1")]);
    fake.fail(POLICIES, 403);
    let (upstream, _switch) = fake.start().await;
    let only = |missing: &str| {
        missing.starts_with("networking.k8s.io/v1 NetworkPolicy (") && missing.contains("403")
    };
    becomes("the name", || upstream.report().waits_for().is_some_and(|missing| only(&missing)))
        .await;
    assert!(upstream.epoch() == 0 && is_gone(&upstream, "pods", "a"));

    fake.with(|served| served.failing.clear());
    upstream.known().await;
    assert_eq!(upstream.report().waits_for(), None);
    assert!(holds(&upstream, "pods", "a", "1"));
}

#[tokio::test]
async fn a_kind_that_is_not_installed_is_named_and_taken_up_when_it_appears() {
    let fake = Fake::default();
    fake.fail(CLUSTER_POLICIES, 404);
    let (upstream, _switch) = fake.start().await;
    upstream.known().await;
    let state = || {
        let kinds = upstream.report().state().kinds;
        kinds.into_iter().find(|kind| kind.kind == "ClusterNetworkPolicy").unwrap().state
    };
    assert_eq!(state(), bulkhead_api::upstream::HeardState::NotInstalled);

    fake.put(CLUSTER_POLICIES, &[json!({"metadata": {"name": "guard"}})]);
    fake.with(|served| served.failing.clear());
    let key = Key::new("clusternetworkpolicies.policy.networking.k8s.io", "", "guard");
    becomes("the policy", || upstream.mirror().get(&key).is_some()).await;
    assert_eq!(state(), bulkhead_api::upstream::HeardState::Followed);
}

#[tokio::test]
async fn a_status_is_patched_where_it_differs_and_never_where_it_is_not_kept() {
    let fake = Fake::default();
    fake.put(POLICIES, &[object("app", "p", "1")]);
    let (upstream, _switch) = fake.start().await;
    upstream.known().await;
    let key = Key::new("networkpolicies.networking.k8s.io", "app", "p");
    let edit = |status: &mut Value| *status = json!({"enforcement": {"nodes": 1}});
    upstream.update_status(&key, edit).await.unwrap();
    upstream.update_status(&key, |_| {}).await.unwrap();
    upstream.update_status(&Key::new("pods", "app", "gone"), edit).await.unwrap();
    let path = "/apis/networking.k8s.io/v1/namespaces/app/networkpolicies/p/status";
    let patch = json!({"metadata": {"resourceVersion": "3"},
        "status": {"enforcement": {"nodes": 1}}});
    let patches = || fake.0.lock().unwrap().patches.clone();
    assert_eq!(patches(), [(path.to_owned(), patch)]);

    fake.with(|served| served.patch_code = Some(409));
    assert!(upstream.update_status(&key, edit).await.is_err(), "to be tried again");
    fake.with(|served| served.patch_code = Some(404));
    upstream.update_status(&key, edit).await.unwrap();
    upstream.update_status(&key, edit).await.unwrap();
    assert_eq!(patches().len(), 3, "a kind without a status is not asked again");
    let kinds = upstream.report().state().kinds;
    assert!(kinds.iter().any(|kind| kind.kind == "NetworkPolicy" && !kind.status.is_empty()));
}

#[tokio::test]
async fn a_pod_of_the_agents_account_joins_as_the_node_that_it_runs_on_and_as_no_other() {
    let fake = Fake::default();
    let pod = json!({"metadata": {"namespace": "bulkhead", "name": "agent-x", "uid": "u1"},
        "spec": {"nodeName": "n2"}});
    fake.put(PODS, &[pod]);
    let (upstream, _switch) = fake.start().await;
    upstream.known().await;
    let account: account::AgentAccount = "bulkhead/bulkhead-agent".parse().unwrap();
    let said = |user: &str, audience: &str, extra: &[(&str, &str)]| {
        let extra: serde_json::Map<String, Value> = extra
            .iter()
            .map(|(key, value)| (format!("authentication.kubernetes.io/{key}"), json!([value])))
            .collect();
        json!({"authenticated": true, "audiences": [audience],
            "user": {"username": user, "extra": extra}})
    };
    let review = async |answer: Value, node: &str| {
        fake.with(|served| served.review = answer);
        upstream.review("token", &account, node).await.map_err(|error| error.to_string())
    };
    let user = "system:serviceaccount:bulkhead:bulkhead-agent";
    let on_n1 = said(user, "bulkhead", &[("node-name", "n1")]);
    assert_eq!(review(on_n1.clone(), "n1").await, Ok(()));
    assert!(review(on_n1, "n2").await.unwrap_err().contains("on node `n1`"));
    // an older API server names the pod only
    let by_pod = said(user, "bulkhead", &[("pod-name", "agent-x"), ("pod-uid", "u1")]);
    assert_eq!(review(by_pod.clone(), "n2").await, Ok(()));
    assert!(review(by_pod, "n1").await.is_err());
    let other_pod = said(user, "bulkhead", &[("pod-name", "agent-x"), ("pod-uid", "u2")]);
    assert!(review(other_pod, "n2").await.is_err());

    let other = said("system:serviceaccount:app:web", "bulkhead", &[("node-name", "n1")]);
    assert!(review(other, "n1").await.unwrap_err().contains("app:web"));
    let elsewhere = said(user, "https://kubernetes.default.svc", &[("node-name", "n1")]);
    assert!(review(elsewhere, "n1").await.unwrap_err().contains("not meant for"));
    let unknown = json!({"authenticated": false, "error": "expired"});
    assert!(review(unknown, "n1").await.unwrap_err().contains("expired"));
}

#[tokio::test]
async fn the_authority_is_told_beside_the_agents() {
    let fake = Fake::default();
    let (upstream, _switch) = fake.start().await;
    let account = "bulkhead/bulkhead-agent".parse().unwrap();
    fake.with(|served| served.patch_code = Some(503));
    let mended = async {
        becomes("a second attempt", || fake.0.lock().unwrap().patches.len() > 1).await;
        fake.with(|served| served.patch_code = None);
    };
    tokio::join!(upstream.publish_ca(&account, "PEM"), mended);
    let (path, map) = fake.0.lock().unwrap().patches.last().cloned().unwrap();
    assert_eq!(path, "/api/v1/namespaces/bulkhead/configmaps/bulkhead-ca");
    assert_eq!(map["data"]["ca.crt"], "PEM");
}

#[tokio::test]
async fn a_join_by_the_token_of_a_pod_gives_a_certificate_of_its_node() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Arc::new(crate::pki::Pki::open(&folder.path().join("pki")).unwrap());
    let store: Arc<dyn Store> =
        Arc::new(bulkhead_store::RedbStore::in_memory(Limits::default()).unwrap());
    let fake = Fake::default();
    let (upstream, _switch) = fake.start().await;
    let account = "bulkhead/bulkhead-agent".parse().unwrap();
    let desk = crate::join::JoinDesk::new(None, store, pki).admitting(upstream, account);
    let extra = json!({"authentication.kubernetes.io/node-name": ["n1"]});
    let user = json!({"username": "system:serviceaccount:bulkhead:bulkhead-agent", "extra": extra});
    fake.with(|served| {
        served.review = json!({"authenticated": true, "audiences": ["bulkhead"], "user": user});
    });
    let key = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
    let request = |node: &str| bulkhead_wire::JoinRequest {
        version: bulkhead_wire::VERSION,
        node: node.to_owned(),
        token: "e30.e30.sig".to_owned(),
        certificate_request: made.pem().unwrap(),
    };
    assert!(desk.join(&request("n1")).await.unwrap().certificate.contains("BEGIN CERTIFICATE"));
    let refused = desk.join(&request("n2")).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
}

#[tokio::test]
async fn a_policy_with_a_field_that_nobody_here_knows_allows_nothing_by_it() {
    let fake = Fake::default();
    let mut policy = object("app", "p", "1");
    policy["spec"] = json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [
        {"from": [{"planet": "mars"}]}, {"ports": [{"port": 80}]}]});
    fake.put(POLICIES, &[policy]);
    let (upstream, _switch) = fake.start().await;
    upstream.known().await;
    let key = Key::new("networkpolicies.networking.k8s.io", "app", "p");
    let read = upstream.mirror().get(&key).unwrap();
    let rules = &read.value["spec"]["ingress"];
    assert_eq!(rules, &json!([{"ports": [{"port": 80, "protocol": "TCP"}]}]));
}

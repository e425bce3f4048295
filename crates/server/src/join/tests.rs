use bulkhead_store::{Limits, RedbStore};
use bulkhead_wire::VERSION;
use rcgen::{CertificateParams, KeyPair};

use super::*;

struct Desk {
    folder: tempfile::TempDir,
    desk: JoinDesk,
}

fn open(folder: &tempfile::TempDir) -> JoinDesk {
    let pki = Arc::new(Pki::open(&folder.path().join("pki")).expect("a CA"));
    let store = RedbStore::open(&folder.path().join("db"), Limits::default()).expect("a store");
    let store: Arc<dyn Store> = Arc::new(store);
    JoinDesk::new(Some(Objects::new(Arc::clone(&store))), store, pki)
}

fn mk_desk() -> Desk {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let desk = open(&folder);
    Desk { folder, desk }
}

fn mk_request(node: &str, token: &str) -> JoinRequest {
    let key = KeyPair::generate().expect("a key");
    let request = CertificateParams::default().serialize_request(&key).expect("a request");
    JoinRequest {
        version: VERSION,
        node: node.into(),
        token: token.into(),
        certificate_request: request.pem().expect("PEM"),
    }
}

async fn mk_token(desk: &JoinDesk, node: &str) -> String {
    desk.new_token(node, Some(60), Timestamp::now()).await.expect("a token").token
}

#[tokio::test]
async fn a_token_joins_its_node_once() {
    let Desk { desk, folder: _folder } = mk_desk();
    let token = mk_token(&desk, "n1").await;
    let joined = desk.join(&mk_request("n1", &token)).await.expect("joins");
    assert!(joined.certificate.contains("BEGIN CERTIFICATE"));
    assert_eq!(joined.authority, desk.pki.ca_pem());
    assert!(desk.store.get(&Key::new("nodes", "", "n1")).is_some(), "the Node object is made");
    let again = desk.join(&mk_request("n1", &token)).await.expect_err("was used");
    assert_eq!(again.code(), tonic::Code::Unauthenticated);
    let other = mk_token(&desk, "n1").await;
    desk.join(&mk_request("n1", &other)).await.expect("a node may join anew with a new token");
}

#[tokio::test]
async fn of_many_that_come_with_one_token_one_joins() {
    let Desk { desk, folder: _folder } = mk_desk();
    let token = mk_token(&desk, "n1").await;
    let requests: Vec<_> = (0..8).map(|_| mk_request("n1", &token)).collect();
    let joins = futures::future::join_all(requests.iter().map(|request| desk.join(request))).await;
    assert_eq!(joins.iter().filter(|join| join.is_ok()).count(), 1);
}

#[tokio::test]
async fn a_token_of_another_node_or_secret_or_time_is_refused() {
    let Desk { desk, folder: _folder } = mk_desk();
    let token = mk_token(&desk, "n1").await;
    let mut wrong: Vec<char> = token.chars().collect();
    let secret = token.find('.').expect("has parts") + 1 + ID_BYTES * 2 + 1;
    wrong[secret] = if wrong[secret] == '0' { '1' } else { '0' };
    let wrong: String = wrong.into_iter().collect();
    for request in [
        mk_request("n2", &token),
        mk_request("n1", &wrong),
        mk_request("n1", "bh1.none.none.none"),
        mk_request("n1", ""),
    ] {
        let refused = desk.join(&request).await.expect_err("is refused");
        assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    }
    let past = Timestamp::now() - SignedDuration::from_secs(61);
    let expired = desk.new_token("n1", Some(60), past).await.expect("a token").token;
    desk.join(&mk_request("n1", &expired)).await.expect_err("has expired");
    desk.join(&mk_request("n1", &token)).await.expect("the right one still joins");
}

#[tokio::test]
async fn a_token_survives_a_restart_and_is_not_in_the_store() {
    let Desk { desk, folder } = mk_desk();
    let token = mk_token(&desk, "n1").await;
    let secret = token.split('.').nth(2).expect("has a secret").to_owned();
    let page = desk.store.list(&ListRequest::all(Scope::Everything)).expect("lists");
    assert_eq!(page.items.len(), 1);
    assert!(!page.items[0].value.to_string().contains(&secret));
    drop((page, desk));
    let desk = open(&folder);
    desk.join(&mk_request("n1", &token)).await.expect("joins");
}

#[tokio::test]
async fn what_cannot_be_a_token_is_refused_by_field() {
    let Desk { desk, folder: _folder } = mk_desk();
    let refused = |node: &'static str, ttl_s| {
        let desk = &desk;
        async move {
            let made = desk.new_token(node, ttl_s, Timestamp::now()).await;
            made.expect_err("is refused").to_string()
        }
    };
    assert!(refused("Bad_Name", None).await.contains("`spec.node`: `Bad_Name`"));
    assert!(refused("", None).await.contains("`spec.node`"));
    assert!(refused("n1", Some(0)).await.contains("`spec.ttlSeconds`: 0"));
    assert!(refused("n1", Some(TTL_MAX_S + 1)).await.contains("`spec.ttlSeconds`"));
}

#[tokio::test]
async fn expired_tokens_make_room() {
    let Desk { desk, folder: _folder } = mk_desk();
    let past = Timestamp::now() - SignedDuration::from_secs(120);
    for _ in 0..3 {
        desk.new_token("n1", Some(60), past).await.expect("a token");
    }
    mk_token(&desk, "n1").await;
    let page = desk.store.list(&ListRequest::all(Scope::Everything)).expect("lists");
    assert_eq!(page.items.len(), 1);
}

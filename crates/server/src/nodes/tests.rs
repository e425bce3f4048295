//! Sessions over real TCP, TLS and gRPC, against a node that is played by the test.

use std::time::Duration;

use bulkhead_api::enforcement::NodeEnforcement;
use bulkhead_store::{Batch, Expect, Key, Limits, RedbStore, Store, Write};
use bulkhead_types::Revision;
use bulkhead_wire::session::SERVER_NAME;
use bulkhead_wire::{
    Ack, FlowReceipt, FromNode, Hello, JoinResponse, Nack, NodeProgram, ToNode, VERSION,
};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

mod surroundings;

use super::*;
use crate::node_labels::LabelRules;
use crate::pki::Pki;
use crate::shutdown;

/// Nothing here takes long; a test that waits for more than this has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    backbone: Backbone,
    store: Arc<dyn Store>,
    pki: Arc<Pki>,
    address: std::net::SocketAddr,
    _switch: shutdown::Switch,
    _tasks: JoinSet<anyhow::Result<()>>,
    _folder: tempfile::TempDir,
}

async fn mk_world() -> World {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pki = Arc::new(Pki::open(&folder.path().join("pki")).expect("a CA"));
    let store = RedbStore::open(&folder.path().join("db"), Limits::default()).expect("a store");
    let store: Arc<dyn Store> = Arc::new(store);
    let (switch, shutdown) = shutdown::channel();
    let (backbone, parts) =
        Backbone::new(&store, None, Arc::clone(&pki), LabelRules::default(), shutdown)
            .expect("a backbone");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut tasks = JoinSet::new();
    backbone.start(parts, &pki, listener, &mut tasks).expect("starts");
    World { backbone, store, pki, address, _switch: switch, _tasks: tasks, _folder: folder }
}

/// Certificate chain and key, PEM.
type Credential = (String, String);

impl World {
    async fn channel(&self, credential: Option<&Credential>) -> Channel {
        let mut roots = RootCertStore::empty();
        roots.add(self.pki.ca_der().clone()).expect("a CA");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut tls = match credential {
            Some((certificate, key)) => {
                let chain = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(vec![chain], key).expect("a credential")
            }
            None => builder.with_no_client_auth(),
        };
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let (tls, address) = (TlsConnector::from(Arc::new(tls)), self.address);
        let connector = tower::service_fn(move |_| {
            let tls = tls.clone();
            async move {
                let name = ServerName::try_from(SERVER_NAME).expect("a name");
                let stream = TcpStream::connect(address).await?;
                Ok::<_, std::io::Error>(TokioIo::new(tls.connect(name, stream).await?))
            }
        });
        let endpoint = Endpoint::from_static("http://bulkhead-server");
        endpoint.connect_with_connector(connector).await.expect("connects")
    }

    async fn join(&self, node: &str, token: &str) -> Result<Credential, Status> {
        let key = KeyPair::generate().expect("a key");
        let request = CertificateParams::default().serialize_request(&key).expect("a request");
        let mut grpc = tonic::client::Grpc::new(self.channel(None).await);
        grpc.ready().await.expect("is ready");
        let codec = ProstCodec::<message::JoinRequest, message::JoinResponse>::default();
        let request = JoinRequest {
            version: VERSION,
            node: node.to_owned(),
            token: token.to_owned(),
            certificate_request: request.pem().expect("PEM"),
        };
        let path = PathAndQuery::from_static(path::JOIN);
        let answer = grpc.unary(Request::new(request.to_message()), path, codec).await?;
        let joined = JoinResponse::from_message(answer.into_inner()).expect("can be read");
        Ok((joined.certificate, key.serialize_pem()))
    }

    async fn token(&self, node: &str) -> String {
        let made = self.backbone.join.new_token(node, None, Timestamp::now()).await;
        made.expect("a token").token
    }

    async fn member(&self, node: &str) -> Credential {
        let token = self.token(node).await;
        self.join(node, &token).await.expect("joins")
    }

    async fn connect(&self, credential: Option<&Credential>, hello: Hello) -> Result<Talk, Status> {
        let (words, outgoing) = mpsc::channel::<message::FromNode>(16);
        let mut grpc = tonic::client::Grpc::new(self.channel(credential).await);
        grpc.ready().await.expect("is ready");
        let codec = ProstCodec::<message::FromNode, message::ToNode>::default();
        let path = PathAndQuery::from_static(path::CONNECT);
        Talk::say_to(&words, FromNode::Hello(hello)).await;
        let request = Request::new(ReceiverStream::new(outgoing));
        let programs = grpc.streaming(request, path, codec).await?.into_inner();
        Ok(Talk { words, programs, program: NodeProgram::default(), kinds: Vec::new() })
    }

    async fn put(&self, resource: &str, value: Value) {
        let text = |name: &str| value["metadata"][name].as_str().unwrap_or_default().to_owned();
        let key = Key::new(resource, text("namespace"), text("name"));
        let write = Write::Put { key, expect: Expect::Anything, value };
        self.store.commit(Batch::from(write)).await.expect("is written");
    }

    async fn put_pod(&self, name: &str, node: &str, address: &str) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
            "spec": {"nodeName": node, "containers": []},
            "status": {"podIPs": [{"ip": address}]},
        });
        self.put("pods", pod).await;
    }

    async fn node_becomes(&self, node: &str, what: impl Fn(&NodeEnforcement) -> bool) {
        let becomes = async {
            loop {
                let now = self.backbone.registry.enforcement();
                if now.nodes.iter().any(|facts| facts.node == node && what(facts)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, becomes).await.expect("in time");
    }
}

/// One session, with the program that its words have led to.
struct Talk {
    words: mpsc::Sender<message::FromNode>,
    programs: Streaming<message::ToNode>,
    program: NodeProgram,
    kinds: Vec<&'static str>,
}

impl Talk {
    async fn say_to(words: &mpsc::Sender<message::FromNode>, word: FromNode) {
        words.send(word.to_message()).await.expect("is sent");
    }

    async fn say(&self, word: FromNode) {
        Self::say_to(&self.words, word).await;
    }

    /// Listens until the program is as wanted; gives what was heard on the way.
    async fn hear(&mut self, what: impl Fn(&NodeProgram) -> bool) -> String {
        let listen = async {
            while !what(&self.program) {
                let word = self.programs.message().await.expect("goes on").expect("goes on");
                match ToNode::from_message(word).expect("can be read") {
                    ToNode::Welcome(_) => {}
                    ToNode::Program(program) => {
                        self.program = NodeProgram::clone(&program);
                        self.kinds.push("program");
                    }
                    ToNode::Delta(delta) => {
                        delta.apply(&mut self.program).expect("follows on");
                        self.kinds.push("delta");
                    }
                }
            }
            std::mem::take(&mut self.kinds).join(" ")
        };
        tokio::time::timeout(PATIENCE, listen).await.expect("in time")
    }
}

fn mk_hello(node: &str, holds: &NodeProgram, life: u64) -> Hello {
    Hello {
        version: VERSION,
        node: node.to_owned(),
        holds: holds.revision,
        digest: holds.digest(),
        life,
        ..Hello::default()
    }
}

fn fresh(node: &str) -> Hello {
    mk_hello(node, &NodeProgram::default(), 0)
}

#[tokio::test]
async fn a_token_joins_once_and_only_its_node() {
    let world = mk_world().await;
    let token = world.token("n1").await;
    let other = world.join("n2", &token).await.expect_err("is n1's token");
    assert_eq!(other.code(), tonic::Code::Unauthenticated);
    world.join("n1", &token).await.expect("joins");
    let again = world.join("n1", &token).await.expect_err("was used");
    assert_eq!(again.code(), tonic::Code::Unauthenticated);
}

#[tokio::test]
async fn a_session_is_only_for_the_node_of_the_certificate() {
    let world = mk_world().await;
    let member = world.member("n1").await;
    let code = |refused: Result<Talk, Status>| refused.err().expect("is refused").code();
    let nobody = world.connect(None, fresh("n1")).await;
    assert_eq!(code(nobody), tonic::Code::Unauthenticated);
    let other = world.connect(Some(&member), fresh("n2")).await;
    assert_eq!(code(other), tonic::Code::PermissionDenied);
    let old = Hello { version: VERSION + 1, ..fresh("n1") };
    let old = world.connect(Some(&member), old).await.err().expect("is refused");
    assert_eq!(old.code(), tonic::Code::FailedPrecondition);
    assert!(old.message().contains("upgrade"), "{}", old.message());
    let admin = world.pki.issue_client("somebody", "system:masters").expect("a credential");
    let admin = world.connect(Some(&(admin.cert_pem, admin.key_pem)), fresh("n1")).await;
    assert_eq!(code(admin), tonic::Code::PermissionDenied);
    world.connect(Some(&member), fresh("n1")).await.expect("is its own");
}

#[tokio::test]
async fn a_node_gets_its_own_program_then_deltas_and_resumes() {
    let world = mk_world().await;
    let member = world.member("n1").await;
    world.put_pod("db", "n2", "10.0.0.9").await;
    let mut talk = world.connect(Some(&member), fresh("n1")).await.expect("a session");
    talk.hear(|program| program.revision > Revision(0)).await;
    world.put_pod("web", "n1", "10.0.0.1").await;
    assert_eq!(talk.hear(|program| program.endpoints.len() == 1).await, "delta");
    assert!(talk.program.endpoints.keys().all(|id| id.name == "web"), "never another node's");
    let held = talk.program.clone();
    drop(talk);

    world.put_pod("api", "n1", "10.0.0.2").await;
    let resume = mk_hello("n1", &held, world.backbone.life);
    let mut talk = world.connect(Some(&member), resume).await.expect("a session");
    talk.program = held.clone();
    assert_eq!(talk.hear(|program| program.endpoints.len() == 2).await, "delta");

    // A revision of another life of the server may be other content: all of it is sent.
    let stranger = mk_hello("n1", &held, world.backbone.life + 1);
    let mut talk = world.connect(Some(&member), stranger).await.expect("a session");
    assert_eq!(talk.hear(|program| program.endpoints.len() == 2).await, "program");
    assert!(talk.program.revision > held.revision);
}

#[tokio::test]
async fn what_a_node_says_is_known_and_a_gap_is_filled() {
    let world = mk_world().await;
    let member = world.member("n1").await;
    world.put_pod("web", "n1", "10.0.0.1").await;
    let mut talk = world.connect(Some(&member), fresh("n1")).await.expect("a session");
    talk.hear(|program| program.endpoints.len() == 1).await;
    let revision = talk.program.revision;
    talk.say(FromNode::Ack(Ack { revision, at_ns: 5 })).await;
    world.node_becomes("n1", |node| node.connected && node.enforced == revision.0).await;
    let reason = "it does not fit".to_owned();
    talk.say(FromNode::Nack(Nack { revision: revision.next(), reason })).await;
    world
        .node_becomes("n1", |node| {
            node.enforced == revision.0 && node.problems.iter().any(|p| p.contains("does not fit"))
        })
        .await;
    talk.program = NodeProgram::default();
    talk.say(FromNode::WantSnapshot { reason: "a gap".into() }).await;
    assert_eq!(talk.hear(|program| program.endpoints.len() == 1).await, "program");
    drop(talk);
    world.node_becomes("n1", |node| !node.connected && node.enforced == revision.0).await;
}

#[tokio::test]
async fn a_new_session_takes_the_place_of_the_old_one() {
    let world = mk_world().await;
    let member = world.member("n1").await;
    let mut old = world.connect(Some(&member), fresh("n1")).await.expect("a session");
    old.hear(|program| program.revision > Revision(0)).await;
    let _new = world.connect(Some(&member), fresh("n1")).await.expect("a session");
    old.say(FromNode::Ack(Ack { revision: Revision(77), at_ns: 5 })).await;
    let ended = tokio::time::timeout(PATIENCE, old.programs.message()).await.expect("in time");
    assert_eq!(ended.expect_err("is over").code(), tonic::Code::Aborted);
    world.node_becomes("n1", |node| node.connected && node.enforced != 77).await;
}

#[tokio::test]
async fn flows_are_taken_from_their_node_only() {
    let world = mk_world().await;
    let member = world.member("n1").await;
    let report = async |credential: Option<&Credential>, node: &str| {
        let mut flow = crate::flows::tests::mk_flow(1).record;
        flow.node = node.into();
        let batch = FlowBatch { boot: 1, sequence: 9, records: vec![flow] };
        let mut grpc = tonic::client::Grpc::new(world.channel(credential).await);
        grpc.ready().await.expect("is ready");
        let codec = ProstCodec::<message::FlowBatch, message::FlowReceipt>::default();
        let path = PathAndQuery::from_static(path::REPORT_FLOWS);
        let answer = grpc.unary(Request::new(batch.to_message()), path, codec).await?;
        Ok::<_, Status>(FlowReceipt::from_message(answer.into_inner()).expect("can be read"))
    };
    let nobody = report(None, "n1").await.expect_err("has no certificate");
    assert_eq!(nobody.code(), tonic::Code::Unauthenticated);
    let forged = report(Some(&member), "n2").await.expect_err("is not n2");
    assert_eq!(forged.code(), tonic::Code::PermissionDenied);
    assert!(world.backbone.flows.all().flows.is_empty());
    assert_eq!(report(Some(&member), "n1").await.expect("is taken").sequence, 9);
    assert_eq!(world.backbone.flows.all().flows.len(), 1);
}

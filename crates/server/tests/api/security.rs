//! Who may come in, and what others may read on disk.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bulkhead_server::pki::{GROUP_NODES, Pki};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::process::{Server, get};

#[tokio::test]
async fn without_a_certificate_there_is_no_conversation() {
    let server = Server::start();
    let mut kubeconfig = Kubeconfig::read_from(server.kubeconfig()).unwrap();
    for user in &mut kubeconfig.auth_infos {
        user.auth_info = Some(Default::default());
    }
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    let anonymous = Client::try_from(config).unwrap();
    anonymous.apiserver_version().await.expect_err("TLS must fail");
    server.client().await.apiserver_version().await.expect("the admin gets in");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let (server, other) = (Server::start(), Server::start());
    let mut kubeconfig = Kubeconfig::read_from(server.kubeconfig()).unwrap();
    kubeconfig.auth_infos = Kubeconfig::read_from(other.kubeconfig()).unwrap().auth_infos;
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    Client::try_from(config).unwrap().apiserver_version().await.expect_err("TLS must fail");
}

#[tokio::test]
async fn a_node_certificate_gets_403_on_every_path() {
    let server = Server::start();
    let pki = Pki::open(&server.path("pki")).unwrap();
    let node = pki.issue_client("system:node:n1", GROUP_NODES).unwrap();
    let mut config = server.config().await;
    config.auth_info = serde_json::from_value(serde_json::json!({
        "client-certificate-data": base64(&node.cert_pem),
        "client-key-data": base64(&node.key_pem),
    }))
    .unwrap();
    let client = Client::try_from(config).unwrap();
    for path in ["/api/v1/pods", "/version", "/healthz", "/openapi/v2", "/nothing"] {
        let answer = get(&client, path).await;
        assert_eq!((answer.code, answer.text("/reason")), (403, "Forbidden"), "{path}");
    }
}

#[tokio::test]
async fn keys_are_readable_by_their_owner_only() {
    let mut server = Server::start();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for name in ["admin.kubeconfig", "pki/ca.key"] {
        assert_eq!(mode(&server.path(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&server.path("pki/ca.crt")), 0o644);
    let ready = server.ready();
    assert!(ready["api"].as_str().unwrap().starts_with("127.0.0.1:"), "{ready}");

    let ca = std::fs::read(server.path("pki/ca.crt")).unwrap();
    assert_eq!(server.terminate(), Some(0), "SIGTERM ends it cleanly\n{}", server.log());
    assert!(!server.path("ready.json").exists());
    server.run();
    assert_eq!(std::fs::read(server.path("pki/ca.crt")).unwrap(), ca, "the CA is kept");
    server.client().await.apiserver_version().await.expect("the new kubeconfig works");
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

//! The file that makes `kubectl` an admin of this server.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::pki::Credential;

/// JSON is YAML, and has one way to quote.
pub fn render(server: &str, ca_pem: &str, user: &str, credential: &Credential) -> String {
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bulkhead", "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(ca_pem),
        }}],
        "users": [{"name": user, "user": {
            "client-certificate-data": STANDARD.encode(&credential.cert_pem),
            "client-key-data": STANDARD.encode(&credential.key_pem),
        }}],
        "contexts": [{"name": "bulkhead", "context": {"cluster": "bulkhead", "user": user}}],
        "current-context": "bulkhead",
    });
    format!("{config:#}\n")
}

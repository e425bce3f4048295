use std::os::unix::fs::PermissionsExt;

use super::*;

#[track_caller]
fn check(text: &str, expected: TokenError) {
    assert_eq!(text.parse::<JoinToken>(), Err(expected));
}

#[test]
fn a_token_that_was_not_copied_whole_is_refused() {
    let hash = "ab".repeat(32);
    check("", TokenError::Parts { n_parts: 1 });
    check("bh1.id.secret", TokenError::Parts { n_parts: 3 });
    check(&format!("bh2.id.secret.{hash}"), TokenError::Version { prefix: "bh2".into() });
    check("bh1.id.secret.abc", TokenError::Hash);
    check(&format!("bh1.id.secret.{}", "zz".repeat(32)), TokenError::Hash);
    let token: JoinToken = format!("bh1.id.secret.{hash}").parse().expect("is whole");
    assert_eq!(format!("{token:?}"), "JoinToken(..)");
}

#[test]
fn an_identity_is_private_and_of_one_node() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let state_dir = folder.path().join("state");
    assert!(NodeIdentity::load(&state_dir, "n1").expect("nothing there").is_none());
    let identity = NodeIdentity {
        node: "n1".into(),
        key: "key".into(),
        certificate: "cert".into(),
        authority: "ca".into(),
    };
    identity.save(&state_dir).expect("saves");
    assert_eq!(NodeIdentity::load(&state_dir, "n1").expect("loads"), Some(identity));
    let mode =
        |path: &Path| std::fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    assert_eq!(mode(&state_dir.join(FILE)), 0o600);
    assert_eq!(mode(&state_dir), 0o700);
    let error = NodeIdentity::load(&state_dir, "n2").expect_err("is another node's");
    assert!(error.to_string().contains("belongs to node `n1`, not to `n2`"), "{error}");
    std::fs::write(state_dir.join(FILE), b"{").expect("writes");
    let error = NodeIdentity::load(&state_dir, "n1").expect_err("is damaged");
    assert!(error.to_string().contains("join again"), "{error}");
}

#[test]
fn a_token_of_somebody_else_comes_with_the_authority_to_trust() {
    let made = rcgen::generate_simple_self_signed(["server".to_owned()]).expect("a certificate");
    let token = JoinToken::with_authority("e30.e30.sig", &made.cert.pem()).expect("is whole");
    assert_eq!(token.as_str(), "e30.e30.sig");
    assert!(token.names_authority(made.cert.der()));
    let other = rcgen::generate_simple_self_signed(["server".to_owned()]).expect("a certificate");
    assert!(!token.names_authority(other.cert.der()));
    let error = JoinToken::with_authority("e30.e30.sig", "no PEM").expect_err("is none");
    assert_eq!(error, TokenError::Authority);
}

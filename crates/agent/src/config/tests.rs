use super::*;

fn check(more: &[&str]) -> Result<Config, ConfigError> {
    let line = ["bulkhead-agent", "--node", "n1", "--server", "192.0.2.1:7444"];
    Config::check(RawConfig::parse_from(line.iter().chain(more)))
}

#[test]
fn a_token_file_may_be_gone_but_not_unreadable() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let Ok(Config::Run(config)) = check(&["--token-file", &path("gone")]) else {
        panic!("a node that has joined does not start without its token")
    };
    assert!(config.token.is_none());
    std::fs::create_dir(path("folder")).unwrap();
    let error = check(&["--token-file", &path("folder")]).unwrap_err().to_string();
    assert!(error.contains("given as --token-file, cannot be read"), "{error}");
}

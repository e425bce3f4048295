use super::*;

/// The example of the module's documentation, word for word.
fn documented_line() -> String {
    include_str!("../flow.rs")
        .lines()
        .skip_while(|line| !line.starts_with("//! ```json"))
        .skip(1)
        .take_while(|line| !line.starts_with("//! ```"))
        .map(|line| line.trim_start_matches("//!").trim())
        .collect()
}

#[test]
fn the_documented_line_is_what_is_read_and_written() {
    let line = documented_line();
    let read: FlowLine = serde_json::from_str(&line).expect("the example is a line");
    let FlowLine::Flow(flow) = &read else { panic!("the example is a flow: {read:?}") };
    assert_eq!(flow.rule.index, Some(1));
    assert_eq!(flow.dst.endpoint.as_ref().map(|end| end.name.as_str()), Some("db"));
    assert_eq!(serde_json::to_string(&read).expect("writes"), line);
}

#[test]
fn an_unknown_end_has_only_its_address() {
    let end = FlowEnd {
        address: [192, 0, 2, 1].into(),
        port: None,
        endpoint: None,
        labels: BTreeMap::new(),
        names: Vec::new(),
    };
    let text = serde_json::to_string(&end).expect("writes");
    assert_eq!(text, r#"{"address":"192.0.2.1"}"#);
    assert_eq!(serde_json::from_str::<FlowEnd>(&text).expect("reads"), end);
}

#[test]
fn a_gap_is_no_flow() {
    let read: FlowLine = serde_json::from_str(r#"{"missed":7}"#).expect("reads");
    assert_eq!(read, FlowLine::Gap(FlowGap { missed: 7 }));
}

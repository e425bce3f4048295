//! How cases are read.

use bulkhead_types::{Decision, Protocol};

use super::case::{self, Case, Port};
use super::{junit, table, yaml};

fn shown(case: &Case) -> String {
    let list =
        |list: &[case::Whom]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join("+");
    let ports: Vec<String> = case.ports.iter().map(ToString::to_string).collect();
    let rule = case.rule.as_deref().unwrap_or("-");
    format!(
        "{} {} {} {} {} {rule} @{}",
        case.name.as_deref().unwrap_or("-"),
        list(&case.from),
        list(&case.to),
        ports.join("+"),
        case.expect,
        case.source.line,
    )
}

#[test]
fn tables_of_cases_are_read_and_others_passed_over() {
    let text = "# All\n\n| a | b |\n|---|---|\n| from | to |\n\n## Shop\n\n\
        | From | to | Port | expect | rule |\n|:--|---|---|--:|---|\n\
        | shop/web, `10.0.0.1` | shop/{app in {'a', 'b'}} | 80, 53/UDP | allow | |\n\
        | */* | x | ICMP | deny | end of tier default |\n\n\
        ```\n| from | to | port | expect |\n| a | b | 1 | allow |\n```\n";
    let cases = table::read("a.md", text).unwrap();
    let shown: Vec<String> = cases.iter().map(shown).collect();
    assert_eq!(
        shown,
        [
            "Shop shop/web+10.0.0.1 shop/{app in {\"a\", \"b\"}} 80/TCP+53/UDP allow - @11",
            "Shop */* x ICMP deny end of tier default @12",
        ]
    );
}

#[test]
fn yaml_cases_take_one_or_many_of_everything() {
    let text = "cases:\n- {name: n, from: shop/web, to: [a/b, {namespace: x, selector: has(y)}], \
        port: [80, 53/UDP], expect: allow}\n\
        - from: {selector: a == 'b'}\n  to: 10.0.0.1\n  protocol: ICMP\n  expect: deny\n  rule: profile\n";
    let cases = yaml::read("a.yaml", text).unwrap();
    let shown: Vec<String> = cases.iter().map(shown).collect();
    assert_eq!(
        shown,
        [
            "n shop/web a/b+x/{has(y)} 80/TCP+53/UDP allow - @2",
            "- */{a == \"b\"} 10.0.0.1 ICMP deny profile @3",
        ]
    );
}

#[test]
fn bad_cases_name_place_and_trouble() {
    let table_of = |row: &str| {
        let text = format!("| from | to | port | expect |\n|---|---|---|---|\n{row}\n");
        table::read("a.md", &text).unwrap_err().first().unwrap().to_string()
    };
    let cases = [
        ("| a | b | 80 |", "the row has 3 cells and the head has 4"),
        ("| a |  | 80 | allow |", "the cell `to` is empty"),
        ("| a | b | http | allow |", "`http` is not a port"),
        ("| a | b | 80 | yes |", "`yes` is neither `allow` nor `deny`"),
        ("| a | b/{x ==} | 80 | deny |", "`b/{x ==}`"),
        ("| a | b | 0 | deny |", "TCP needs a port"),
    ];
    for (row, expected) in cases {
        let error = table_of(row);
        assert!(error.contains(expected) && error.contains("a.md:3:1"), "{row}: {error}");
    }
    let of = |text: &str| yaml::read("a.yaml", text).unwrap_err().first().unwrap().to_string();
    let cases = [
        ("cases:\n- {from: a, to: b, port: 80}\n", "has no `expect`", "a.yaml:2:3"),
        (
            "cases:\n- {frm: a, to: b, port: 1, expect: deny}\n",
            "did you mean `from`?",
            "a.yaml:2:4",
        ),
        ("case: []\n", "there is only `cases`", "a.yaml:1:1"),
        ("- a\n", "is a map with a list `cases`", "a.yaml:1:1"),
        ("cases:\n- {from: a, to: b, expect: deny}\n", "has no `port`", "a.yaml:2:3"),
        ("cases: {\n", "not well-formed YAML", "a.yaml:1:8"),
    ];
    for (text, expected, place) in cases {
        let error = of(text);
        assert!(error.contains(expected) && error.contains(place), "{text}: {error}");
    }
}

#[test]
fn ports_say_their_protocol() {
    let port = |protocol, port, icmp_type| Ok(Port { protocol, port, icmp_type });
    assert_eq!(case::port("80", None), port(Protocol::TCP, Some(80), None));
    assert_eq!(case::port("80", Some(Protocol::UDP)), port(Protocol::UDP, Some(80), None));
    assert_eq!(case::port("53/udp", None), port(Protocol::UDP, Some(53), None));
    assert_eq!(case::port("8/ICMP", None), port(Protocol::ICMP, None, Some(8)));
    assert_eq!(case::port("ICMPv6", None), port(Protocol::ICMPV6, None, None));
    assert!(case::port("70000", None).is_err());
    assert_eq!(case::expect("deny"), Ok(Decision::Deny));
}

#[test]
fn xml_holds_what_it_may() {
    assert_eq!(junit::escaped("a<b> & \"c\"\u{1}"), "a&lt;b&gt; &amp; &quot;c&quot; ");
}

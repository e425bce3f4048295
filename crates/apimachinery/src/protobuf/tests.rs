use serde_json::json;

use super::*;

/// Field `number` with a length and `content`.
fn part(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2, u8::try_from(content.len()).expect("short")];
    bytes.extend_from_slice(content);
    bytes
}

fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [part(1, api_version.as_bytes()), part(2, kind.as_bytes())].concat();
    [MAGIC, &part(1, &meta), &part(2, raw), &part(3, b""), &part(4, b"")].concat()
}

#[test]
fn a_namespace_as_kubectl_writes_it() {
    let entry = [part(1, b"team"), part(2, b"a")].concat();
    // Go writes the texts that are not set as empty ones, and the zero time as an empty message.
    let meta = [part(1, b"shop"), part(2, b""), part(3, b""), part(8, b""), part(11, &entry)];
    let raw = [part(1, &meta.concat()), part(2, b""), part(3, &part(1, b""))].concat();
    let expected = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"team": "a"}},
    });
    assert_eq!(parse_object(&body("v1", "Namespace", &raw)), Ok(expected));
}

#[test]
fn a_service_with_ports_by_number_and_name() {
    let by_number = [number(3, 80), part(4, &[number(1, 0), number(2, 90)].concat())].concat();
    let by_name = [number(3, 81), part(4, &[number(1, 1), part(3, b"http")].concat())].concat();
    let raw = part(2, &[part(1, &by_number), part(1, &by_name)].concat());
    let object = parse_object(&body("v1", "Service", &raw)).expect("it is readable");
    let expected = json!([{"port": 80, "targetPort": 90}, {"port": 81, "targetPort": "http"}]);
    assert_eq!(object["spec"]["ports"], expected);
}

#[test]
fn pointers_keep_their_zero_values() {
    let raw = [number(1, 0), number(3, 0)].concat();
    let object = parse_object(&body("v1", "DeleteOptions", &raw)).expect("it is readable");
    assert_eq!(object["gracePeriodSeconds"], 0);
    assert_eq!(object["orphanDependents"], false);
}

#[test]
fn other_kinds_and_other_bytes_are_refused() {
    assert_eq!(parse_object(&body("v1", "Pod", b"")).expect_err("no table").code(), 415);
    let cut = body("v1", "Namespace", &[0x0a, 0x7f, 0x00]);
    for bad in [b"".as_slice(), b"k8s", b"{}", &cut, &body("v1", "Namespace", &[0x0a, 2, 0x0a, 9])]
    {
        assert_eq!(parse_object(bad).expect_err("bad").code(), 400, "{bad:?}");
    }
    // Cut anywhere, it is refused or read, but never a panic.
    for length in 0..cut.len() {
        drop(parse_object(&cut[..length]));
    }
}

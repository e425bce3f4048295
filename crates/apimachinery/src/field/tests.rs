use serde_json::json;

use super::*;

#[test]
fn errors_read_like_those_of_kubernetes() {
    let cases = [
        (
            FieldError::invalid("spec.a", &json!("x"), "must be y"),
            r#"spec.a: Invalid value: "x": must be y"#,
        ),
        (FieldError::required("spec.a", ""), "spec.a: Required value"),
        (
            FieldError::not_supported("spec.t[0]", &json!("In"), &["Egress", "Ingress"]),
            r#"spec.t[0]: Unsupported value: "In": supported values: "Egress", "Ingress""#,
        ),
        (
            FieldError::wrong_type("spec.order", &json!("1"), "number"),
            r#"spec.order: Invalid value: "string": spec.order in body must be of type number: "string""#,
        ),
        (FieldError::too_long("spec.a", 9), "spec.a: Too long: may not be more than 9 bytes"),
        (FieldError::duplicate("spec.a[1]", &json!(7)), "spec.a[1]: Duplicate value: 7"),
    ];
    for (error, text) in cases {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_huge_value_is_cut_short_in_its_error() {
    let error = FieldError::invalid("metadata.labels", &json!("x".repeat(1_000_000)), "too long");
    assert!(error.to_string().len() < 300);
    assert!(error.to_string().contains("(1000002 characters)"), "{error}");
}

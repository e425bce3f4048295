use axum::http::HeaderValue;

use super::*;

fn check(accept: &str, expected: Option<(Form, Encoding)>) {
    let mut headers = HeaderMap::new();
    if !accept.is_empty() {
        headers.insert(ACCEPT, HeaderValue::from_str(accept).expect("a header"));
    }
    let found = Accepted::from_headers(&headers).ok().map(|a| (a.form, a.encoding));
    assert_eq!(found, expected, "{accept}");
}

#[test]
fn the_first_form_that_we_serve_is_taken() {
    check("", Some((Form::Object, Encoding::Json)));
    check("*/*", Some((Form::Object, Encoding::Json)));
    check("application/yaml", Some((Form::Object, Encoding::Yaml)));
    check(
        "application/vnd.kubernetes.protobuf,application/json",
        Some((Form::Object, Encoding::Json)),
    );
    check(
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
        Some((Form::Table, Encoding::Json)),
    );
    check(
        "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
        Some((Form::Object, Encoding::Json)),
    );
    check(
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        Some((Form::Metadata, Encoding::Json)),
    );
}

#[test]
fn what_we_cannot_serve_is_refused() {
    check("text/html", None);
    check("application/vnd.kubernetes.protobuf", None);
}

//! Everything that a live server holds, as objects.
//!
//! Any server that speaks the Kubernetes API will do: a kind that it does not serve has no objects.

use anyhow::{Context, anyhow, bail};
use bulkhead_api::Object;
use bulkhead_api::object::Kind;
use http::Request;
use kube::Client;
use serde_json::Value;

use crate::args::Server;
use crate::client;

/// Objects asked for at a time.
const PAGE: usize = 500;
/// Most objects taken from a server.
const OBJECTS_MAX: usize = 2_000_000;

/// The objects of every kind that Bulkhead keeps.
pub fn objects(url: Option<&str>, access: &Server) -> anyhow::Result<Vec<Object>> {
    client::talk(async {
        let client = client::connect_at(access, url).await?;
        let mut objects = Vec::new();
        for kind in Kind::served() {
            list(&client, kind, &mut objects).await?;
        }
        Ok(objects)
    })
}

async fn list(client: &Client, kind: Kind, objects: &mut Vec<Object>) -> anyhow::Result<()> {
    let mut next = String::new();
    loop {
        let request = Request::get(path(kind, &next)).body(Vec::new())?;
        let page: Value = match client.request(request).await {
            Ok(page) => page,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) => {
                return Err(client::explain(&format!("cannot list {}", kind.plural()), error));
            }
        };
        for item in items(page.get("items"), kind)? {
            objects.push(read(item, kind)?);
        }
        if objects.len() > OBJECTS_MAX {
            bail!("the server holds more than {OBJECTS_MAX} objects");
        }
        match page.pointer("/metadata/continue").and_then(Value::as_str) {
            Some(token) if !token.is_empty() && token != next => token.clone_into(&mut next),
            _ => return Ok(()),
        }
    }
}

fn items(list: Option<&Value>, kind: Kind) -> anyhow::Result<&[Value]> {
    match list {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(anyhow!("the server's list of {} is no list", kind.plural())),
    }
}

/// Items of a list do not repeat what they are.
fn read(item: &Value, kind: Kind) -> anyhow::Result<Object> {
    let mut item = item.clone();
    let (api_version, name) = kind.api();
    if let Some(fields) = item.as_object_mut() {
        fields.insert("apiVersion".to_owned(), api_version.into());
        fields.insert("kind".to_owned(), name.into());
    }
    let who = item.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("?").to_owned();
    Object::from_value(item).with_context(|| format!("the server's {name} `{who}`"))
}

fn path(kind: Kind, next: &str) -> String {
    let (api_version, _) = kind.api();
    let root = if api_version.contains('/') { "apis" } else { "api" };
    let mut path = format!("/{root}/{api_version}/{}?limit={PAGE}", kind.plural());
    if !next.is_empty() {
        path.push_str(&format!("&continue={}", client::escaped(next)));
    }
    path
}

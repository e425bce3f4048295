//! Commit-confirm: a change that takes itself back unless somebody confirms it in time, so that a rule
//! that locks its author out does not last.
//!
//! ```text
//! written with   bulkhead.dev/confirm-within: 90s
//! stands with    bulkhead.dev/confirm-by: <time>, bulkhead.dev/unconfirmed: <what was there before>
//! confirmed by   removing bulkhead.dev/confirm-by
//! ```
//!
//! Everything is kept on the object itself, so a restart of the server forgets nothing. Pure functions;
//! `background::confirm` has the clock.

use bulkhead_apimachinery::status::Status;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

pub const WITHIN: &str = "bulkhead.dev/confirm-within";
pub const BY: &str = "bulkhead.dev/confirm-by";
pub const UNCONFIRMED: &str = "bulkhead.dev/unconfirmed";
/// When a change was last taken back.
pub const ROLLED_BACK: &str = "bulkhead.dev/rolled-back";

pub const SECONDS_MIN: i64 = 5;
pub const SECONDS_MAX: i64 = 86_400;

/// What belongs to every object and is no content, or is nobody's to take back.
const NO_CONTENT: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// What a pending change becomes when its time is over.
#[derive(Clone, Debug, PartialEq)]
pub enum Before {
    /// There was nothing.
    Nothing,
    Was(Content),
}

/// What a change may change: `spec` or whatever the kind has in its place, and the labels, by which
/// policies find who they are for. Labels that were kept by an older server are not known (`None`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    fields: Map<String, Value>,
    labels: Option<Map<String, Value>>,
}

impl Content {
    fn of(object: &Value) -> Self {
        let is_content = |name: &str| !NO_CONTENT.contains(&name);
        let fields = object.as_object().into_iter().flatten();
        let fields = fields.filter(|(name, _)| is_content(name));
        Self {
            fields: fields.map(|(name, value)| (name.clone(), value.clone())).collect(),
            labels: Some(labels(object)),
        }
    }

    fn to_text(&self) -> String {
        let mut all = self.fields.clone();
        all.insert("labels".to_owned(), self.labels.clone().unwrap_or_default().into());
        Value::Object(all).to_string()
    }

    fn from_kept(mut fields: Map<String, Value>) -> Self {
        let labels = fields.remove("labels");
        let labels = labels.map(|labels| labels.as_object().cloned().unwrap_or_default());
        fields.retain(|_, value| !value.is_null());
        Self { fields, labels }
    }
}

fn labels(object: &Value) -> Map<String, Value> {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    labels.cloned().unwrap_or_default()
}

fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(name)?.as_str()
}

fn annotations(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.pointer_mut("/metadata/annotations")?.as_object_mut()
}

/// Arranges a write: takes the wish for confirmation off the object, and notes what was there before. A
/// second change before the first is confirmed keeps the first one's past.
pub fn arrange(live: Option<&Value>, object: &mut Value, now: Timestamp) -> Result<(), Status> {
    let wish = annotations(object).and_then(|all| all.remove(WITHIN));
    let pending = live.and_then(|live| annotation(live, UNCONFIRMED));
    let Some(wish) = wish else {
        settle(live, object);
        return Ok(());
    };
    let within = duration(wish.as_str().unwrap_or_default())?;
    let is_same = live.is_some_and(|live| Content::of(live) == Content::of(object));
    let before = match (pending, live) {
        (Some(before), _) => before.to_owned(),
        (None, _) if is_same => return Ok(()),
        (None, Some(live)) => Content::of(live).to_text(),
        (None, None) => Value::Null.to_string(),
    };
    let by = now.checked_add(within).map_err(Status::internal)?;
    if let Some(all) = annotations(object) {
        all.insert(BY.to_owned(), by.to_string().into());
        all.insert(UNCONFIRMED.to_owned(), before.into());
        all.remove(ROLLED_BACK);
    }
    Ok(())
}

/// Without a wish: whoever removes the deadline confirms; nobody makes or moves one by hand.
fn settle(live: Option<&Value>, object: &mut Value) {
    let by = live.and_then(|live| annotation(live, BY)).map(str::to_owned);
    let before = live.and_then(|live| annotation(live, UNCONFIRMED)).map(str::to_owned);
    let is_confirmed = annotation(object, BY).is_none();
    let Some(all) = annotations(object) else { return };
    all.remove(BY);
    all.remove(UNCONFIRMED);
    if let (Some(by), Some(before), false) = (by, before, is_confirmed) {
        all.insert(BY.to_owned(), by.into());
        all.insert(UNCONFIRMED.to_owned(), before.into());
    }
}

/// `90s`, `5m`, `1h`.
fn duration(text: &str) -> Result<SignedDuration, Status> {
    let wrong = || {
        Status::bad_request(format!(
            "metadata.annotations[{WITHIN}]: `{text}` is no time to confirm in: write it as `90s`, `5m` \
             or `1h`, at least {SECONDS_MIN}s and at most 24h"
        ))
    };
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        _ => return Err(wrong()),
    };
    let number: i64 = text.strip_suffix(unit).unwrap_or_default().parse().map_err(|_| wrong())?;
    let seconds = number.checked_mul(factor).ok_or_else(wrong)?;
    if !(SECONDS_MIN..=SECONDS_MAX).contains(&seconds) {
        return Err(wrong());
    }
    Ok(SignedDuration::from_secs(seconds))
}

/// Until when the object waits to be confirmed; `None`: it does not. What cannot be read is over.
pub fn deadline(object: &Value) -> Option<Timestamp> {
    annotation(object, UNCONFIRMED)?;
    let by = annotation(object, BY)?;
    Some(by.parse().unwrap_or(Timestamp::MIN))
}

pub fn before(object: &Value) -> Option<Before> {
    let text = annotation(object, UNCONFIRMED)?;
    Some(match serde_json::from_str::<Value>(text).ok()? {
        Value::Null => Before::Nothing,
        Value::Object(kept) => Before::Was(Content::from_kept(kept)),
        _ => return None,
    })
}

/// The object as it was before the pending change.
pub fn take_back(object: &mut Value, was: &Content, now: Timestamp) {
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|name, _| NO_CONTENT.contains(&name.as_str()));
        fields.extend(was.fields.clone());
    }
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    if let (Some(metadata), Some(labels)) = (metadata, &was.labels) {
        match labels.is_empty() {
            true => metadata.remove("labels"),
            false => metadata.insert("labels".to_owned(), labels.clone().into()),
        };
    }
    if let Some(all) = annotations(object) {
        all.remove(BY);
        all.remove(UNCONFIRMED);
        all.insert(ROLLED_BACK.to_owned(), now.to_string().into());
    }
}

#[cfg(test)]
mod tests;

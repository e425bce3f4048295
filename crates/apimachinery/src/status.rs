//! Every answer that is not an object: `Status` of `v1`, with the code, the reason that programs
//! read and the message that people read.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::field::FieldError;
use crate::kinds::Resource;

#[cfg(test)]
mod tests;

/// Most field errors that are listed in one answer; the rest is counted.
const CAUSES_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Unauthorized,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Gone,
    Expired,
    Invalid,
    BadRequest,
    MethodNotAllowed,
    NotAcceptable,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    TooManyRequests,
    InternalError,
    ServiceUnavailable,
    Timeout,
}

/// A failure, ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub reason: Reason,
    pub message: String,
    /// The object in question.
    pub subject: Option<Box<Subject>>,
    pub causes: Vec<Cause>,
    pub retry_after_s: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    pub name: String,
    pub group: String,
    /// The plural in most answers, the kind in "invalid" ones, as upstream does.
    pub kind: String,
    pub uid: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub reason: String,
    pub message: String,
    pub field: String,
}

impl Status {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let (message, causes) = (message.into(), Vec::new());
        Status { reason, message, subject: None, causes, retry_after_s: None }
    }

    /// The request cannot be read.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Status::new(Reason::BadRequest, message)
    }

    pub fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.qualified_plural());
        Status::new(Reason::NotFound, message).about(resource, name)
    }

    /// No such path.
    pub fn no_such_path() -> Self {
        Status::new(Reason::NotFound, "the server could not find the requested resource")
    }

    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.qualified_plural());
        Status::new(Reason::AlreadyExists, message).about(resource, name)
    }

    /// The object was written by somebody else since it was read.
    pub fn conflict(resource: &Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version \
                   and try again";
        Status::conflict_because(resource, name, why)
    }

    pub fn conflict_because(resource: &Resource, name: &str, why: &str) -> Self {
        let plural = resource.qualified_plural();
        let message = format!("Operation cannot be fulfilled on {plural} \"{name}\": {why}");
        Status::new(Reason::Conflict, message).about(resource, name)
    }

    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("{} \"{name}\" is forbidden: {why}", resource.qualified_plural());
        Status::new(Reason::Forbidden, message).about(resource, name)
    }

    /// The object breaks rules of its kind; `errors` says which.
    pub fn invalid(resource: &Resource, name: &str, errors: &[FieldError]) -> Self {
        let mut texts: Vec<String> = Vec::new();
        for error in errors.iter().take(CAUSES_MAX) {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        if errors.len() > CAUSES_MAX {
            texts.push(format!("and {} more errors", errors.len() - CAUSES_MAX));
        }
        let list = match texts.as_slice() {
            [only] => only.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} \"{}\" is invalid: {list}", resource.qualified_kind(), cut(name));
        let mut status = Status::new(Reason::Invalid, message).about(resource, name);
        if let Some(subject) = &mut status.subject {
            subject.kind = resource.kind.to_owned();
        }
        status.causes = errors.iter().take(CAUSES_MAX).map(Cause::from).collect();
        status
    }

    /// A list or watch asks for a revision that is no longer kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Status::new(Reason::Expired, message)
    }

    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Status::new(Reason::UnsupportedMediaType, message)
    }

    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Status::new(Reason::MethodNotAllowed, message)
    }

    pub fn too_large(bytes_max: usize) -> Self {
        let message = format!("Request entity too large: limit is {bytes_max}");
        Status::new(Reason::RequestEntityTooLarge, message)
    }

    pub fn internal(message: impl fmt::Display) -> Self {
        Status::new(Reason::InternalError, format!("Internal error occurred: {message}"))
    }

    pub fn about(mut self, resource: &Resource, name: &str) -> Self {
        self.subject = Some(Box::new(Subject {
            name: cut(name),
            group: resource.group.to_owned(),
            kind: resource.plural.to_owned(),
            uid: String::new(),
        }));
        self
    }

    /// The HTTP status code.
    pub fn code(&self) -> u16 {
        self.reason.code()
    }

    pub fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason.word(),
            "code": self.code(),
        });
        let details = self.details();
        if let (Some(status), false) = (status.as_object_mut(), details.is_empty()) {
            status.insert("details".to_owned(), Value::Object(details));
        }
        status
    }

    fn details(&self) -> Map<String, Value> {
        let mut details = Map::new();
        let mut put = |key: &str, value: &str| {
            if !value.is_empty() {
                details.insert(key.to_owned(), Value::from(value));
            }
        };
        if let Some(subject) = &self.subject {
            put("name", &subject.name);
            put("group", &subject.group);
            put("kind", &subject.kind);
            put("uid", &subject.uid);
        }
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(Cause::to_value).collect();
            details.insert("causes".to_owned(), Value::Array(causes));
        }
        if let Some(seconds) = self.retry_after_s {
            details.insert("retryAfterSeconds".to_owned(), Value::from(seconds));
        }
        details
    }
}

/// The answer to a deletion that is done.
pub fn deleted(resource: &Resource, name: &str, uid: &str) -> Value {
    let mut details = json!({ "name": name, "kind": resource.plural, "uid": uid });
    if let (Some(details), false) = (details.as_object_mut(), resource.group.is_empty()) {
        details.insert("group".to_owned(), Value::from(resource.group));
    }
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": details,
    })
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

impl Cause {
    fn to_value(&self) -> Value {
        let mut cause = json!({ "reason": self.reason, "message": self.message });
        if let (Some(cause), false) = (cause.as_object_mut(), self.field.is_empty()) {
            cause.insert("field".to_owned(), Value::from(self.field.as_str()));
        }
        cause
    }
}

impl From<&FieldError> for Cause {
    fn from(error: &FieldError) -> Self {
        let reason = error.fault.reason().to_owned();
        Cause { reason, message: error.body(), field: error.path.clone() }
    }
}

impl Reason {
    pub fn code(self) -> u16 {
        match self {
            Reason::Unauthorized => 401,
            Reason::Forbidden => 403,
            Reason::NotFound => 404,
            Reason::AlreadyExists | Reason::Conflict => 409,
            Reason::Gone | Reason::Expired => 410,
            Reason::Invalid => 422,
            Reason::BadRequest => 400,
            Reason::MethodNotAllowed => 405,
            Reason::NotAcceptable => 406,
            Reason::RequestEntityTooLarge => 413,
            Reason::UnsupportedMediaType => 415,
            Reason::TooManyRequests => 429,
            Reason::InternalError => 500,
            Reason::ServiceUnavailable => 503,
            Reason::Timeout => 504,
        }
    }

    /// The word in `reason`: the variant's own name.
    pub fn word(self) -> String {
        format!("{self:?}")
    }
}

/// Names are short; what is not is not worth repeating in full.
fn cut(name: &str) -> String {
    const NAME_CHARS_MAX: usize = 253;
    if name.chars().count() <= NAME_CHARS_MAX {
        return name.to_owned();
    }
    let head: String = name.chars().take(60).collect();
    format!("{head}...")
}

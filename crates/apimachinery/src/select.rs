//! Which objects a list or watch wants: `labelSelector` and `fieldSelector` of the query.

use serde_json::Value;

use crate::kinds::Resource;
use crate::status::Status;
use crate::validate::names;

#[cfg(test)]
mod tests;

/// A parsed `labelSelector`; the empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelQuery {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

impl LabelQuery {
    /// Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let mut requirements = Vec::new();
        for part in split_outside_parentheses(text) {
            let part = part.trim();
            if part.is_empty() {
                if text.trim().is_empty() {
                    continue;
                }
                return Err(unreadable(text, "there is an empty requirement"));
            }
            requirements.push(Requirement::parse(part).map_err(|why| unreadable(text, &why))?);
        }
        Ok(LabelQuery { requirements })
    }

    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    pub fn matches(&self, object: &Value) -> bool {
        let labels = object.get("metadata").and_then(|m| m.get("labels"));
        self.requirements.iter().all(|requirement| {
            let value = labels.and_then(|l| l.get(&requirement.key)).and_then(Value::as_str);
            requirement.test.passes(value)
        })
    }
}

impl Test {
    fn passes(&self, value: Option<&str>) -> bool {
        let number = |value: Option<&str>| value.and_then(|v| v.parse::<i64>().ok());
        match self {
            Test::Exists => value.is_some(),
            Test::Absent => value.is_none(),
            Test::In(words) => value.is_some_and(|v| words.iter().any(|word| word == v)),
            Test::NotIn(words) => value.is_none_or(|v| words.iter().all(|word| word != v)),
            Test::Greater(bound) => number(value).is_some_and(|v| v > *bound),
            Test::Less(bound) => number(value).is_some_and(|v| v < *bound),
        }
    }
}

impl Requirement {
    fn parse(text: &str) -> Result<Self, String> {
        let (key, test) = if let Some(key) = text.strip_prefix('!') {
            (key, Test::Absent)
        } else if let Some((key, value)) = text.split_once("!=") {
            (key, Test::NotIn(vec![value.trim().to_owned()]))
        } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
            (key, Test::In(vec![value.trim().to_owned()]))
        } else if let Some((key, value)) = text.split_once('>') {
            (key, Test::Greater(number(value)?))
        } else if let Some((key, value)) = text.split_once('<') {
            (key, Test::Less(number(value)?))
        } else {
            set(text)?
        };
        let key = key.trim();
        if let Some(why) = names::label_key(key).first() {
            return Err(format!("key {key:?}: {why}"));
        }
        if let Test::In(words) | Test::NotIn(words) = &test
            && let Some(why) = words.iter().flat_map(|word| names::label_value(word)).next()
        {
            return Err(format!("values of {key:?}: {why}"));
        }
        Ok(Requirement { key: key.to_owned(), test })
    }
}

/// `key`, `key in (a,b)` or `key notin (a,b)`.
fn set(text: &str) -> Result<(&str, Test), String> {
    let Some((head, rest)) = text.split_once(|c: char| c.is_whitespace() || c == '(') else {
        return Ok((text, Test::Exists));
    };
    let rest = text.get(head.len()..).unwrap_or(rest).trim();
    let (negated, list) = match (rest.strip_prefix("notin"), rest.strip_prefix("in")) {
        (Some(list), _) => (true, list),
        (None, Some(list)) => (false, list),
        _ => return Err(format!("expected in, notin, = or != after {head:?}, found {rest:?}")),
    };
    let inner = list.trim().strip_prefix('(').and_then(|l| l.strip_suffix(')'));
    let inner = inner.ok_or_else(|| format!("expected (a,b,...) after {head:?}"))?;
    let words = inner.split(',').map(|word| word.trim().to_owned()).collect();
    Ok((head, if negated { Test::NotIn(words) } else { Test::In(words) }))
}

fn number(text: &str) -> Result<i64, String> {
    text.trim().parse().map_err(|_| format!("{:?} is not a whole number", text.trim()))
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

fn unreadable(text: &str, why: &str) -> Status {
    Status::bad_request(format!("unable to parse the selector {text:?}: {why}"))
}

/// A parsed `fieldSelector`; the empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldQuery {
    requirements: Vec<FieldRequirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldRequirement {
    path: String,
    value: String,
    equal: bool,
}

const POD_FIELDS: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
];

impl FieldQuery {
    /// Reads `metadata.name=x,spec.nodeName!=y`; the fields depend on the kind.
    pub fn parse(resource: &Resource, text: &str) -> Result<Self, Status> {
        let mut requirements = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let negated = part.split_once("!=").map(|pair| (pair, false));
            let plain = || part.split_once("==").or_else(|| part.split_once('='));
            let Some(((path, value), equal)) = negated.or_else(|| plain().map(|p| (p, true)))
            else {
                return Err(unreadable(text, "expected field=value or field!=value"));
            };
            let (path, value) = (path.trim().to_owned(), value.trim().to_owned());
            if !is_selectable(resource, &path) {
                let message = format!("field label not supported: {path}");
                return Err(Status::bad_request(message));
            }
            requirements.push(FieldRequirement { path, value, equal });
        }
        Ok(FieldQuery { requirements })
    }

    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The one name that can match, when the query says `metadata.name=x`.
    pub fn name(&self) -> Option<&str> {
        let by_name = |r: &&FieldRequirement| r.equal && r.path == "metadata.name";
        self.requirements.iter().find(by_name).map(|r| r.value.as_str())
    }

    pub fn matches(&self, object: &Value) -> bool {
        self.requirements.iter().all(|requirement| {
            let found = requirement.path.split('.').try_fold(object, |at, key| at.get(key));
            let text = match found {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => absent(&requirement.path).to_owned(),
                Some(other) => other.to_string(),
            };
            (text == requirement.value) == requirement.equal
        })
    }
}

/// What an absent field counts as.
fn absent(path: &str) -> &'static str {
    if path == "spec.hostNetwork" { "false" } else { "" }
}

fn is_selectable(resource: &Resource, path: &str) -> bool {
    use bulkhead_api::object::Kind;
    match path {
        "metadata.name" => true,
        "metadata.namespace" => resource.namespaced,
        "status.phase" if resource.id == Kind::Namespace => true,
        "spec.unschedulable" => resource.id == Kind::Node,
        "spec.nodeName" if resource.id == Kind::Workload => true,
        "spec.tier" => matches!(resource.id, Kind::NetworkPolicy | Kind::GlobalNetworkPolicy),
        "spec.clusterIP" | "spec.type" => resource.id == Kind::Service,
        _ => resource.id == Kind::Pod && POD_FIELDS.contains(&path),
    }
}

//! Query parameters, raw to checked.

use std::time::Duration;

use bulkhead_apimachinery::status::Status;
use bulkhead_store::ResourceVersion;

/// Every parameter that the API knows; which of them count depends on the verb.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub label_selector: Option<String>,
    pub field_selector: Option<String>,
    pub limit: Option<usize>,
    pub continue_token: Option<String>,
    pub version: Version,
    pub watch: bool,
    pub bookmarks: bool,
    pub send_initial_events: Option<bool>,
    pub timeout: Option<Duration>,
    pub dry_run: bool,
    pub field_manager: Option<String>,
    pub field_validation: Option<String>,
    pub force: Option<bool>,
    pub propagation_policy: Option<String>,
    pub orphan_dependents: Option<bool>,
    pub include_object: Option<String>,
}

/// Which state a read asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// Unset: the latest. We have no staler one, so `0`, "any", is the same for lists.
    #[default]
    Latest,
    Any,
    /// `resourceVersion=N` without a match rule; lists and watches read it differently.
    From(ResourceVersion),
    NotOlderThan(ResourceVersion),
    Exact(ResourceVersion),
}

impl Options {
    pub fn parse(query: Option<&str>) -> Result<Self, Status> {
        let mut options = Options::default();
        let (mut version, mut rule) = (None, None);
        for (key, value) in pairs(query.unwrap_or_default())? {
            let is_true = || flag(&key, &value);
            match key.as_str() {
                "labelSelector" => options.label_selector = non_empty(value),
                "fieldSelector" => options.field_selector = non_empty(value),
                "limit" => options.limit = Some(number(&key, &value)?).filter(|n| *n > 0),
                "continue" => options.continue_token = non_empty(value),
                "resourceVersion" => version = non_empty(value),
                "resourceVersionMatch" => rule = non_empty(value),
                "watch" => options.watch = is_true()?,
                "allowWatchBookmarks" => options.bookmarks = is_true()?,
                "sendInitialEvents" => options.send_initial_events = Some(is_true()?),
                "timeoutSeconds" => {
                    let seconds: u32 = number(&key, &value)?;
                    options.timeout = Some(Duration::from_secs(seconds.into()));
                }
                "dryRun" if value == "All" => options.dry_run = true,
                "dryRun" => return Err(unsupported(&key, &value, "All")),
                "fieldManager" => options.field_manager = non_empty(value),
                "fieldValidation" => options.field_validation = non_empty(value),
                "force" => options.force = Some(is_true()?),
                "propagationPolicy" => options.propagation_policy = non_empty(value),
                "orphanDependents" => options.orphan_dependents = Some(is_true()?),
                "includeObject" => options.include_object = non_empty(value),
                // As upstream: parameters that are not known are not an error.
                _ => {}
            }
        }
        options.version = checked_version(version.as_deref(), rule.as_deref(), &options)?;
        Ok(options)
    }
}

fn checked_version(
    version: Option<&str>,
    rule: Option<&str>,
    options: &Options,
) -> Result<Version, Status> {
    let revision = match version {
        None => None,
        Some(text) => Some(text.parse::<ResourceVersion>().map_err(|_| {
            let shown: String = text.chars().take(64).collect();
            Status::bad_request(format!("invalid resource version `{shown}`: not a number"))
        })?),
    };
    let forbidden = |message: &str| Err(Status::bad_request(message));
    if options.send_initial_events.is_some() && rule != Some("NotOlderThan") {
        return forbidden("sendInitialEvents needs resourceVersionMatch=NotOlderThan");
    }
    if options.watch && options.send_initial_events.is_none() && rule.is_some() {
        return forbidden(
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is set",
        );
    }
    match (rule, revision) {
        (Some("NotOlderThan"), revision) => Ok(Version::NotOlderThan(revision.unwrap_or_default())),
        (Some("Exact"), Some(revision)) if revision.0 > 0 => Ok(Version::Exact(revision)),
        (Some("Exact"), _) => {
            forbidden("resourceVersionMatch=Exact needs a resourceVersion other than 0")
        }
        (Some(other), _) => Err(unsupported("resourceVersionMatch", other, "Exact, NotOlderThan")),
        (None, None) => Ok(Version::Latest),
        (None, Some(ResourceVersion(0))) => Ok(Version::Any),
        (None, Some(revision)) => Ok(Version::From(revision)),
    }
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, Status> {
    let uri = format!("/?{query}").parse().map_err(|_| unreadable())?;
    let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri);
    query.map(|query| query.0).map_err(|_| unreadable())
}

fn unreadable() -> Status {
    Status::bad_request("the query string cannot be read")
}

fn non_empty(value: String) -> Option<String> {
    Some(value).filter(|value| !value.is_empty())
}

/// A parameter without a value is set, as in `?watch`.
fn flag(key: &str, value: &str) -> Result<bool, Status> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(unsupported(key, other, "true, false")),
    }
}

fn number<N: std::str::FromStr>(key: &str, value: &str) -> Result<N, Status> {
    value.parse().map_err(|_| unsupported(key, value, "a number from 0"))
}

fn unsupported(key: &str, value: &str, allowed: &str) -> Status {
    let shown: String = value.chars().take(64).collect();
    Status::bad_request(format!("{key}: unsupported value `{shown}`: supported: {allowed}"))
}

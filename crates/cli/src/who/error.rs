//! Why a connection cannot be judged.

use bulkhead_api::service::ServiceError;
use bulkhead_types::Protocol;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error(
        "`{role}` `{name}` is no workload of these manifests, nor an address{}",
        near.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
    )]
    Unknown { role: &'static str, name: String, near: Option<String> },
    #[error("`{role}` `{name}` is both a Pod and a Workload: rename one, or give its address")]
    Ambiguous { role: &'static str, name: String },
    #[error("`src` `{0}` is a domain name: only destinations are looked up; give an address")]
    NameAsSource(String),
    #[error("`dst` `{0}` has more than one address: names may share one only")]
    Addresses(String),
    #[error("`src` `{0}` is a service: services open no connections; name a workload")]
    ServiceAsSource(String),
    #[error("`dst` `svc:{0}` needs a port, as a number or as `svc:namespace/name:port-name`")]
    NoServicePort(String),
    #[error("`dst`: {0}")]
    Service(#[from] ServiceError),
    #[error("`{role}` `{name}` has no IPv{family} address")]
    NoAddress { role: &'static str, name: String, family: u8 },
    #[error("`{src}` and `{dst}` have no IP version in common")]
    NoCommonFamily { src: String, dst: String },
    #[error("{what} asks for IPv{one}, {other_what} for IPv{other}")]
    Families { what: String, one: u8, other_what: String, other: u8 },
    #[error("`family` is {0}: use 4 or 6")]
    Family(u8),
    #[error("`port` is missing: {0} needs one from 1 to 65535")]
    NoPort(Protocol),
    #[error("`{src}` to `{dst}` is more than {max} connections")]
    TooMany { src: String, dst: String, max: usize },
}

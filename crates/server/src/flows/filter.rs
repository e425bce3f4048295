//! Which flows a reader wants: the query of the flows API, checked.

use bulkhead_types::{Decision, EndpointId, RuleRef};

use super::KeptFlow;

/// All that are set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowQuery {
    pub follow: bool,
    /// How many of the newest are listed; all when unset.
    pub limit: Option<usize>,
    namespace: Option<String>,
    workload: Option<Name>,
    verdict: Option<Decision>,
    port: Option<u16>,
    policy: Option<Name>,
    logged: bool,
}

/// `name` or `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    namespace: Option<String>,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error(
        "unknown parameter `{name}`: flows are filtered by namespace, workload, verdict, port, \
         policy, logged, limit and follow"
    )]
    Unknown { name: String },
    #[error("`{name}={value}`: {expected}")]
    Value { name: &'static str, value: String, expected: &'static str },
    #[error("`{name}` is given twice")]
    Twice { name: String },
}

impl FlowQuery {
    pub fn parse(pairs: &[(String, String)]) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (index, (name, value)) in pairs.iter().enumerate() {
            if pairs.iter().take(index).any(|(earlier, _)| earlier == name) {
                return Err(QueryError::Twice { name: name.clone() });
            }
            // `kubectl get --raw` and forms send empty parameters for what is not wanted.
            if !value.is_empty() {
                query.set(name, value)?;
            }
        }
        Ok(query)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), QueryError> {
        let wrong = |name: &'static str, expected: &'static str| QueryError::Value {
            name,
            value: value.to_owned(),
            expected,
        };
        match name {
            "follow" => {
                self.follow =
                    value.parse().map_err(|_| wrong("follow", "must be `true` or `false`"))?;
            }
            "limit" => {
                let limit = value.parse().map_err(|_| wrong("limit", "must be a number"))?;
                self.limit = Some(limit);
            }
            "namespace" => self.namespace = Some(value.to_owned()),
            "workload" => self.workload = Some(Name::parse(value)),
            "policy" => self.policy = Some(Name::parse(value)),
            "logged" => {
                self.logged =
                    value.parse().map_err(|_| wrong("logged", "must be `true` or `false`"))?;
            }
            "verdict" => {
                self.verdict = Some(match value {
                    "allow" => Decision::Allow,
                    "deny" => Decision::Deny,
                    _ => return Err(wrong("verdict", "must be `allow` or `deny`")),
                });
            }
            "port" => {
                let port = value.parse().map_err(|_| wrong("port", "must be 0 to 65535"))?;
                self.port = Some(port);
            }
            _ => return Err(QueryError::Unknown { name: name.to_owned() }),
        }
        Ok(())
    }

    pub fn matches(&self, flow: &KeptFlow) -> bool {
        let record = &flow.record;
        let ends = || {
            let peers = flow.src.iter().chain(&flow.dst).map(|peer| &peer.id);
            peers.chain([&record.reporter])
        };
        let is_in = |namespace: &String| ends().any(|end| end.namespace == *namespace);
        let is_at = |name: &Name| ends().any(|end| name.is_endpoint(end));
        let has_port =
            |port: u16| record.packet.protocol.has_ports() && record.packet.dst_port == port;
        self.namespace.as_ref().is_none_or(is_in)
            && self.workload.as_ref().is_none_or(is_at)
            && self.verdict.is_none_or(|verdict| record.verdict.decision == verdict)
            && self.port.is_none_or(has_port)
            && self.policy.as_ref().is_none_or(|name| {
                let verdict = &record.verdict;
                verdict.logged.iter().chain([&verdict.rule]).any(|rule| name.is_policy(rule))
            })
            && (!self.logged || !record.verdict.logged.is_empty())
    }
}

impl Name {
    fn parse(text: &str) -> Self {
        match text.split_once('/') {
            Some((namespace, name)) => {
                Self { namespace: Some(namespace.to_owned()), name: name.to_owned() }
            }
            None => Self { namespace: None, name: text.to_owned() },
        }
    }

    fn is(&self, namespace: &str, name: &str) -> bool {
        self.name == name && self.namespace.as_ref().is_none_or(|own| own == namespace)
    }

    fn is_endpoint(&self, id: &EndpointId) -> bool {
        self.is(&id.namespace, &id.name)
    }

    fn is_policy(&self, rule: &RuleRef) -> bool {
        matches!(rule, RuleRef::Rule { policy, .. } if self.is(&policy.namespace, &policy.name))
    }
}

#[cfg(test)]
mod tests;

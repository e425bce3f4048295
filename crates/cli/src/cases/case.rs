//! One case, and what became of it.

use bulkhead_api::ObjectKey;
use bulkhead_api::manifest::Source;
use bulkhead_policy::explain::RuleNames;
use bulkhead_types::{Decision, Direction, Protocol, RuleRef, Selector, Verdict};

use crate::input::Input;
use crate::judge::{Judge, Judged};
use crate::who::{Ask, CONNECTIONS_MAX};

/// As written; every combination of its ends and ports must come out as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub source: Source,
    pub name: Option<String>,
    pub from: Vec<Whom>,
    pub to: Vec<Whom>,
    pub ports: Vec<Port>,
    pub family: Option<u8>,
    pub expect: Decision,
    /// What is to decide: a policy, a rule of it, the end of a tier or a profile.
    pub rule: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// As `why` takes it.
    Name(String),
    /// Workloads by namespace (`None`: any) and labels.
    All { namespace: Option<String>, selector: Selector },
}

/// `5432`, `53/UDP`, `ICMP`, `8/ICMP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    pub protocol: Protocol,
    pub port: Option<u16>,
    pub icmp_type: Option<u8>,
}

/// What became of a case.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub case: Case,
    pub n_connections: usize,
    /// Connections that came out otherwise.
    pub failures: Vec<Failure>,
}

/// One connection that is not as expected.
#[derive(Clone, Debug)]
pub struct Failure {
    pub from: String,
    pub to: String,
    pub port: String,
    pub got: Decision,
    /// What decided at each end that has a word, in words.
    pub reasons: Vec<String>,
    /// Whether the verdict is right, and only the rule another.
    pub is_other_rule: bool,
}

impl Outcome {
    pub fn holds(&self) -> bool {
        self.failures.is_empty()
    }
}

impl Case {
    /// What to call it.
    pub fn title(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let list =
            |list: &[Whom]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let ports: Vec<String> = self.ports.iter().map(ToString::to_string).collect();
        let (from, to) = (list(&self.from), list(&self.to));
        format!("{from} -> {to} {}: {}", ports.join(", "), self.expect)
    }

    /// `Err`: the case means nobody, or something that cannot be asked.
    pub fn ask(&self, judge: &Judge<'_>, input: &Input) -> Result<Outcome, String> {
        let from = names(&self.from, judge)?;
        let to = names(&self.to, judge)?;
        let mut failures = Vec::new();
        let mut n_connections = 0;
        for src in &from {
            for dst in to.iter().filter(|dst| *dst != src || from.len() + to.len() == 2) {
                for port in &self.ports {
                    let ask = Ask {
                        icmp: (port.icmp_type, None),
                        family: self.family,
                        ..Ask::new(src, dst, port.protocol, port.port)
                    };
                    for judged in judge.ask(&ask).map_err(|error| error.to_string())? {
                        n_connections += 1;
                        failures.extend(self.failure(&judged, input, &judge.rule_names));
                    }
                    if n_connections > CONNECTIONS_MAX {
                        return Err(format!(
                            "the case means more than {CONNECTIONS_MAX} connections"
                        ));
                    }
                }
            }
        }
        if n_connections == 0 {
            return Err("the case means no connection: both ends are the same workload".to_owned());
        }
        Ok(Outcome { case: self.clone(), n_connections, failures })
    }

    fn failure(&self, judged: &Judged, input: &Input, rule_names: &RuleNames) -> Option<Failure> {
        let is_expected = judged.verdict == self.expect;
        let sides = [(Direction::Egress, &judged.egress), (Direction::Ingress, &judged.ingress)];
        let is_rule = self.rule.as_ref().is_none_or(|rule| {
            let words = sides.iter().filter_map(|(end, verdict)| Some((end, verdict.as_ref()?)));
            words.into_iter().any(|(end, verdict)| is_decided_by(rule, *end, verdict))
        });
        if is_expected && is_rule {
            return None;
        }
        let connection = &judged.connection;
        let name = |end: &crate::who::End| match &end.endpoint {
            Some(id) => id.to_string(),
            None => end.address.to_string(),
        };
        let looked_up = connection.names.iter().next().map(str::to_owned);
        let (from, to) = (name(&connection.src), name(&connection.dst));
        let reasons = sides.iter().filter_map(|(end, verdict)| {
            let who = if *end == Direction::Egress { &from } else { &to };
            let verdict = verdict.as_ref()?;
            let place = place(input, verdict).map(|place| format!(" ({place})"));
            let place = place.unwrap_or_default();
            Some(format!("{end} at {who}: {}{place}", rule_names.verdict(verdict)))
        });
        let packet = &connection.packet;
        let port = match packet.protocol {
            protocol if protocol.has_ports() => format!("{}/{protocol}", packet.dst_port),
            protocol => protocol.to_string(),
        };
        Some(Failure {
            reasons: reasons.collect(),
            port,
            got: judged.verdict,
            is_other_rule: is_expected,
            to: looked_up.unwrap_or_else(|| to.clone()),
            from: from.clone(),
        })
    }
}

/// Where the rule that decided is written.
fn place(input: &Input, verdict: &Verdict) -> Option<String> {
    let RuleRef::Rule { policy, direction, index, .. } = &verdict.rule else { return None };
    let source = input.place(&ObjectKey::from(policy), &format!("spec.{direction}[{index}]"))?;
    Some(format!("{}:{}", source.file, source.line))
}

/// `ingress: NetworkPolicy shop/db rule 0`; the end, the rule or both may be left out.
fn is_decided_by(expected: &str, end: Direction, verdict: &Verdict) -> bool {
    let expected = match expected.split_once(": ") {
        Some((wanted, rest)) if wanted == end.to_string() => rest,
        Some(("ingress" | "egress", _)) => return false,
        _ => expected,
    };
    match &verdict.rule {
        RuleRef::Rule { policy, index, .. } => {
            expected == policy.to_string() || expected == format!("{policy} rule {index}")
        }
        RuleRef::TierDefault { tier } => expected == format!("end of tier {tier}"),
        RuleRef::Profile { name } => expected == "profile" || expected == format!("profile {name}"),
        _ => false,
    }
}

/// Sets of workloads as names, which `who` then reads like any other.
fn names(list: &[Whom], judge: &Judge<'_>) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for whom in list {
        match whom {
            Whom::Name(name) => names.push(name.clone()),
            Whom::All { namespace, selector } => {
                let found = judge.directory.select(&judge.world, namespace.as_deref(), selector);
                if found.is_empty() {
                    return Err(format!("`{whom}` selects no workload"));
                }
                names.extend(found.into_iter().map(|known| known.id.to_string()));
            }
        }
    }
    Ok(names)
}

impl std::fmt::Display for Whom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Whom::Name(name) => f.write_str(name),
            Whom::All { namespace, selector } => {
                let namespace = namespace.as_deref().unwrap_or("*");
                if selector.is_all() {
                    write!(f, "{namespace}/*")
                } else {
                    write!(f, "{namespace}/{{{selector}}}")
                }
            }
        }
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.port, self.icmp_type) {
            (Some(port), _) => write!(f, "{port}/{}", self.protocol),
            (None, Some(kind)) => write!(f, "{kind}/{}", self.protocol),
            (None, None) => write!(f, "{}", self.protocol),
        }
    }
}

/// One end: a name, `shop/*`, `*/*` or `shop/{app == 'web'}`.
pub fn whom(text: &str) -> Result<Whom, String> {
    let text = text.trim().trim_matches('`').trim();
    if text.is_empty() {
        return Err("an end is empty".to_owned());
    }
    let Some((namespace, rest)) = text.split_once('/') else {
        return Ok(Whom::Name(text.to_owned()));
    };
    let namespace = Some(namespace).filter(|namespace| *namespace != "*").map(str::to_owned);
    let inner = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match (rest, inner) {
        ("*", _) => Ok(Whom::All { namespace, selector: Selector::all() }),
        (_, Some(selector)) => {
            let selector =
                Selector::parse(selector).map_err(|error| format!("`{text}`: {error}"))?;
            Ok(Whom::All { namespace, selector })
        }
        _ if namespace.is_none() => {
            Err(format!("`{text}`: after `*/` stand `*` or a selector in braces"))
        }
        _ => Ok(Whom::Name(text.to_owned())),
    }
}

/// One port: `80`, `53/UDP`, `ICMP`, `8/ICMP`. `protocol` is what holds where none is written.
pub fn port(text: &str, protocol: Option<Protocol>) -> Result<Port, String> {
    let text = text.trim();
    let bad = || format!("`{text}` is not a port such as `80`, `53/UDP` or `ICMP`");
    let (number, written) = match text.split_once('/') {
        Some((number, protocol)) => (Some(number), Some(protocol)),
        None if text.bytes().all(|b| b.is_ascii_digit()) => (Some(text), None),
        None => (None, Some(text)),
    };
    let protocol = match written {
        Some(name) => name.parse::<Protocol>().map_err(|_| bad())?,
        None => protocol.unwrap_or(Protocol::TCP),
    };
    let number = number.map(|number| number.parse::<u16>().map_err(|_| bad())).transpose()?;
    if protocol.is_icmp() {
        let icmp_type = number.map(u8::try_from).transpose().map_err(|_| bad())?;
        return Ok(Port { protocol, port: None, icmp_type });
    }
    if protocol.has_ports() && number.is_none_or(|number| number == 0) {
        return Err(format!("{protocol} needs a port from 1 to 65535"));
    }
    Ok(Port { protocol, port: number, icmp_type: None })
}

pub fn expect(text: &str) -> Result<Decision, String> {
    match text.trim() {
        "allow" => Ok(Decision::Allow),
        "deny" => Ok(Decision::Deny),
        other => Err(format!("`{other}` is neither `allow` nor `deny`")),
    }
}

//! Policy cases written as Markdown: a world, then sections that each give policies and a table of
//! who may talk to whom.
//!
//! ````text
//! # What the file is about
//!
//! ## World                     the workloads, once for the file: one YAML block
//!
//! ## A sentence that is true   one case: YAML blocks of policies, then the table
//!
//! | from | to | traffic | verdict | decided by |
//! |---|---|---|---|---|
//! | shop/web | shop/db | TCP 5432 | allow | ingress: NetworkPolicy shop/db rule 0 |
//! ````
//!
//! `from` and `to` are `namespace/name` or an address. `traffic` is `TCP 80`, `UDP 53 over IPv6`,
//! `ICMP 8` (type), `ICMPv6 128.0` (type and code) or `protocol 47`. `decided by` names the end and
//! the rule; `nothing` is a connection that no policy has a word about. Log rules that the packet has
//! matched follow: `nothing; ingress logged: GlobalNetworkPolicy watch rule 0`. `to` may say under which
//! names the sender looked the address up: `192.0.2.1 as example.com, www.example.com`. Traffic that
//! ends in `staged` is judged in the staged reading, in `at 2030-01-01T00:00:00Z` at that moment.
//!
//! Two lines of prose have a meaning. `Broken: words` expects a complaint with these words about the
//! section's policies, which otherwise must be sound. `Offline: why` says that the section is not for
//! the data plane; sections that are broken, staged, timed or looked up by name must say so.
//!
//! Invariant: a file that cannot be read whole is an error with its line; no row is passed over.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use bulkhead_api::manifest::Manifests;
use bulkhead_api::{Object, addressing};
use bulkhead_types::{Decision, EndpointId, Names, Packet, Protocol, RuleRef, Verdict};

/// One file.
#[derive(Clone, Debug)]
pub struct CaseFile {
    pub path: PathBuf,
    /// Objects of the world, with addresses.
    pub world: Vec<Object>,
    pub cases: Vec<Case>,
}

/// One section.
#[derive(Clone, Debug)]
pub struct Case {
    pub sentence: String,
    pub line: usize,
    /// Why no kernel can show it.
    pub offline: Option<String>,
    /// Words of complaints that the policies must bring about.
    pub broken: Vec<String>,
    pub policies: Vec<Object>,
    pub rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub line: usize,
    pub from: String,
    pub to: String,
    /// Under which the sender looked `to` up.
    pub names: Names,
    pub traffic: Traffic,
    /// RFC 3339; policies that expire do not apply from their moment on.
    pub at: Option<String>,
    pub verdict: Decision,
    pub decided_by: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    pub protocol: Protocol,
    pub port: u16,
    pub icmp_type: u8,
    pub icmp_code: u8,
    pub v6: bool,
    pub staged: bool,
}

/// What is wrong with a file, and on which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {message}", path.display())]
pub struct CaseError {
    pub path: PathBuf,
    pub line: usize,
    pub message: String,
}

/// Reads every `*.md` file of a folder, in order of name.
pub fn read_folder(folder: &Path) -> Result<Vec<CaseFile>, CaseError> {
    let failed = |error: std::io::Error| CaseError {
        path: folder.to_owned(),
        line: 0,
        message: format!("cannot be read: {error}"),
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

pub fn read(path: &Path) -> Result<CaseFile, CaseError> {
    let text = std::fs::read_to_string(path).map_err(|error| CaseError {
        path: path.to_owned(),
        line: 0,
        message: format!("cannot be read: {error}"),
    })?;
    Reader { path, file: CaseFile { path: path.to_owned(), world: Vec::new(), cases: Vec::new() } }
        .read(&text)
}

struct Reader<'a> {
    path: &'a Path,
    file: CaseFile,
}

impl Reader<'_> {
    fn error(&self, line: usize, message: impl Into<String>) -> CaseError {
        CaseError { path: self.path.to_owned(), line, message: message.into() }
    }

    fn read(mut self, text: &str) -> Result<CaseFile, CaseError> {
        let mut block: Option<(usize, String)> = None;
        let mut is_world = false;
        for (line, row) in (1..).zip(text.lines()) {
            match (&mut block, row.trim_end()) {
                (Some(_), "```") => {
                    if let Some((begin, yaml)) = block.take() {
                        self.objects(begin, &yaml, is_world)?;
                    }
                }
                (Some((_, yaml)), row) => {
                    yaml.push_str(row);
                    yaml.push('\n');
                }
                (None, "```yaml") => block = Some((line, String::new())),
                (None, row) if row.starts_with("## ") => {
                    is_world = row == "## World";
                    if !is_world {
                        self.file.cases.push(Case {
                            sentence: row.trim_start_matches("## ").to_owned(),
                            line,
                            offline: None,
                            broken: Vec::new(),
                            policies: Vec::new(),
                            rows: Vec::new(),
                        });
                    }
                }
                (None, row) if row.starts_with('|') => self.row(line, row)?,
                (None, row) => self.mark(row),
            }
        }
        self.whole()
    }

    fn objects(&mut self, begin: usize, yaml: &str, is_world: bool) -> Result<(), CaseError> {
        let mut manifests = Manifests::default();
        manifests.add(&self.path.display().to_string(), yaml);
        if let Some(diagnostic) = manifests.diagnostics.first() {
            return Err(self.error(begin, format!("in the block that begins here: {diagnostic}")));
        }
        let mut objects = manifests.into_objects();
        if is_world {
            addressing::assign(&mut objects);
            self.file.world.extend(objects);
            return Ok(());
        }
        match self.file.cases.last_mut() {
            Some(case) => case.policies.extend(objects),
            None => return Err(self.error(begin, "policies stand under a `## ` heading")),
        }
        Ok(())
    }

    fn mark(&mut self, row: &str) {
        let Some(case) = self.file.cases.last_mut() else { return };
        if let Some(why) = row.strip_prefix("Offline: ") {
            case.offline = Some(why.to_owned());
        }
        if let Some(words) = row.strip_prefix("Broken: ") {
            case.broken.push(words.to_owned());
        }
    }

    fn row(&mut self, line: usize, text: &str) -> Result<(), CaseError> {
        let cells: Vec<&str> = text.trim_matches('|').split('|').map(str::trim).collect();
        let [from, to, traffic, verdict, decided_by] = cells.as_slice() else {
            return Err(self.error(line, format!("{} cells instead of 5", cells.len())));
        };
        if *from == "from" || from.starts_with("--") {
            return Ok(());
        }
        let verdict = match *verdict {
            "allow" => Decision::Allow,
            "deny" => Decision::Deny,
            other => return Err(self.error(line, format!("`{other}` is neither allow nor deny"))),
        };
        let (traffic, at) = match traffic.split_once(" at ") {
            Some((traffic, at)) => (traffic, Some(at.to_owned())),
            None => (*traffic, None),
        };
        let traffic = Traffic::parse(traffic).map_err(|message| self.error(line, message))?;
        let (to, names) = match to.split_once(" as ") {
            Some((to, names)) => (to, Names::new(names.split(',').map(str::trim))),
            None => (*to, Names::default()),
        };
        let (from, to, decided_by) = ((*from).to_owned(), to.to_owned(), (*decided_by).to_owned());
        let row = Row { line, from, to, names, traffic, at, verdict, decided_by };
        match self.file.cases.last_mut() {
            Some(case) => case.rows.push(row),
            None => return Err(self.error(line, "a table stands under a `## ` heading")),
        }
        Ok(())
    }

    fn whole(self) -> Result<CaseFile, CaseError> {
        if self.file.world.is_empty() {
            return Err(self.error(1, "no `## World`"));
        }
        for case in &self.file.cases {
            let has = |verdict| case.rows.iter().any(|row| row.verdict == verdict);
            if !has(Decision::Allow) || !has(Decision::Deny) {
                return Err(self.error(case.line, "a case needs an allow and its deny twin"));
            }
            if case.offline.is_none()
                && (!case.broken.is_empty() || case.rows.iter().any(Row::is_offline))
            {
                return Err(
                    self.error(case.line, "say why it is not for the data plane: `Offline: why`")
                );
            }
        }
        Ok(self.file)
    }
}

impl Row {
    /// Whether it asks what no packet can show.
    fn is_offline(&self) -> bool {
        self.traffic.staged || self.at.is_some() || !self.names.is_empty()
    }
}

impl Traffic {
    fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not traffic such as `TCP 80` or `ICMP 8`");
        let (text, staged) = match text.strip_suffix(" staged") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let (text, v6) = match text.strip_suffix(" over IPv6") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let (name, number) = text.split_once(' ').ok_or_else(bad)?;
        let mut traffic =
            Self { protocol: Protocol::TCP, port: 0, icmp_type: 0, icmp_code: 0, v6, staged };
        if name == "protocol" {
            traffic.protocol = Protocol(number.parse().map_err(|_| bad())?);
            return Ok(traffic);
        }
        traffic.protocol = name.parse().map_err(|_| bad())?;
        if traffic.protocol.is_icmp() {
            let (kind, code) = number.split_once('.').unwrap_or((number, "0"));
            traffic.icmp_type = kind.parse().map_err(|_| bad())?;
            traffic.icmp_code = code.parse().map_err(|_| bad())?;
            traffic.v6 |= traffic.protocol == Protocol::ICMPV6;
        } else {
            traffic.port = number.parse().map_err(|_| bad())?;
        }
        Ok(traffic)
    }
}

// === impl CaseFile ===

impl CaseFile {
    /// The world with the policies of one case.
    pub fn objects_of(&self, case: &Case) -> Vec<Object> {
        self.world.iter().chain(&case.policies).cloned().collect()
    }

    /// The first packet of a row's connection, with the endpoints at its ends.
    pub fn packet(&self, row: &Row) -> Result<(Ends, Packet), CaseError> {
        let error =
            |message: String| CaseError { path: self.path.clone(), line: row.line, message };
        let end = |text: &str| match text.parse::<IpAddr>() {
            Ok(address) => Ok((self.owner(address), address)),
            Err(_) => self
                .named(text, row.traffic.v6)
                .ok_or_else(|| error(format!("the world has no `{text}`"))),
        };
        let (src_endpoint, src) = end(&row.from)?;
        let (dst_endpoint, dst) = end(&row.to)?;
        let Traffic { protocol, port, icmp_type, icmp_code, .. } = row.traffic;
        let src_port = if protocol.has_ports() { 40_000 } else { 0 };
        let packet = Packet { src, dst, protocol, src_port, dst_port: port, icmp_type, icmp_code };
        Ok((Ends { src: src_endpoint, dst: dst_endpoint }, packet))
    }

    fn named(&self, name: &str, v6: bool) -> Option<(Option<EndpointId>, IpAddr)> {
        let endpoints = self.world.iter().filter_map(|o| Some((endpoint(o)?, o)));
        let (id, object) = endpoints.into_iter().find(|(id, _)| id.to_string() == name)?;
        let address = addressing::addresses(object).into_iter().find(|a| a.is_ipv6() == v6)?;
        Some((Some(id), address))
    }

    fn owner(&self, address: IpAddr) -> Option<EndpointId> {
        let has_it = |o: &&Object| match o {
            Object::Pod(pod) if !addressing::has_own_network(pod) => false,
            o => addressing::addresses(o).contains(&address),
        };
        endpoint(self.world.iter().find(has_it)?)
    }
}

/// The endpoints of a connection; `None` is outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    pub src: Option<EndpointId>,
    pub dst: Option<EndpointId>,
}

fn endpoint(object: &Object) -> Option<EndpointId> {
    let key = object.key();
    match object {
        Object::Pod(_) => Some(EndpointId::pod(key.namespace, key.name)),
        Object::Workload(_) => Some(EndpointId::workload(key.namespace, key.name)),
        _ => None,
    }
}

/// The verdict of both ends together, and the words of a table about it: the end that denies, or
/// every end at which a policy or a tier allowed; then who has logged.
pub fn together(egress: Option<&Verdict>, ingress: Option<&Verdict>) -> (Decision, String) {
    let (decision, mut text) = decided(egress, ingress);
    for (end, rules) in logged(egress, ingress) {
        text = format!("{text}; {end} logged: {}", rules.join(", "));
    }
    (decision, text)
}

/// Who has logged at which end. A packet that is denied as it leaves does not come to the other.
fn logged(
    egress: Option<&Verdict>,
    ingress: Option<&Verdict>,
) -> impl Iterator<Item = (&'static str, Vec<String>)> {
    let is_sent = egress.is_none_or(|verdict| verdict.decision == Decision::Allow);
    let ends = [("egress", egress), ("ingress", ingress.filter(|_| is_sent))];
    let rules = |verdict: &Verdict| -> Vec<String> {
        verdict.logged.iter().map(|rule| words(rule).unwrap_or_else(|| "profile".into())).collect()
    };
    let rules = ends.map(|(end, verdict)| (end, verdict.map(rules).unwrap_or_default()));
    rules.into_iter().filter(|(_, rules)| !rules.is_empty())
}

fn decided(egress: Option<&Verdict>, ingress: Option<&Verdict>) -> (Decision, String) {
    let ends = [("egress", egress), ("ingress", ingress)];
    let said = |(end, verdict): &(&str, Option<&Verdict>)| {
        let words = words(&(*verdict)?.rule)?;
        Some(format!("{end}: {words}"))
    };
    let denies = |verdict: &Verdict| verdict.decision == Decision::Deny;
    if let Some(end) = ends.iter().find(|(_, verdict)| verdict.is_some_and(denies)) {
        return (Decision::Deny, said(end).unwrap_or_else(|| "nothing".to_owned()));
    }
    let all: Vec<String> = ends.iter().filter_map(said).collect();
    (Decision::Allow, if all.is_empty() { "nothing".to_owned() } else { all.join("; ") })
}

/// `None` for a profile: no policy had a word.
fn words(rule: &RuleRef) -> Option<String> {
    match rule {
        RuleRef::Rule { policy, index, .. } => Some(format!("{policy} rule {index}")),
        RuleRef::TierDefault { tier } => Some(format!("end of tier {tier}")),
        RuleRef::Profile { .. } => None,
        RuleRef::Unknown => Some("unknown".to_owned()),
        RuleRef::NoProfile => Some("no profile".to_owned()),
        RuleRef::Failsafe => Some("failsafe".to_owned()),
        RuleRef::StageDefault => None,
        RuleRef::WorkloadToHost => Some("workload to host".to_owned()),
        RuleRef::HostToWorkload => Some("host to workload".to_owned()),
        RuleRef::NotItsOwn => Some("not its own".to_owned()),
    }
}

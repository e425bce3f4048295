//! Makes node programs by hand.

use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_types::{Decision, EndpointId, Labels, Revision, RuleRef};
use bulkhead_wire::id::content_hash;
use bulkhead_wire::row::{Leaf, Outcome, Row, Span, Spans};
use bulkhead_wire::{
    ClassId, EndpointProgram, Judges, NameSetId, NodeProgram, ProgramId, RowId, RuleId, Tag,
};

#[derive(Clone, Debug, Default)]
pub struct Maker {
    pub program: NodeProgram,
}

/// The rule that hand-made leaves name.
pub fn mk_rule(name: &str) -> RuleRef {
    RuleRef::TierDefault { tier: name.to_owned() }
}

impl Maker {
    pub fn new(revision: u64) -> Self {
        let mut maker = Self::default();
        maker.program.revision = Revision(revision);
        maker
    }

    pub fn leaf(&mut self, decision: Decision, rule: &str) -> Leaf {
        let rule = mk_rule(rule);
        let id = RuleId::of(&rule);
        self.program.rules.insert(id, rule.into());
        Leaf { decision, rule: id }
    }

    /// The leaf, behind rules that log.
    pub fn behind(&mut self, leaf: Leaf, logged: &[&str]) -> Leaf {
        let logged: Vec<RuleId> =
            logged.iter().map(|rule| self.leaf(Decision::Allow, rule).rule).collect();
        let id = RuleId::behind(leaf.rule, &logged);
        let decider = Arc::clone(self.program.rules.get(&leaf.rule).unwrap());
        self.program.rules.insert(id, decider);
        self.program.logged.insert(id, logged.into());
        Leaf { rule: id, ..leaf }
    }

    pub fn allow(&mut self) -> Row {
        Row::uniform(self.leaf(Decision::Allow, "allow"))
    }

    pub fn deny(&mut self) -> Row {
        Row::uniform(self.leaf(Decision::Deny, "deny"))
    }

    /// Allows `ports` of TCP and UDP, denies the rest.
    pub fn allow_ports(&mut self, ports: &[u16]) -> Row {
        let allow = Outcome::Leaf(self.leaf(Decision::Allow, "ports"));
        let deny = Outcome::Leaf(self.leaf(Decision::Deny, "deny"));
        let mut spans = vec![Span { start: 0, outcome: deny.clone() }];
        for port in ports {
            spans.retain(|span| span.start != *port);
            spans.push(Span { start: *port, outcome: allow.clone() });
            spans.push(Span { start: port + 1, outcome: deny.clone() });
        }
        let spans = Spans::new(spans).unwrap();
        Row { tcp: spans.clone(), udp: spans, ..self.deny() }
    }

    /// A program by the content of its answers.
    pub fn judge(&mut self, outside: &Row, classes: &[(ClassId, &Row)]) -> ProgramId {
        let answers: Vec<(ClassId, RowId)> = std::iter::once((ClassId::OUTSIDE, outside))
            .chain(classes.iter().copied())
            .map(|(class, row)| {
                let id = RowId::of(row);
                self.program.rows.insert(id, row.clone().into());
                (class, id)
            })
            .collect();
        let text = format!("{answers:?}");
        let program = ProgramId(content_hash([text.as_bytes()]));
        for (class, row) in answers {
            self.program.entries.insert((program, class), row);
        }
        program
    }

    pub fn class(&mut self, prefix: &str, class: ClassId) {
        self.program.classes.insert(prefix.parse().unwrap(), class);
    }

    pub fn pattern(&mut self, pattern: &str, tag: Tag) {
        let patterns = &mut self.program.names.patterns;
        let mut tags = patterns.get(&pattern.to_owned()).cloned().unwrap_or_default();
        tags.insert(tag);
        patterns.insert(pattern.to_owned(), tags);
    }

    /// What the judge says of addresses whose names bring these tags.
    pub fn by_name(&mut self, judge: ProgramId, tags: &[Tag], row: &Row) {
        let id = RowId::of(row);
        self.program.rows.insert(id, row.clone().into());
        let programs = &mut self.program.names.programs;
        let mut sight = programs.get(&judge).cloned().unwrap_or_default();
        sight.tags.extend(tags);
        programs.insert(judge, sight);
        let set = NameSetId::of(&tags.iter().copied().collect());
        self.program.names.entries.insert((judge, ClassId::OUTSIDE, set), id);
    }

    pub fn endpoint(&mut self, name: &str, addresses: &[IpAddr], judges: Judges) -> EndpointId {
        let id = EndpointId::pod("test", name);
        let endpoint = EndpointProgram {
            id: id.clone(),
            labels: Labels::from([("name".to_owned(), name.to_owned())]).into(),
            addresses: addresses.iter().map(|address| (*address, judges)).collect(),
            staged: bulkhead_wire::JudgedAddresses::default(),
            interface: None,
            mac: None,
        };
        self.program.endpoints.insert(id.clone(), endpoint.into());
        id
    }
}

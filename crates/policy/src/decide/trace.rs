//! What was looked at on the way to a verdict.

use bulkhead_types::{
    Direction, EndpointId, HostStage, LOGGED_MAX, Packet, PolicyRef, RuleRef, Verdict,
};

use crate::rule::Action;

/// One endpoint's judgement of one packet, step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    pub endpoint: EndpointId,
    pub direction: Direction,
    pub packet: Packet,
    /// Tiers with a policy that applies, up to and including the one that decided.
    pub tiers: Vec<TierTrace>,
    /// Profiles with rules that were read because no tier decided; host endpoints only.
    pub profiles: Vec<ProfileTrace>,
    pub verdict: Verdict,
    /// The stage at which a host endpoint judged; `None` for workloads.
    pub stage: Option<HostStage>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileTrace {
    pub name: String,
    pub rules: Vec<RuleTrace>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierTrace {
    pub tier: String,
    /// Policies that apply, up to and including the one that ended the tier.
    pub policies: Vec<PolicyTrace>,
    pub end: End,
    /// `None`: the next tier, or else the profile, decides. Which rules have logged the packet is told
    /// by [`Trace::verdict`] alone.
    pub verdict: Option<Verdict>,
}

/// How a tier ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The last rule listed allowed or denied.
    Rule,
    /// The last rule listed passed.
    Passed,
    /// No rule decided; the tier's default did.
    DefaultDeny,
    DefaultPass,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyTrace {
    pub policy: PolicyRef,
    pub rules: Vec<RuleTrace>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTrace {
    pub index: u32,
    pub action: Action,
    /// The first criterion that does not hold; `None`: the rule matches.
    pub miss: Option<Criterion>,
}

/// What a rule can ask of a packet, in the order in which it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    IpVersion,
    Protocol,
    NotProtocol,
    Icmp,
    NotIcmp,
    /// No packet shows a request.
    Http,
    SourceSelector,
    SourceNotSelector,
    SourceNets,
    SourceNotNets,
    SourceService,
    SourceNodes,
    SourceDomains,
    SourcePorts,
    SourceNotPorts,
    DestinationSelector,
    DestinationNotSelector,
    DestinationNets,
    DestinationNotNets,
    DestinationService,
    DestinationNodes,
    DestinationDomains,
    DestinationPorts,
    DestinationNotPorts,
}

impl Trace {
    pub(super) fn new(endpoint: EndpointId, direction: Direction, packet: Packet) -> Self {
        Self {
            endpoint,
            direction,
            packet,
            tiers: Vec::new(),
            profiles: Vec::new(),
            verdict: Verdict::unknown(),
            stage: None,
        }
    }

    /// With the Log rules that the packet has matched on the way.
    pub(super) fn logged(mut self) -> Self {
        let mut logged: Vec<RuleRef> = Vec::new();
        for rule in self.log_rules() {
            // Several lowered rules may come from one written rule.
            if !logged.contains(&rule) {
                logged.push(rule);
            }
        }
        logged.truncate(LOGGED_MAX);
        self.verdict.logged = logged;
        self
    }

    fn log_rules(&self) -> impl Iterator<Item = RuleRef> {
        let of_tiers = self.tiers.iter().flat_map(move |tier| {
            tier.policies.iter().flat_map(move |policy| {
                policy.rules.iter().filter(|rule| rule.is_logged()).map(|rule| RuleRef::Rule {
                    tier: tier.tier.clone(),
                    policy: policy.policy.clone(),
                    direction: self.direction,
                    index: rule.index,
                })
            })
        });
        let of_profiles = self.profiles.iter().flat_map(|profile| {
            let logged = profile.rules.iter().filter(|rule| rule.is_logged());
            logged.map(|_| RuleRef::Profile { name: profile.name.clone() })
        });
        of_tiers.chain(of_profiles)
    }
}

impl RuleTrace {
    fn is_logged(&self) -> bool {
        self.action == Action::Log && self.miss.is_none()
    }
}

impl TierTrace {
    pub(super) fn new(tier: &str) -> Self {
        Self { tier: tier.to_owned(), policies: Vec::new(), end: End::DefaultDeny, verdict: None }
    }
}

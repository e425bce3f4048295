//! A policy's rules for one direction, with groups in the place of selectors, nets and port names.
//!
//! Invariant: equal content is one list, shared by every program that holds it, and as long as the
//! list lives its groups keep their ids.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bulkhead_types::{Direction, PolicyRef, Protocol, RuleRef};
use bulkhead_wire::RuleId;
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

use super::filed::{FEW_MAX, Filed};
use super::paint::{Interval, normalise};
use crate::rule::{Action, Family, Icmp, Ports, Rule, Side};
use crate::select::{GroupId, Groups, Selectors};

/// Whose rules they are: one for both directions.
#[derive(Debug)]
pub struct Owner {
    pub policy: PolicyRef,
    pub tier: String,
}

#[derive(Debug)]
pub struct Grants {
    pub owner: Arc<Owner>,
    pub direction: Direction,
    grants: Box<[Grant]>,
    /// Only where there are too many grants to look at each.
    index: Option<Box<Filed>>,
    /// Groups asked of the remote address, and of the local one. Sorted.
    pub sees: Box<[GroupId]>,
    pub feels: Box<[GroupId]>,
    /// Whether some grant asks for none of the remote address's groups.
    pub is_for_every_class: bool,
    /// Whether some grant is for one IP version only.
    pub is_by_family: bool,
    pub content: u64,
}

#[derive(Debug)]
pub struct Grant {
    pub rule: RuleId,
    pub index: u32,
    pub action: Action,
    pub family: Option<Family>,
    pub protocol: Option<Protocol>,
    pub not_protocol: Option<Protocol>,
    pub icmp: Option<Icmp>,
    pub not_icmp: Option<Icmp>,
    pub local: Sieve,
    pub remote: Sieve,
}

/// One side's criteria.
#[derive(Debug, Default)]
pub struct Sieve {
    pub selector: Option<GroupId>,
    pub not_selector: Option<GroupId>,
    pub nets: Option<GroupId>,
    pub not_nets: Option<GroupId>,
    /// Services, nodes and names: the address must be in every one of these groups.
    pub also: Box<[GroupId]>,
    pub ports: Option<Box<PortSieve>>,
    pub not_ports: Option<Box<PortSieve>>,
}

#[derive(Debug, Default)]
pub struct PortSieve {
    /// Normalised.
    pub ranges: Box<[Interval]>,
    /// Name groups.
    pub named: Box<[GroupId]>,
}

/// All lists in use.
#[derive(Debug, Default)]
pub struct Lists {
    by_content: FxHashMap<u64, (Arc<Grants>, usize)>,
    idle: BTreeSet<u64>,
}

impl Lists {
    /// Counts one more use of the list that the policy's rules make; resolves them if it is the
    /// first. Groups that are new are handed to `on_new`.
    pub fn acquire(
        &mut self,
        owner: &Arc<Owner>,
        (direction, rules): (Direction, &[Rule]),
        groups: &mut Groups,
        selectors: &mut Selectors,
        on_new: &mut dyn FnMut(GroupId),
        is_new: &mut bool,
    ) -> Arc<Grants> {
        let content = content_of(owner, direction, rules);
        self.idle.remove(&content);
        if let Some((list, n_uses)) = self.by_content.get_mut(&content) {
            *n_uses += 1;
            return Arc::clone(list);
        }
        *is_new = true;
        let resolver = Resolver { groups, selectors, on_new };
        let list = Arc::new(resolver.resolve(owner, direction, rules, content));
        self.by_content.insert(content, (Arc::clone(&list), 1));
        list
    }

    pub fn release(&mut self, content: u64) {
        if let Some((_, n_uses)) = self.by_content.get_mut(&content) {
            *n_uses -= 1;
            if *n_uses == 0 {
                self.idle.insert(content);
            }
        }
    }

    /// Whether nothing is held.
    pub fn is_idle(&self) -> bool {
        self.by_content.is_empty()
    }

    /// Forgets lists that nobody uses and releases their groups.
    pub fn collect(&mut self, groups: &mut Groups) {
        for content in std::mem::take(&mut self.idle) {
            let Some((list, _)) = self.by_content.remove(&content) else { continue };
            for grant in &list.grants {
                for group in grant.local.groups().chain(grant.remote.groups()) {
                    groups.release(group);
                }
            }
        }
    }
}

impl Grants {
    /// Grants that may concern a remote address with the groups `seen`, in order: all of those that
    /// do, and perhaps more.
    pub fn candidates<'a>(&'a self, seen: &[GroupId], mut visit: impl FnMut(&'a Grant)) {
        let Some(index) = &self.index else {
            return self.grants.iter().for_each(visit);
        };
        for position in index.find(seen) {
            if let Some(grant) = self.grants.get(position as usize) {
                visit(grant);
            }
        }
    }

    /// Where the list is to be filed among others: see [`Filed::add`].
    pub fn keys(&self) -> impl Iterator<Item = &[GroupId]> {
        self.grants.iter().map(|grant| grant.remote.keys())
    }

    /// The rules of a profile, which stands in no tier.
    pub fn is_of_profile(&self) -> bool {
        self.owner.tier.is_empty()
    }

    fn rule_id(&self, index: u32) -> RuleId {
        if self.is_of_profile() {
            return RuleId::of(&self.reference(index));
        }
        RuleId::of_policy(&self.owner.tier, &self.owner.policy, self.direction, index)
    }

    pub fn reference(&self, index: u32) -> RuleRef {
        if self.is_of_profile() {
            return RuleRef::Profile { name: self.owner.policy.name.clone() };
        }
        RuleRef::Rule {
            tier: self.owner.tier.clone(),
            policy: self.owner.policy.clone(),
            direction: self.direction,
            index,
        }
    }
}

impl Sieve {
    pub fn groups(&self) -> impl Iterator<Item = GroupId> + '_ {
        let ports = self.ports.iter().chain(&self.not_ports);
        [self.selector, self.not_selector, self.nets, self.not_nets]
            .into_iter()
            .flatten()
            .chain(self.also.iter().copied())
            .chain(ports.flat_map(|ports| ports.named.iter().copied()))
    }

    /// Whether an address with these groups (sorted) passes; ports aside.
    pub fn passes(&self, class: &[GroupId]) -> bool {
        let has = |group: &GroupId| class.binary_search(group).is_ok();
        self.selector.as_ref().is_none_or(has)
            && self.nets.as_ref().is_none_or(has)
            && self.also.iter().all(has)
            && !self.not_selector.as_ref().is_some_and(has)
            && !self.not_nets.as_ref().is_some_and(has)
    }

    /// Groups one of which the address must be in, the choosiest kind first. Empty: none.
    pub fn keys(&self) -> &[GroupId] {
        let named_only = self.ports.as_ref().filter(|ports| ports.ranges.is_empty());
        let group = self.nets.as_ref().or(self.selector.as_ref()).or(self.also.first());
        match (group, named_only) {
            (Some(group), _) => std::slice::from_ref(group),
            (None, Some(ports)) => &ports.named,
            (None, None) => &[],
        }
    }
}

fn sorted(mut groups: Vec<GroupId>) -> Box<[GroupId]> {
    groups.sort_unstable();
    groups.dedup();
    groups.into()
}

struct Resolver<'a> {
    groups: &'a mut Groups,
    selectors: &'a mut Selectors,
    on_new: &'a mut dyn FnMut(GroupId),
}

impl Resolver<'_> {
    fn resolve(
        mut self,
        owner: &Arc<Owner>,
        direction: Direction,
        rules: &[Rule],
        content: u64,
    ) -> Grants {
        let mut list = Grants {
            owner: Arc::clone(owner),
            direction,
            grants: Box::default(),
            index: None,
            sees: Box::default(),
            feels: Box::default(),
            is_for_every_class: false,
            is_by_family: rules.iter().any(|rule| rule.family.is_some()),
            content,
        };
        let (mut sees, mut feels) = (Vec::new(), Vec::new());
        let mut grants: Vec<Grant> = Vec::with_capacity(rules.len());
        // No packet shows a request: programs need not know what is about one.
        for rule in rules.iter().filter(|rule| rule.http.is_none()) {
            // What comes of one written rule stands together.
            let known = grants.last().filter(|last| last.index == rule.index).map(|last| last.rule);
            let id = known.unwrap_or_else(|| list.rule_id(rule.index));
            let (local, remote) = rule.local_and_remote(direction);
            let grant = Grant {
                rule: id,
                index: rule.index,
                action: rule.action,
                family: rule.family,
                protocol: rule.protocol,
                not_protocol: rule.not_protocol,
                icmp: rule.icmp,
                not_icmp: rule.not_icmp,
                local: self.sieve(local, false),
                remote: self.sieve(remote, direction == Direction::Egress),
            };
            sees.extend(grant.remote.groups());
            feels.extend(grant.local.groups());
            grants.push(grant);
        }
        list.sees = sorted(sees);
        list.feels = sorted(feels);
        list.index = (grants.len() > FEW_MAX).then(|| {
            let mut filed = Filed::default();
            (0..)
                .zip(&grants)
                .for_each(|(position, grant)| filed.add(position, grant.remote.keys()));
            Box::new(filed)
        });
        list.is_for_every_class = grants.iter().any(|grant| grant.remote.keys().is_empty());
        list.grants = grants.into();
        list
    }

    /// `with_ports`: a service of this side is asked for with its ports.
    fn sieve(&mut self, side: &Side, with_ports: bool) -> Sieve {
        let (groups, selectors) = (&mut *self.groups, &mut *self.selectors);
        let on_new = &mut *self.on_new;
        let mut told = |(group, is_new): (GroupId, bool)| {
            if is_new {
                on_new(group);
            }
            group
        };
        let mut also = Vec::new();
        also.extend(side.nodes.as_ref().map(|nodes| told(groups.acquire_nodes(nodes))));
        also.extend(side.domains.as_ref().map(|names| told(groups.acquire_domains(names))));
        let service =
            side.service.as_ref().map(|service| told(groups.acquire_service(service, with_ports)));
        also.extend(service.filter(|_| !with_ports));
        Sieve {
            also: also.into(),
            selector: side
                .selector
                .as_ref()
                .map(|selector| told(groups.acquire_selector(selector, selectors))),
            not_selector: side
                .not_selector
                .as_ref()
                .map(|selector| told(groups.acquire_selector(selector, selectors))),
            nets: side.nets.as_ref().map(|nets| told(groups.acquire_nets(nets))),
            not_nets: side.not_nets.as_ref().map(|nets| told(groups.acquire_nets(nets))),
            ports: match service.filter(|_| with_ports) {
                // A service with ports is a name for some of them at some addresses.
                Some(service) => {
                    Some(Box::new(PortSieve { ranges: Box::default(), named: [service].into() }))
                }
                None => side.ports.as_ref().map(|ports| self.ports(ports, side)),
            },
            not_ports: side.not_ports.as_ref().map(|ports| self.ports(ports, side)),
        }
    }

    fn ports(&mut self, ports: &Ports, side: &Side) -> Box<PortSieve> {
        let mut named = Vec::with_capacity(ports.named.len());
        for name in &ports.named {
            let selector = side.selector.as_ref();
            let (group, is_new) = self.groups.acquire_name(selector, name, self.selectors);
            if is_new {
                (self.on_new)(group);
            }
            named.push(group);
        }
        let ranges = ports.ranges.iter().map(|range| (range.start(), range.end())).collect();
        Box::new(PortSieve { ranges: normalise(ranges).into(), named: named.into() })
    }
}

/// Identity of a list: everything that any verdict or its provenance depends on.
fn content_of(owner: &Owner, direction: Direction, rules: &[Rule]) -> u64 {
    let mut content = ContentHasher::default();
    (&owner.policy, &owner.tier, direction, rules).hash(&mut content);
    content.finish()
}

/// SHA-256 behind the standard hashing trait, so that derived `Hash` says what content is. Ids
/// hold across restarts of one build of the server; another build may give others, which costs its
/// nodes one full update.
pub struct ContentHasher(Vec<u8>);

impl Default for ContentHasher {
    /// With room for what is hashed nearly always.
    fn default() -> Self {
        Self(Vec::with_capacity(1024))
    }
}

impl Hasher for ContentHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Never 0.
    fn finish(&self) -> u64 {
        let digest = Sha256::digest(&self.0);
        let first = digest.iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        first.max(1)
    }
}

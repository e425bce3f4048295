//! Pods that would match a selector, with as little about them as that takes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use bulkhead_api::Object;
use bulkhead_api::workload::{Workload, WorkloadSpec};
use bulkhead_types::selector::Expr;
use bulkhead_types::{EndpointId, Labels, Selector};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::facts::{
    KUBERNETES_NAME, NAME, NAMESPACE, NAMESPACE_PREFIX, ORCHESTRATOR, SERVICE_ACCOUNT,
    SERVICE_ACCOUNT_PREFIX,
};

/// A selector is followed into at most this many alternatives.
const ALTERNATIVES_MAX: usize = 32;

/// A pod as far as anybody asks. The default one is a pod of which nobody asks anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Imagined {
    /// In the namespace of this name; `None`: in one that does not exist yet.
    pub namespace: Option<String>,
    pub namespace_labels: Labels,
    pub labels: Labels,
    pub service_account: Option<String>,
    pub service_account_labels: Labels,
}

/// What is asked of one label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wish {
    value: Option<String>,
    is_present: bool,
    is_absent: bool,
    not: BTreeSet<String>,
}

type Wishes = BTreeMap<String, Wish>;

/// One for each way in which the selector can be met.
pub fn pods(selector: &Selector) -> Vec<Imagined> {
    let ways = ways(selector.expr(), true);
    ways.into_iter().filter_map(|wishes| Imagined::of(&wishes)).collect()
}

fn ways(expr: &Expr, wanted: bool) -> Vec<Wishes> {
    let one = |key: &str, wish: Wish| vec![Wishes::from([(key.to_owned(), wish)])];
    let valued = |value: &str| Wish { value: Some(value.to_owned()), ..Wish::default() };
    let not = |values: BTreeSet<String>| Wish { not: values, ..Wish::default() };
    match (expr, wanted) {
        (Expr::All | Expr::Global, true) => vec![Wishes::new()],
        (Expr::All | Expr::Global, false) => Vec::new(),
        (Expr::Has(key), true) => one(key, Wish { is_present: true, ..Wish::default() }),
        (Expr::Has(key), false)
        | (Expr::Contains(key, _) | Expr::StartsWith(key, _) | Expr::EndsWith(key, _), false) => {
            one(key, Wish { is_absent: true, ..Wish::default() })
        }
        (Expr::Equals(key, value), true) | (Expr::NotEquals(key, value), false) => {
            one(key, valued(value))
        }
        (Expr::Equals(key, value), false) | (Expr::NotEquals(key, value), true) => {
            one(key, not(BTreeSet::from([value.clone()])))
        }
        (
            Expr::Contains(key, part) | Expr::StartsWith(key, part) | Expr::EndsWith(key, part),
            true,
        ) => one(key, valued(part)),
        (Expr::In(key, values), true) | (Expr::NotIn(key, values), false) => {
            let values = values.iter().take(ALTERNATIVES_MAX);
            values.flat_map(|value| one(key, valued(value))).collect()
        }
        (Expr::In(key, values), false) | (Expr::NotIn(key, values), true) => {
            one(key, not(values.clone()))
        }
        (Expr::Not(inner), wanted) => ways(inner, !wanted),
        (Expr::And(operands), true) | (Expr::Or(operands), false) => {
            let mut met = vec![Wishes::new()];
            for operand in operands {
                let more = ways(operand, wanted);
                let both = |one: &Wishes| {
                    more.iter().filter_map(|other| merged(one, other)).collect::<Vec<_>>()
                };
                met = met.iter().flat_map(both).take(ALTERNATIVES_MAX).collect();
            }
            met
        }
        (Expr::Or(operands), true) | (Expr::And(operands), false) => {
            let all = operands.iter().flat_map(|operand| ways(operand, wanted));
            all.take(ALTERNATIVES_MAX).collect()
        }
    }
}

/// `None` where both cannot be.
fn merged(one: &Wishes, other: &Wishes) -> Option<Wishes> {
    let mut all = one.clone();
    for (key, wish) in other {
        let known = all.entry(key.clone()).or_default();
        if let (Some(a), Some(b)) = (&known.value, &wish.value)
            && a != b
        {
            return None;
        }
        known.value = known.value.take().or_else(|| wish.value.clone());
        known.is_present |= wish.is_present;
        known.is_absent |= wish.is_absent;
        known.not.extend(wish.not.iter().cloned());
        let is_needed = known.value.is_some() || known.is_present;
        let is_refused = known.value.as_ref().is_some_and(|value| known.not.contains(value));
        if (known.is_absent && is_needed) || is_refused {
            return None;
        }
    }
    Some(all)
}

impl Wish {
    /// A label that is not needed is not there.
    fn choice(&self) -> Option<String> {
        if let Some(value) = &self.value {
            return Some(value.clone());
        }
        let fresh = std::iter::once("any".to_owned()).chain((1..).map(|n: u32| format!("any-{n}")));
        let mut fresh = fresh.filter(|value| !self.not.contains(value));
        self.is_present.then(|| fresh.next()).flatten()
    }
}

impl Imagined {
    /// `None` where no pod can be so.
    fn of(wishes: &Wishes) -> Option<Self> {
        let mut pod = Self::default();
        let namespaces = [
            NAMESPACE.to_owned(),
            format!("{NAMESPACE_PREFIX}{NAME}"),
            format!("{NAMESPACE_PREFIX}{KUBERNETES_NAME}"),
        ];
        let accounts = [SERVICE_ACCOUNT.to_owned(), format!("{SERVICE_ACCOUNT_PREFIX}{NAME}")];
        for (key, wish) in wishes {
            let Some(value) = wish.choice() else { continue };
            let slot = if namespaces.contains(key) {
                &mut pod.namespace
            } else if accounts.contains(key) {
                &mut pod.service_account
            } else if key == ORCHESTRATOR {
                continue;
            } else {
                let (labels, key) = match (
                    key.strip_prefix(NAMESPACE_PREFIX),
                    key.strip_prefix(SERVICE_ACCOUNT_PREFIX),
                ) {
                    (Some(key), _) => (&mut pod.namespace_labels, key),
                    (_, Some(key)) => (&mut pod.service_account_labels, key),
                    _ => (&mut pod.labels, key.as_str()),
                };
                labels.insert(key.to_owned(), value);
                continue;
            };
            if slot.as_ref().is_some_and(|known| *known != value) {
                return None;
            }
            *slot = Some(value);
        }
        Some(pod)
    }

    pub fn is_anybody(&self) -> bool {
        *self == Self::default()
    }

    /// Whether less is asked, and nothing else.
    pub fn is_wider_than(&self, other: &Self) -> bool {
        let within = |few: &Labels, many: &Labels| few.iter().all(|(k, v)| many.get(k) == Some(v));
        let named = |few: &Option<String>, many: &Option<String>| few.is_none() || few == many;
        self != other
            && named(&self.namespace, &other.namespace)
            && named(&self.service_account, &other.service_account)
            && within(&self.namespace_labels, &other.namespace_labels)
            && within(&self.labels, &other.labels)
            && within(&self.service_account_labels, &other.service_account_labels)
    }

    /// The objects that make it; `number` keeps names apart.
    pub fn objects(&self, number: usize, addresses: &[IpAddr]) -> (EndpointId, Vec<Object>) {
        let fresh = format!("imagined-{number}");
        let namespace = self.namespace.clone().unwrap_or_else(|| fresh.clone());
        let account = self.service_account.clone().unwrap_or_else(|| fresh.clone());
        let mut objects = Vec::new();
        if self.namespace.is_none() {
            let metadata = ObjectMeta {
                name: Some(namespace.clone()),
                labels: Some(self.namespace_labels.clone()),
                ..ObjectMeta::default()
            };
            objects
                .push(Object::Namespace(Box::new(Namespace { metadata, ..Namespace::default() })));
        }
        if !self.service_account_labels.is_empty() {
            let metadata = ObjectMeta {
                name: Some(account.clone()),
                namespace: Some(namespace.clone()),
                labels: Some(self.service_account_labels.clone()),
                ..ObjectMeta::default()
            };
            let account = ServiceAccount { metadata, ..ServiceAccount::default() };
            objects.push(Object::ServiceAccount(Box::new(account)));
        }
        let metadata = ObjectMeta {
            name: Some(fresh.clone()),
            namespace: Some(namespace.clone()),
            labels: Some(self.labels.clone()),
            ..ObjectMeta::default()
        };
        let spec = WorkloadSpec {
            addresses: addresses.iter().map(IpAddr::to_string).collect(),
            service_account_name: Some(account),
            ..WorkloadSpec::default()
        };
        objects.push(Object::Workload(Box::new(Workload { metadata, spec })));
        (EndpointId::workload(namespace, fresh), objects)
    }
}

/// `pods with app=web in namespaces with team=x`
impl fmt::Display for Imagined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |labels: &Labels| {
            let pairs: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            pairs.join(",")
        };
        f.write_str("any pod")?;
        if !self.labels.is_empty() {
            write!(f, " with {}", listed(&self.labels))?;
        }
        if let Some(account) = &self.service_account {
            write!(f, " of service account {account}")?;
        }
        if !self.service_account_labels.is_empty() {
            write!(f, " of service accounts with {}", listed(&self.service_account_labels))?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}")?,
            None if !self.namespace_labels.is_empty() => {
                write!(f, " in namespaces with {}", listed(&self.namespace_labels))?;
            }
            None => {}
        }
        Ok(())
    }
}

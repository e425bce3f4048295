//! From a URL path to what it names.

use bulkhead_apimachinery::kinds::{self, Resource};
use bulkhead_store::{Key, Scope};

#[cfg(test)]
mod tests;

/// What a path under `/api/v1` or `/apis/GROUP/VERSION` names.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub resource: &'static Resource,
    /// `None` for cluster-scoped kinds, and for lists over all namespaces.
    pub namespace: Option<String>,
    /// `None` for collections.
    pub name: Option<String>,
    pub subresource: Option<Subresource>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subresource {
    Status,
    /// Of namespaces: how a finalizer of the namespace itself is taken off.
    Finalize,
}

/// Every path that the API serves, apart from health and the version.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/GROUP`
    Group(String),
    /// `/api/v1` or `/apis/GROUP/VERSION`; the core group is empty.
    GroupVersion(String, String),
    Objects(Target),
    /// The kinds that users have defined, of which there are none. kubectl looks here for a kind
    /// that it does not know, before it says so.
    CustomKinds,
    /// Group and collection of questions that are answered and forgotten, such as access reviews.
    Review(&'static str, String),
}

const AUTHORIZATION: &str = "authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";

impl Place {
    /// `None` when there is no such path.
    pub fn parse(path: &str) -> Option<Self> {
        let parts: Vec<String> =
            path.trim_matches('/').split('/').map(decode).collect::<Option<_>>()?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["api"] => Some(Place::CoreVersions),
            ["apis"] => Some(Place::Groups),
            ["apis", group] => Some(Place::Group((*group).to_owned())),
            ["api", version] => Some(Place::GroupVersion(String::new(), (*version).to_owned())),
            ["apis", group, version] => {
                Some(Place::GroupVersion((*group).to_owned(), (*version).to_owned()))
            }
            ["apis", "apiextensions.k8s.io", "v1", "customresourcedefinitions"] => {
                Some(Place::CustomKinds)
            }
            ["apis", AUTHORIZATION, "v1", review] => {
                Some(Place::Review(AUTHORIZATION, (*review).to_owned()))
            }
            ["apis", AUTHENTICATION, "v1", review] => {
                Some(Place::Review(AUTHENTICATION, (*review).to_owned()))
            }
            ["api", version, rest @ ..] => target("", version, rest).map(Place::Objects),
            ["apis", group, version, rest @ ..] => target(group, version, rest).map(Place::Objects),
            _ => None,
        }
    }
}

fn target(group: &str, version: &str, rest: &[&str]) -> Option<Target> {
    let (namespace, rest) = match rest {
        // `namespaces/NAME` and its own subresources are about the namespace itself.
        ["namespaces"] | ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => {
            (None, rest)
        }
        ["namespaces", namespace, rest @ ..] => (Some(*namespace), rest),
        rest => (None, rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (plural, None, None),
        [plural, name] => (plural, Some(*name), None),
        [plural, name, "status"] => (plural, Some(*name), Some(Subresource::Status)),
        [plural, name, "finalize"] => (plural, Some(*name), Some(Subresource::Finalize)),
        _ => return None,
    };
    let resource = kinds::by_plural(group, version, plural)?;
    let fits = match subresource {
        None => true,
        Some(Subresource::Status) => resource.has_status,
        Some(Subresource::Finalize) => resource.plural == "namespaces",
    };
    let namespaced_fits = match (resource.namespaced, namespace) {
        (true, None) => name.is_none(),
        (false, Some(_)) => false,
        _ => true,
    };
    let no_empty_part = namespace != Some("") && name != Some("");
    (fits && namespaced_fits && no_empty_part).then(|| Target {
        resource,
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
        subresource,
    })
}

impl Target {
    pub fn scope(&self) -> Scope {
        let resource = self.resource.qualified_plural();
        match &self.namespace {
            Some(namespace) => Scope::Namespace { resource, namespace: namespace.clone() },
            None => Scope::Resource { resource },
        }
    }

    pub fn key(&self, name: &str) -> Key {
        let namespace = self.namespace.clone().unwrap_or_default();
        Key::new(self.resource.qualified_plural(), namespace, name)
    }
}

/// Undoes percent-encoding; `None` when that leaves no text, or a zero byte, which keys cannot hold.
fn decode(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [char::from(rest.next()?), char::from(rest.next()?)];
                let [high, low] = digits.map(|digit| digit.to_digit(16));
                u8::try_from(high? * 16 + low?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

//! Is this one of ours, a list of objects, something else's business, or a slip of the pen?

use crate::object::Kind;

use super::diagnostic::Severity;
use super::tree::{Node, Tree};

pub(super) enum Found<'a> {
    Known(Kind),
    List(&'a [Node]),
    /// A null item of a list.
    Nothing,
}

pub(super) struct Complaint {
    pub severity: Severity,
    pub code: &'static str,
    pub field: &'static str,
    pub message: String,
    pub help: Option<String>,
}

pub(super) fn recognise(node: &Node) -> Result<Found<'_>, Complaint> {
    match &node.tree {
        Tree::Map(_) => {}
        _ if node.is_null() => return Ok(Found::Nothing),
        _ => {
            return Err(Complaint {
                severity: Severity::Error,
                code: "not-an-object",
                field: "",
                message: "a manifest must be a map with `apiVersion` and `kind`".to_owned(),
                help: Some("is this file a manifest at all?".to_owned()),
            });
        }
    }
    let api_version = word(node, "apiVersion")?;
    let kind = word(node, "kind")?;
    if kind.ends_with("List")
        && let Some(Node { tree: Tree::List(items), .. }) = node.get("items")
    {
        return Ok(Found::List(items));
    }
    Kind::from_api(api_version, kind).map(Found::Known).ok_or_else(|| unknown(api_version, kind))
}

fn word<'a>(node: &'a Node, field: &'static str) -> Result<&'a str, Complaint> {
    let problem = match node.get(field).map(Node::as_text) {
        Some(Some(text)) => return Ok(text),
        Some(None) => format!("`{field}` must be text"),
        None => format!("the object has no `{field}`"),
    };
    Err(Complaint {
        severity: Severity::Error,
        code: "no-kind",
        field,
        message: problem,
        help: Some("every object begins with `apiVersion` and `kind`".to_owned()),
    })
}

fn unknown(api_version: &str, kind: &str) -> Complaint {
    if let Some(meant) = meant(api_version, kind) {
        let (version, name) = meant.api();
        return Complaint {
            severity: Severity::Error,
            code: "unknown-kind",
            field: if name == kind { "apiVersion" } else { "kind" },
            message: format!("unknown kind `{kind}` in `{api_version}`"),
            help: Some(format!("did you mean `kind: {name}` in `apiVersion: {version}`?")),
        };
    }
    if kind.ends_with("NetworkPolicy") {
        return Complaint {
            severity: Severity::Warning,
            code: "policy-not-read",
            field: "kind",
            message: format!("`{kind}` in `{api_version}` is a policy that is not understood here"),
            help: Some("every verdict is given as if it did not exist".to_owned()),
        };
    }
    Complaint {
        severity: Severity::Note,
        code: "kind-skipped",
        field: "kind",
        message: format!("`{kind}` in `{api_version}` plays no part in policy and is skipped"),
        help: None,
    }
}

/// The known kind that was probably meant: the same name at another version of its group, or a name
/// nearly the same in the same group.
fn meant(api_version: &str, kind: &str) -> Option<Kind> {
    let group = group_of(api_version);
    Kind::ALL.iter().copied().find(|known| {
        let (version, name) = known.api();
        let is_our_group = group_of(version) == group || has_old_group(*known, group);
        let is_near = distance(&name.to_ascii_lowercase(), &kind.to_ascii_lowercase()) <= 2;
        is_our_group && is_near
    })
}

fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// Groups that served a kind before its present one.
fn has_old_group(kind: Kind, group: &str) -> bool {
    match kind {
        Kind::KubernetesNetworkPolicy => group == "extensions",
        Kind::Tier | Kind::GlobalNetworkPolicy | Kind::GlobalNetworkSet | Kind::NetworkSet => {
            group == "crd.projectcalico.org"
        }
        _ => false,
    }
}

/// The known word that was probably meant.
pub fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_ascii_lowercase();
    known
        .map(|name| (distance(&name.to_ascii_lowercase(), &lower), name))
        .min()
        .filter(|(distance, name)| *distance <= near_enough(name.chars().count()))
        .map(|(_, name)| name)
}

/// Two letters changed places are two steps.
fn near_enough(length: usize) -> usize {
    match length {
        0..=2 => 1,
        3..=8 => 2,
        _ => 3,
    }
}

/// Letters to add, drop, replace or swap with their neighbour; names are short.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // The rows of the two letters before, with what the last of them was.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut letter_before = None;
    for (i, letter) in a.chars().enumerate() {
        let mut row = Vec::with_capacity(last.len());
        row.push(i + 1);
        for (j, other) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&last, j) + usize::from(letter != *other);
            let mut steps = replaced.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let other_before = j.checked_sub(1).and_then(|j| b.get(j));
            if letter_before == Some(*other) && other_before == Some(&letter) {
                steps = steps.min(at(&before, j.saturating_sub(1)) + 1);
            }
            row.push(steps);
        }
        before = std::mem::replace(&mut last, row);
        letter_before = Some(letter);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen_are_near() {
        let cases = [("web", "wbe", 1), ("web", "web", 0), ("web", "db", 2), ("", "ab", 2)];
        for (a, b, expected) in cases {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
        assert_eq!(nearest("shop/wbe", ["shop/db", "shop/web"].into_iter()), Some("shop/web"));
        assert_eq!(nearest("zzz", ["shop/db", "shop/web"].into_iter()), None);
    }
}

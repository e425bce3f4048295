//! DNS names: those under which an address was looked up, and the patterns that rules hold.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The names under which an address was looked up: lower case, without a final dot. Empty where
/// nobody looked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "BTreeSet<String>", into = "BTreeSet<String>")]
pub struct Names(BTreeSet<String>);

/// Nobody looked the address up.
pub static NO_NAMES: Names = Names(BTreeSet::new());

/// Longest name that DNS knows.
pub const NAME_LENGTH_MAX: usize = 253;
const LABEL_LENGTH_MAX: usize = 63;

impl Names {
    pub fn new<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Self {
        Self(names.into_iter().map(|name| normal_name(name.as_ref())).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the names is meant by the pattern.
    pub fn is_any_under(&self, pattern: &str) -> bool {
        self.iter().any(|name| pattern_covers(pattern, name))
    }
}

impl From<BTreeSet<String>> for Names {
    fn from(names: BTreeSet<String>) -> Self {
        Self::new(names)
    }
}

impl From<Names> for BTreeSet<String> {
    fn from(Names(names): Names) -> Self {
        names
    }
}

/// As names are compared.
pub fn normal_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Whether `pattern` means `name`: the name itself, or with a leading `*.` every name below the rest.
/// Both are normal.
pub fn pattern_covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => name
            .strip_suffix(parent)
            .is_some_and(|rest| rest.strip_suffix('.').is_some_and(|below| !below.is_empty())),
        None => pattern == name,
    }
}

/// Every pattern that could mean the normal name, the closest first: `a.b.c`, `*.b.c`, `*.c`.
pub fn patterns_over(name: &str) -> impl Iterator<Item = String> + '_ {
    let dots = name.match_indices('.').filter(|(at, _)| *at > 0);
    let dots = dots.filter_map(|(at, _)| name.get(at..));
    std::iter::once(name.to_owned()).chain(dots.map(|rest| format!("*{rest}")))
}

/// Whether the normal text is a name, or a name after `*.`.
pub fn is_pattern(text: &str) -> bool {
    is_name(text.strip_prefix("*.").unwrap_or(text))
}

/// Whether the normal text is a DNS name.
pub fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_LENGTH_MAX).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= NAME_LENGTH_MAX && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label_or_more() {
        for (pattern, name, expected) in [
            ("example.com", "example.com", true),
            ("example.com", "www.example.com", false),
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "badexample.com", false),
        ] {
            assert_eq!(pattern_covers(pattern, name), expected, "{pattern} {name}");
            assert_eq!(patterns_over(name).any(|p| p == pattern), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn names_are_compared_without_case_and_final_dot() {
        assert!(Names::new(["WWW.Example.COM."]).is_any_under("*.example.com"));
        assert!(!NO_NAMES.is_any_under("*.example.com"));
    }

    #[test]
    fn what_is_a_pattern() {
        for sound in ["a", "a.b", "*.a.b", "_srv.a-b.c9"] {
            assert!(is_pattern(sound), "{sound}");
        }
        for broken in ["", "*", "*.", "a..b", "a.*.b", "-a.b", "a b", "*a.b", "a.b."] {
            assert!(!is_pattern(broken), "{broken}");
        }
    }
}

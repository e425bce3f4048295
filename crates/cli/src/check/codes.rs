//! Every code that `check` gives, with what it says in one line.
//!
//! Codes are a promise to scripts and to whoever silences one: they are never renamed.
//! `docs/reference/lints.md` has a row for each; a test holds the two together.

pub struct Code {
    pub name: &'static str,
    pub says: &'static str,
}

const fn code(name: &'static str, says: &'static str) -> Code {
    Code { name, says }
}

pub const CODES: &[Code] = &[
    // What is written cannot be read.
    code("yaml-syntax", "the text is not well-formed YAML or JSON"),
    code("yaml-bomb", "aliases multiply the document beyond measure"),
    code("too-deep", "lists and maps nest too deep"),
    code("duplicate-key", "a key stands twice in one map"),
    code("file-too-large", "the file is longer than what is read"),
    code("not-text", "the file is not UTF-8 text"),
    code("unreadable", "the file or folder cannot be read"),
    code("not-an-object", "a document is not a map"),
    code("no-kind", "an object has no apiVersion or kind"),
    code("unknown-kind", "a kind is nearly one that is known"),
    code("no-name", "an object has no name"),
    code("duplicate", "an object is declared twice"),
    code("unknown-field", "a field is not one of its kind"),
    code("missing-field", "a field that is needed is not there"),
    code("wrong-type", "a value is of the wrong type"),
    code("unknown-value", "a word is not one of those allowed"),
    code("too-many", "further problems of a file are not shown"),
    // It can be read, and part of it has no meaning.
    code("invalid", "the engine cannot understand it and reads it closed"),
    code("refused", "a server would not take it"),
    code("no-such-tier", "a policy is in a tier that does not exist"),
    code("owner-cycle", "workload owners own one another"),
    // It refers to what is not there.
    code("policy-not-read", "a policy of a dialect that is not read"),
    code("no-such-namespace", "a namespace that nothing declares"),
    code("no-namespace", "an object names no namespace, and others do"),
    code("no-such-service", "a rule names a Service that nothing declares"),
    code("no-such-service-account", "a ServiceAccount that nothing declares"),
    code("no-such-profile", "a host endpoint lists a Profile that nothing declares"),
    code("no-such-owner", "the owner of a pod or workload is not there"),
    code("no-template", "a workload owner without a pod template"),
    code("dangling-backend", "an Ingress or HTTPRoute leads to no Service or port"),
    code("service-without-pods", "a Service selects no workload"),
    code("shared-address", "two workloads have one address"),
    // It is understood and probably not meant.
    code("odd", "the engine finds it odd"),
    code("noted", "the engine has a remark"),
    code("not-compared", "there is too much to hold it against"),
    code("http-not-enforced", "a rule about requests allows nothing on the wire"),
    code("expired", "the policy has ended"),
    code("inert-rules", "rules of a direction that the policy does not decide"),
    code("empty-peers", "an empty list of peers means everybody"),
    code("empty-ports", "an empty list of ports means every port"),
    code("split-peers", "two peers where one with both selectors was meant"),
    code("only-logs", "rules that log and never decide"),
    code("shadowed-rule", "earlier rules leave nothing for the rule"),
    code("redundant-rule", "the rule allows nothing that others do not"),
    code("never-matches", "the rule contradicts itself"),
    code("applies-to-nobody", "the policy selects no workload"),
    code("matches-nobody", "a selector of a rule finds nobody"),
    code("unknown-label", "a selector asks for a label or value that nobody has"),
    code("allow-all", "a rule without criteria allows"),
    code("deny-all", "the policy closes a whole direction"),
    code("no-dns", "egress rules leave no way to look up names"),
    code("open-sensitive-port", "everybody may reach a port that is meant for few"),
    code("same-order", "only the names tell which policy decides"),
    code("same-tier-order", "only the names tell which tier comes first"),
    code("kind-skipped", "a kind that plays no part in policy"),
];

pub fn is_known(name: &str) -> bool {
    CODES.iter().any(|code| code.name == name)
}

pub fn says(name: &str) -> &'static str {
    CODES.iter().find(|code| code.name == name).map_or("", |code| code.says)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PAGE: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/lints.md"));

    #[test]
    fn the_reference_has_a_row_for_each_code_and_no_other() {
        let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
        let first_cells = rows.filter_map(|row| row.split('|').nth(1));
        let in_page: BTreeSet<&str> =
            first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        let in_code: BTreeSet<&str> = CODES.iter().map(|code| code.name).collect();
        assert_eq!(in_page, in_code);
        assert_eq!(in_code.len(), CODES.len(), "no code stands twice");
    }

    #[test]
    fn the_reference_lists_the_sensitive_ports() {
        let list = PAGE.split_once("The sensitive ports:").map_or("", |(_, rest)| rest);
        for (port, what) in crate::check::lint::openness::SENSITIVE_PORTS {
            assert!(list.contains(&port.to_string()) && list.contains(what), "{port} {what}");
        }
    }
}

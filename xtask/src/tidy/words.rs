//! What may not be written where.

use syn::visit::{self, Visit};

use super::Source;

const PURE_FOLDERS: &[&str] = &[
    "crates/types/src/",
    "crates/api/src/",
    "crates/apimachinery/src/",
    "crates/wire/src/",
    "crates/policy/src/",
];

/// The one crate that may hold `unsafe`.
const UNSAFE_FOLDER: &str = "crates/enforce/";

/// Words of I/O, clocks and dice that have no place in a pure crate.
const IMPURE_WORDS: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "TcpStream",
    "UdpSocket",
    "tokio::",
];

/// File names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc", "manager"];

pub fn check(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        names(source, &mut faults);
        leftovers(source, &mut faults);
        if source.path.ends_with(".rs") {
            purity(source, &mut faults);
            danger(source, &mut faults);
        }
        manifest(source, &mut faults);
    }
    faults
}

fn names(source: &Source, faults: &mut Vec<String>) {
    let file = source.path.rsplit('/').next().unwrap_or_default();
    if file == "mod.rs" {
        faults.push(format!("{}: write foo.rs beside foo/, not foo/mod.rs", source.path));
    }
    let stem = file.split('.').next().unwrap_or_default();
    if file.ends_with(".rs") && EMPTY_NAMES.contains(&stem) {
        faults.push(format!("{}: `{stem}` says nothing; name what it holds", source.path));
    }
}

fn leftovers(source: &Source, faults: &mut Vec<String>) {
    // Spelt in two parts, so that this file does not find itself.
    let words = [concat!("FIX", "ME"), concat!("#[", "ignore"), concat!("should_", "panic")];
    if !source.path.ends_with(".rs") && !source.path.ends_with(".c") && !source.path.ends_with(".h")
    {
        return;
    }
    for (number, line) in source.text.lines().enumerate() {
        for word in words.iter().filter(|word| line.contains(**word)) {
            faults.push(format!("{}:{}: `{word}` may not be left here", source.path, number + 1));
        }
    }
}

fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

fn purity(source: &Source, faults: &mut Vec<String>) {
    if !PURE_FOLDERS.iter().any(|folder| source.path.starts_with(folder))
        || is_test_file(&source.path)
    {
        return;
    }
    for (number, line) in source.text.lines().enumerate() {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        for word in IMPURE_WORDS.iter().filter(|word| code.contains(**word)) {
            faults.push(format!("{}:{}: `{word}` in a pure crate", source.path, number + 1));
        }
    }
}

/// `unsafe` outside of the one crate that may have it. The compiler forbids it too (workspace
/// lints); this also holds for a crate that forgot to inherit them.
fn danger(source: &Source, faults: &mut Vec<String>) {
    if source.path.starts_with(UNSAFE_FOLDER) {
        return;
    }
    let Ok(file) = syn::parse_file(&source.text) else { return };
    let mut finder = UnsafeFinder { lines: Vec::new() };
    finder.visit_file(&file);
    for line in finder.lines {
        faults.push(format!("{}:{line}: unsafe belongs in crates/enforce only", source.path));
    }
}

struct UnsafeFinder {
    lines: Vec<usize>,
}

impl<'ast> Visit<'ast> for UnsafeFinder {
    fn visit_expr_unsafe(&mut self, node: &'ast syn::ExprUnsafe) {
        self.lines.push(node.unsafe_token.span.start().line);
        visit::visit_expr_unsafe(self, node);
    }

    fn visit_signature(&mut self, node: &'ast syn::Signature) {
        if let syn::Safety::Unsafe(token) = &node.safety {
            self.lines.push(token.span.start().line);
        }
        visit::visit_signature(self, node);
    }

    fn visit_item_impl(&mut self, node: &'ast syn::ItemImpl) {
        if let Some(token) = node.unsafety.as_ref() {
            self.lines.push(token.span.start().line);
        }
        visit::visit_item_impl(self, node);
    }
}

/// Every crate inherits the workspace's lints; only `enforce` and its `abi` keep tables of their own.
/// A crate that is a workspace of its own has nothing to inherit.
fn manifest(source: &Source, faults: &mut Vec<String>) {
    let is_crate = source.path.ends_with("/Cargo.toml") && source.text.contains("[package]");
    let is_alone = source.text.lines().any(|line| line == "[workspace]");
    if !is_crate || is_alone || source.path.starts_with(UNSAFE_FOLDER) {
        return;
    }
    if !source.text.contains("[lints]\nworkspace = true") {
        faults.push(format!("{}: add [lints] workspace = true", source.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(path: &str, text: &str) -> Vec<String> {
        check(&[Source { path: path.to_owned(), text: text.to_owned() }])
    }

    #[test]
    fn unsafe_outside_enforce_is_found() {
        let text = "fn a() { let _ = unsafe { b() }; }\nunsafe impl Send for X {}\n";
        assert_eq!(check_one("crates/server/src/a.rs", text).len(), 2);
        assert!(check_one("crates/enforce/src/a.rs", text).is_empty());
    }

    #[test]
    fn reading_a_file_in_a_pure_crate_is_found_and_its_mention_in_a_comment_is_not() {
        assert_eq!(check_one("crates/policy/src/a.rs", "use std::fs::read;\n").len(), 1);
        assert!(check_one("crates/policy/src/a.rs", "// never std::fs here\n").is_empty());
        assert!(check_one("crates/server/src/a.rs", "use std::fs::read;\n").is_empty());
    }

    #[test]
    fn a_file_name_without_meaning_is_found() {
        assert_eq!(check_one("crates/server/src/utils.rs", "").len(), 1);
        assert_eq!(check_one("crates/server/src/http/mod.rs", "").len(), 1);
    }

    #[test]
    fn a_crate_without_the_workspace_lints_is_found() {
        let text = "[package]\nname = \"x\"\n";
        assert_eq!(check_one("crates/x/Cargo.toml", text).len(), 1);
    }
}

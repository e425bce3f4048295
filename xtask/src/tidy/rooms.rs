//! Files and functions that have outgrown their room. A list to think about, not a failure.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Source;

/// Production lines of a file past which to look for a seam.
const FILE_LINES: usize = 400;
/// Lines of a function past which to look again.
const FUNCTION_LINES: usize = 70;

pub fn list(sources: &[Source]) -> Vec<String> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for source in sources.iter().filter(|source| is_production(&source.path)) {
        let lines = production_lines(&source.text);
        if lines > FILE_LINES {
            found.push((lines, format!("{lines} lines in {}", source.path)));
        }
        for (name, line, length) in long_functions(source) {
            found.push((length, format!("{length} lines in fn {name} ({}:{line})", source.path)));
        }
    }
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, line)| line).collect()
}

fn is_production(path: &str) -> bool {
    let code = [".rs", ".c", ".h"].iter().any(|ending| path.ends_with(ending));
    code && !path.contains("/tests/")
        && !path.ends_with("/tests.rs")
        && !path.contains("/generated/")
}

/// Lines before the inline tests.
fn production_lines(text: &str) -> usize {
    text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count()
}

fn long_functions(source: &Source) -> Vec<(String, usize, usize)> {
    if !source.path.ends_with(".rs") {
        return Vec::new();
    }
    let Ok(file) = syn::parse_file(&source.text) else { return Vec::new() };
    let mut measure = Measure { found: Vec::new() };
    measure.visit_file(&file);
    measure.found.retain(|(_, _, length)| *length > FUNCTION_LINES);
    measure.found
}

struct Measure {
    found: Vec<(String, usize, usize)>,
}

impl Measure {
    fn note(&mut self, name: &syn::Ident, span: Span) {
        let (start, end) = (span.start().line, span.end().line);
        self.found.push((name.to_string(), start, end.saturating_sub(start) + 1));
    }
}

impl<'ast> Visit<'ast> for Measure {
    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        self.note(&node.sig.ident, node.span());
        visit::visit_item_fn(self, node);
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        self.note(&node.sig.ident, node.span());
        visit::visit_impl_item_fn(self, node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_and_a_long_function_are_listed_and_tests_are_not_counted() {
        let body = "    let _ = 1;\n".repeat(FUNCTION_LINES + 1);
        let filler = "// a line\n".repeat(FILE_LINES);
        let text = format!("fn big() {{\n{body}}}\n{filler}");
        let source = |path: &str| Source { path: path.to_owned(), text: text.clone() };
        assert_eq!(list(&[source("crates/a/src/a.rs")]).len(), 2);
        assert!(list(&[source("crates/a/tests/a.rs")]).is_empty());
    }
}

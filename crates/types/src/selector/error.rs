//! Why a text is not a selector, told so that the writer can mend it.

/// `at` is a byte offset into the text; `found` is what stands there, shortened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("selector: at byte {at}: expected {expected}, found {found}{}", hint_text(.hint))]
pub struct ParseSelectorError {
    pub at: usize,
    pub expected: &'static str,
    pub found: String,
    pub hint: Option<&'static str>,
}

fn hint_text(hint: &Option<&'static str>) -> String {
    hint.map(|hint| format!(" ({hint})")).unwrap_or_default()
}

/// What stands at the head of `rest`: one word or symbol, at most 24 characters.
pub(super) fn offending(rest: &str) -> String {
    if rest.is_empty() {
        return "the end".to_owned();
    }
    let mut word = String::from("`");
    for c in rest.chars().take_while(|c| !matches!(c, ' ' | '\t')).take(24) {
        if c.is_control() {
            word.extend(c.escape_default());
        } else {
            word.push(c);
        }
    }
    word.push('`');
    word
}

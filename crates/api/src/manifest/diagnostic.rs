//! One complaint about a manifest: where, what is written there, what is wrong, what to do.

use std::fmt;
use std::sync::Arc;

/// Longest piece of a source line that is quoted.
const QUOTE_CHARS_MAX: usize = 120;

/// A place in a text; line and column count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// What is written cannot be used.
    Error,
    /// It can be used, but probably not as meant.
    Warning,
    /// Worth knowing.
    Note,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Stable name of the sort of complaint, such as `unknown-field`.
    pub code: &'static str,
    pub source: Source,
    /// The field's path in its object, such as `spec.ingress[0].from`.
    pub field: Option<String>,
    pub message: String,
    /// The way out.
    pub help: Option<String>,
    quote: Option<Quote>,
}

/// A piece of the source line; `caret` counts characters from the piece's start.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Quote {
    text: String,
    caret: usize,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        })
    }
}

impl Diagnostic {
    pub fn new(severity: Severity, code: &'static str, source: Source, message: String) -> Self {
        Self { severity, code, source, field: None, message, help: None, quote: None }
    }

    pub fn error(code: &'static str, source: Source, message: String) -> Self {
        Self::new(Severity::Error, code, source, message)
    }

    pub fn warning(code: &'static str, source: Source, message: String) -> Self {
        Self::new(Severity::Warning, code, source, message)
    }

    pub fn note(code: &'static str, source: Source, message: String) -> Self {
        Self::new(Severity::Note, code, source, message)
    }

    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        self.help_if(Some(help.into()))
    }

    #[must_use]
    pub fn help_if(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    #[must_use]
    pub fn at_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Keeps the line of `text` that the complaint is about, for [`fmt::Display`].
    #[must_use]
    pub fn quote(self, text: &str) -> Self {
        let row = self.source.line.saturating_sub(1) as usize;
        match text.lines().nth(row) {
            Some(line) => self.quote_line(line),
            None => self,
        }
    }

    /// As [`Diagnostic::quote`], of the line itself.
    #[must_use]
    pub fn quote_line(mut self, line: &str) -> Self {
        self.quote = Some(Quote::of(line, self.source.column));
        self
    }

    /// The offending line, or a piece of it where it is long.
    pub fn quoted(&self) -> Option<&str> {
        self.quote.as_ref().map(|quote| quote.text.as_str())
    }
}

impl Quote {
    fn of(line: &str, column: u32) -> Self {
        let at = (column as usize).saturating_sub(1);
        let skip = if at < QUOTE_CHARS_MAX - 20 { 0 } else { at - 40 };
        // A line may be as long as its file.
        let begin = match line.is_ascii() {
            true => skip.min(line.len()),
            false => line.char_indices().nth(skip).map_or(line.len(), |(at, _)| at),
        };
        let rest = line.get(begin..).unwrap_or_default();
        let mut text: String = if skip > 0 { "...".to_owned() } else { String::new() };
        let caret = text.chars().count() + at - skip;
        let visible = |c: char| if c.is_control() { ' ' } else { c };
        text.extend(rest.chars().take(QUOTE_CHARS_MAX).map(visible));
        if rest.chars().nth(QUOTE_CHARS_MAX).is_some() {
            text.push_str("...");
        }
        Self { text, caret }
    }
}

/// Several lines, without a final newline:
///
/// ```text
/// error[unknown-field]: unknown field `ingres` in `spec`
///   --> shop.yaml:12:3
///    |
/// 12 |   ingres:
///    |   ^
///    = help: did you mean `ingress`?
/// ```
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.source.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "{}[{}]: {}", self.severity, self.code, self.message)?;
        write!(f, "{margin}--> {}", self.source)?;
        if let Some(quote) = &self.quote {
            write!(f, "\n{margin} |\n{number} | {}\n", quote.text.trim_end())?;
            write!(f, "{margin} | {}^", " ".repeat(quote.caret))?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n{margin} = help: {help}")?;
        }
        Ok(())
    }
}

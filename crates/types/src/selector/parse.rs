//! Text to expression: a scanner-less recursive descent.
//!
//! There is no token stage because words are contextual: an operator is looked for only right after
//! a label, so a label may be called `in`, `has` or `all`; and `has(`, `all(`, `global(` count only
//! with no space before the parenthesis.

use std::collections::BTreeSet;

use super::error::{ParseSelectorError, offending};
use super::expr::Expr;
use super::{DEPTH_MAX, LABEL_LENGTH_MAX};

type Parsed<T> = Result<T, ParseSelectorError>;

const OPERATORS: &str = "`==`, `!=`, `in`, `not in`, `contains`, `starts with` or `ends with`";

pub(super) fn parse(text: &str) -> Parsed<Expr> {
    let mut cursor = Cursor { text, at: 0 };
    cursor.skip_space();
    if cursor.rest().is_empty() {
        return Ok(Expr::All);
    }
    let expr = cursor.or(0)?;
    cursor.skip_space();
    if cursor.rest().is_empty() {
        return Ok(expr);
    }
    let hint = match cursor.rest().as_bytes() {
        [b'&', ..] => Some("and is written `&&`"),
        [b'|', ..] => Some("or is written `||`"),
        [b'\n' | b'\r', ..] => Some("a selector is one line"),
        [b')', ..] => Some("no parenthesis is open here"),
        _ => Some("join tests with `&&` or `||`; strings know no escapes"),
    };
    Err(cursor.error("the end of the selector", hint))
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    fn error(&self, expected: &'static str, hint: Option<&'static str>) -> ParseSelectorError {
        ParseSelectorError { at: self.at, expected, found: offending(self.rest()), hint }
    }

    fn or(&mut self, depth: usize) -> Parsed<Expr> {
        let mut operands = vec![self.and(depth)?];
        while self.eat_operator("||") {
            operands.push(self.and(depth)?);
        }
        Ok(one_or(operands, Expr::Or))
    }

    fn and(&mut self, depth: usize) -> Parsed<Expr> {
        let mut operands = vec![self.operand(depth)?];
        while self.eat_operator("&&") {
            operands.push(self.operand(depth)?);
        }
        Ok(one_or(operands, Expr::And))
    }

    fn eat_operator(&mut self, symbol: &str) -> bool {
        self.skip_space();
        self.eat(symbol)
    }

    fn operand(&mut self, depth: usize) -> Parsed<Expr> {
        let mut negated = false;
        self.skip_space();
        while self.eat("!") {
            negated = !negated;
            self.skip_space();
        }
        let expr = self.positive(depth)?;
        Ok(match (negated, expr) {
            (false, expr) => expr,
            (true, Expr::Not(inner)) => *inner,
            (true, expr) => Expr::Not(Box::new(expr)),
        })
    }

    fn positive(&mut self, depth: usize) -> Parsed<Expr> {
        if self.eat("has(") {
            self.skip_space();
            let key = self.label()?;
            self.close()?;
            return Ok(Expr::Has(key));
        }
        if self.eat("all(") {
            self.close()?;
            return Ok(Expr::All);
        }
        if self.eat("global(") {
            self.close()?;
            return Ok(Expr::Global);
        }
        if self.rest().starts_with('(') {
            if depth >= DEPTH_MAX {
                let hint = Some("parentheses may nest 100 deep");
                return Err(self.error("a simpler selector", hint));
            }
            self.at += 1;
            let inner = self.or(depth + 1)?;
            self.close()?;
            return Ok(inner);
        }
        let key = self.label()?;
        self.test(key)
    }

    fn close(&mut self) -> Parsed<()> {
        self.skip_space();
        if self.eat(")") { Ok(()) } else { Err(self.error("`)`", None)) }
    }

    fn label(&mut self) -> Parsed<String> {
        let rest = self.rest();
        let is_label = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
        let length = rest.find(|c| !is_label(c)).unwrap_or(rest.len());
        let key = rest.get(..length).unwrap_or_default();
        if key.is_empty() {
            let hint = "a label is made of A-Z a-z 0-9 _ . / -";
            return Err(self.error("a label, `has(...)`, `all()` or `(`", Some(hint)));
        }
        if key.len() > LABEL_LENGTH_MAX {
            return Err(self.error("a label of at most 512 characters", None));
        }
        self.at += length;
        Ok(key.to_owned())
    }

    /// What follows a label.
    fn test(&mut self, key: String) -> Parsed<Expr> {
        self.skip_space();
        if self.eat("==") {
            return Ok(Expr::Equals(key, self.string()?));
        }
        if self.eat("!=") {
            return Ok(Expr::NotEquals(key, self.string()?));
        }
        if self.eat("contains") {
            return Ok(Expr::Contains(key, self.string()?));
        }
        if self.eat_words("starts", "with") {
            return Ok(Expr::StartsWith(key, self.string()?));
        }
        if self.eat_words("ends", "with") {
            return Ok(Expr::EndsWith(key, self.string()?));
        }
        if self.eat_words("not", "in") {
            return Ok(Expr::NotIn(key, self.set()?));
        }
        if self.eat("in") {
            return Ok(Expr::In(key, self.set()?));
        }
        let hint = match (self.rest().as_bytes(), key.as_str()) {
            ([b'=', ..], _) => Some("equality is written `==`"),
            ([b'(', ..], "has" | "all" | "global") => Some("no space before `(`"),
            ([b'(', ..], _) => Some("the functions are `has(...)`, `all()` and `global()`"),
            ([b'\n' | b'\r', ..], _) => Some("a selector is one line"),
            ([b'n', b'o', b't', ..], _) => Some("only `not in` exists; put `!` before the test"),
            _ => None,
        };
        Err(self.error(OPERATORS, hint))
    }

    /// Two words with any space, or none, between them. Eats nothing unless both are there.
    fn eat_words(&mut self, first: &str, second: &str) -> bool {
        let start = self.at;
        if self.eat(first) {
            self.skip_space();
            if self.eat(second) {
                return true;
            }
        }
        self.at = start;
        false
    }

    fn string(&mut self) -> Parsed<String> {
        self.skip_space();
        let rest = self.rest();
        let Some(quote @ ('"' | '\'')) = rest.chars().next() else {
            return Err(self.error("a quoted string", Some("quote values: 'web' or \"web\"")));
        };
        let body = rest.get(1..).unwrap_or_default();
        let Some(length) = body.find(quote) else {
            return Err(self.error("a closing quote", Some("strings know no escapes")));
        };
        self.at += length + 2;
        Ok(body.get(..length).unwrap_or_default().to_owned())
    }

    fn set(&mut self) -> Parsed<BTreeSet<String>> {
        self.skip_space();
        if !self.eat("{") {
            return Err(self.error("`{`", Some("a set is written {'a', 'b'}")));
        }
        let mut values = BTreeSet::new();
        loop {
            self.skip_space();
            if !self.rest().starts_with(['"', '\'']) {
                break;
            }
            values.insert(self.string()?);
            self.skip_space();
            if !self.eat(",") {
                break;
            }
        }
        self.skip_space();
        if self.eat("}") { Ok(values) } else { Err(self.error("`}`", None)) }
    }
}

fn one_or(mut operands: Vec<Expr>, many: fn(Vec<Expr>) -> Expr) -> Expr {
    match operands.pop() {
        Some(only) if operands.is_empty() => only,
        Some(last) => {
            operands.push(last);
            many(operands)
        }
        None => Expr::All,
    }
}

//! Unquoted words: null, booleans and numbers as `kubectl` understands them.
//!
//! That is YAML 1.1 in the parts that surprise people: `yes`, `no`, `on` and `off` are booleans and
//! `010` is octal. Reading them otherwise would let a file pass here that a cluster refuses.
//! A lone `y` or `n` stays text: writers of YAML leave it unquoted when they mean a name.

use serde_json::Number;

use super::super::tree::Scalar;

pub(super) fn resolve(word: &str) -> Scalar {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Scalar::Bool(true, word.to_owned());
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false, word.to_owned());
        }
        _ => {}
    }
    number(word).map_or_else(|| Scalar::Text(word.to_owned()), Scalar::Number)
}

fn number(word: &str) -> Option<Number> {
    let (is_negative, digits) = match word.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if let Some(magnitude) = integer(digits) {
        let magnitude = i128::from(magnitude);
        let value = if is_negative { -magnitude } else { magnitude };
        return i64::try_from(value)
            .map(Number::from)
            .or_else(|_| u64::try_from(value).map(Number::from))
            .ok();
    }
    float(word, digits)
}

fn integer(digits: &str) -> Option<u64> {
    let radix = |prefix: &str, base: u32| {
        digits.strip_prefix(prefix).and_then(|rest| u64::from_str_radix(rest, base).ok())
    };
    if digits.chars().all(|c| c.is_ascii_digit()) {
        let is_octal = digits.len() > 1 && digits.starts_with('0');
        return u64::from_str_radix(digits, if is_octal { 8 } else { 10 }).ok();
    }
    radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2))
}

fn float(word: &str, digits: &str) -> Option<Number> {
    let is_float = digits.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c))
        && digits.chars().any(|c| c.is_ascii_digit());
    if !is_float {
        return None;
    }
    let value: f64 = word.parse().ok()?;
    // `1e3` in an integer field is meant as 1000.
    let is_whole = value.fract() == 0.0 && value.abs() < 9.0e15;
    if is_whole { Some(Number::from(value as i64)) } else { Number::from_f64(value) }
}

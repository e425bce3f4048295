//! Ages as people read them: `45s`, `12m`, `3d4h`.

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// Time from `since`, as it stands in an object, to `now`.
pub fn age(since: &str, now: Timestamp) -> String {
    match since.parse::<Timestamp>() {
        Ok(since) => duration(now.as_second() - since.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// Two units at most, and the second one only while it still says something.
fn duration(seconds: i64) -> String {
    let pair = |big: i64, unit: &str, small: i64, rest: &str| {
        let (whole, part) = (seconds / big, seconds % big / small);
        if part == 0 { format!("{whole}{unit}") } else { format!("{whole}{unit}{part}{rest}") }
    };
    match seconds {
        s if s < 0 => "0s".to_owned(),
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => pair(MINUTE, "m", 1, "s"),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => pair(HOUR, "h", MINUTE, "m"),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => pair(DAY, "d", HOUR, "h"),
        s if s < 2 * YEAR => format!("{}d", s / DAY),
        s if s < 8 * YEAR => pair(YEAR, "y", DAY, "d"),
        s => format!("{}y", s / YEAR),
    }
}

//! From seeds to inputs: a few small changes of bytes, of words and, where the input is JSON, of its
//! structure.

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

const NUMBERS: [i64; 12] = [0, 1, -1, 4, 6, 58, 255, 256, 65_535, 65_536, i64::MAX, i64::MIN];

const WORDS: [&str; 58] = [
    "all()",
    "global()",
    "has(",
    ")",
    "(",
    "!",
    "&&",
    "||",
    "==",
    "!=",
    "in",
    "not in",
    "contains",
    "starts with",
    "ends with",
    "{",
    "}",
    ",",
    "'",
    "\"",
    " ",
    "\t",
    "\n",
    "é",
    "\u{0}",
    "a/b.c-d_e",
    "- ",
    ": ",
    "---\n",
    "&a ",
    "*a",
    "<<: *a\n",
    "!!str ",
    "|\n",
    ">\n",
    "# ",
    "[",
    "]",
    "~",
    "Allow",
    "Deny",
    "Pass",
    "Log",
    "TCP",
    "ICMPv6",
    "http",
    "0.0.0.0/0",
    "::/0",
    "10.0.0.0/33",
    "8000:8010",
    "1970-01-01T00:00:00Z",
    "*.example.com",
    "default",
    "kube-admin",
    "1e999",
    "0x1F",
    "\u{feff}",
    "\r\n",
];

pub fn mutate(rng: &mut SmallRng, target: &str, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut data = seeds.choose(rng).expect("there are seeds").clone();
    if target == "lower" || (target == "yaml" && rng.random_bool(0.3)) {
        data = mutate_json(rng, data, seeds);
        if target == "lower" || rng.random_bool(0.5) {
            return data;
        }
    }
    for _ in 0..rng.random_range(1..=6) {
        mutate_bytes(rng, &mut data, seeds);
    }
    data
}

fn mutate_bytes(rng: &mut SmallRng, data: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = rng.random_range(0..=data.len());
    let end = (at + rng.random_range(0..=16)).min(data.len());
    match rng.random_range(0..9) {
        0 if at < data.len() => data[at] ^= 1 << rng.random_range(0..8),
        1 if at < data.len() => data[at] = rng.random(),
        2 => drop(data.drain(at..end)),
        3 => {
            let piece = data[at..end].to_vec();
            let times = rng.random_range(1..=8);
            data.splice(at..at, piece.repeat(times));
        }
        4 | 5 => {
            let word = WORDS.choose(rng).expect("words");
            data.splice(at..at, word.bytes());
        }
        6 => {
            let number = NUMBERS.choose(rng).expect("numbers").to_string();
            data.splice(at..end, number.bytes());
        }
        7 => {
            let other = seeds.choose(rng).expect("seeds");
            let from = rng.random_range(0..=other.len());
            let to = (from + rng.random_range(0..=64)).min(other.len());
            data.splice(at..at, other[from..to].iter().copied());
        }
        _ => data.truncate(at),
    }
}

fn mutate_json(rng: &mut SmallRng, data: Vec<u8>, seeds: &[Vec<u8>]) -> Vec<u8> {
    let parse = |data: &[u8]| serde_json::from_slice::<Value>(data).ok();
    let Some(mut value) = parse(&data) else { return data };
    for _ in 0..rng.random_range(1..=6) {
        let mut places = Vec::new();
        walk(&value, String::new(), &mut places);
        let place = places.choose(rng).expect("a value has at least itself").clone();
        match rng.random_range(0..8) {
            0..=2 => {
                let Some(node) = value.pointer_mut(&place) else { continue };
                *node = scalar(rng);
            }
            3 | 4 => remove(&mut value, &place),
            5 => {
                // A piece of another seed: another kind's field, another shape.
                let Some(other) = parse(seeds.choose(rng).expect("seeds")) else { continue };
                let mut others = Vec::new();
                walk(&other, String::new(), &mut others);
                let piece = others.choose(rng).and_then(|at| other.pointer(at)).cloned();
                if let (Some(node), Some(piece)) = (value.pointer_mut(&place), piece) {
                    *node = piece;
                }
            }
            6 => {
                // A piece of the same world elsewhere: rules wander between policies.
                let piece = places.choose(rng).and_then(|at| value.pointer(at)).cloned();
                if let (Some(node), Some(piece)) = (value.pointer_mut(&place), piece) {
                    *node = piece;
                }
            }
            _ => double(rng, &mut value, &place),
        }
    }
    value.to_string().into_bytes()
}

fn scalar(rng: &mut SmallRng) -> Value {
    match rng.random_range(0..6) {
        0 => Value::Null,
        1 => json!(rng.random_bool(0.5)),
        2 => json!(NUMBERS.choose(rng)),
        3 => json!([]),
        4 => json!({}),
        _ => {
            let words = (0..rng.random_range(1..=3)).map(|_| *WORDS.choose(rng).expect("words"));
            json!(words.collect::<String>())
        }
    }
}

fn double(rng: &mut SmallRng, value: &mut Value, place: &str) {
    let Some(Value::Array(items)) = value.pointer_mut(place) else { return };
    if let Some(item) = items.choose(rng).cloned() {
        let times = *[1, 2, 40].choose(rng).expect("numbers");
        items.extend(std::iter::repeat_n(item, times));
    }
}

fn walk(value: &Value, at: String, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, child) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                walk(child, format!("{at}/{name}"), into);
            }
        }
        Value::Array(items) => {
            for (index, child) in items.iter().enumerate() {
                walk(child, format!("{at}/{index}"), into);
            }
        }
        _ => {}
    }
    into.push(at);
}

fn remove(value: &mut Value, place: &str) {
    let Some((parent, name)) = place.rsplit_once('/') else { return };
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.shift_remove(&name.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) => {
            if let Ok(index) = name.parse::<usize>() {
                items.remove(index);
            }
        }
        _ => {}
    }
}

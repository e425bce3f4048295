//! What a node says of where it stands and what it is: labels from its flags and from the metadata
//! files of its cloud. The server takes only what a node may say.

use std::path::Path;

use anyhow::{Context, bail};
use bulkhead_types::Labels;
use serde_json::{Map, Value};

/// The prefix of labels that are given without one.
pub const HOST: &str = "host.bulkhead.dev/";
/// The prefix of what a metadata file says.
pub const CLOUD: &str = "cloud.bulkhead.dev/";
const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";
const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";

const FILE_BYTES_MAX: u64 = 1 << 20;
const LABELS_MAX: usize = 64;
const PART_BYTES_MAX: usize = 63;

/// Where a fact may stand in a metadata file, and the labels that it becomes.
struct Fact {
    places: &'static [&'static str],
    names: &'static [&'static str],
}

/// JSON pointers are cloud-init's (`instance-data.json`); plain names are of flat files.
const FACTS: [Fact; 5] = [
    Fact { places: &["/v1/region", "/region"], names: &["cloud.bulkhead.dev/region", REGION] },
    Fact {
        places: &["/v1/availability_zone", "/availability_zone", "/availability-zone", "/zone"],
        names: &["cloud.bulkhead.dev/zone", ZONE],
    },
    Fact {
        places: &[
            "/ds/meta_data/instance-type",
            "/ds/meta_data/instance_type",
            "/ds/meta_data/imds/compute/vmSize",
            "/instance_type",
            "/instance-type",
        ],
        names: &["cloud.bulkhead.dev/instance-type", INSTANCE_TYPE],
    },
    Fact {
        places: &["/v1/instance_id", "/instance_id", "/instance-id"],
        names: &["cloud.bulkhead.dev/instance-id"],
    },
    Fact {
        places: &["/v1/cloud_name", "/cloud_name", "/provider"],
        names: &["cloud.bulkhead.dev/provider"],
    },
];
/// Objects of tags.
const TAGS: [&str; 3] = ["/ds/meta_data/tags/instance", "/ds/meta_data/tags", "/tags"];

/// One `--label KEY=VALUE`.
pub fn parse_label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label is KEY=VALUE")?;
    let key = if key.contains('/') { key.to_owned() } else { format!("{HOST}{key}") };
    if !is_key(&key) {
        return Err(format!("`{key}` is no label key"));
    }
    if !is_value(value) {
        return Err(format!("`{value}` is no label value: at most 63 of a-z, 0-9, `-`, `_`, `.`"));
    }
    Ok((key, value.to_owned()))
}

/// All that the node says: flags before files, earlier files before later ones.
pub fn labels(flags: &[(String, String)], files: &[impl AsRef<Path>]) -> anyhow::Result<Labels> {
    let mut labels: Labels = flags.iter().cloned().collect();
    for file in files {
        let file = file.as_ref();
        let failed = || format!("`{}`, given as --metadata-file", file.display());
        for (key, value) in of_text(&read(file).with_context(failed)?).with_context(failed)? {
            labels.entry(key).or_insert(value);
        }
    }
    if labels.len() > LABELS_MAX {
        bail!("{} labels: a node says at most {LABELS_MAX} of itself", labels.len());
    }
    Ok(labels)
}

fn read(file: &Path) -> anyhow::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        bail!("has more than {FILE_BYTES_MAX} bytes");
    }
    Ok(text)
}

/// cloud-init's JSON, a flat JSON object, or lines of `key=value`.
fn of_text(text: &str) -> anyhow::Result<Labels> {
    let value = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).context("is no JSON")?
    } else {
        of_lines(text)?
    };
    let mut labels = Labels::new();
    for fact in &FACTS {
        let found = fact.places.iter().find_map(|place| value.pointer(place)?.as_str());
        if let Some(said) = found {
            fact.names.iter().for_each(|name| put(&mut labels, name, said));
        }
    }
    for place in TAGS {
        let tags = value.pointer(place).and_then(Value::as_object);
        for (key, tag) in tags.into_iter().flatten() {
            if let Some(said) = tag.as_str() {
                put(&mut labels, &format!("{CLOUD}tag.{key}"), said);
            }
        }
    }
    Ok(labels)
}

/// Tags are `tag.NAME=value`.
fn of_lines(text: &str) -> anyhow::Result<Value> {
    let (mut fields, mut tags) = (Map::new(), Map::new());
    let lines = text.lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) =
            line.split_once('=').with_context(|| format!("`{line}` is no key=value"))?;
        let value = value.trim().trim_matches('"').to_owned().into();
        match key.trim().strip_prefix("tag.") {
            Some(tag) => tags.insert(tag.to_owned(), value),
            None => fields.insert(key.trim().to_ascii_lowercase(), value),
        };
    }
    fields.insert("tags".to_owned(), tags.into());
    Ok(fields.into())
}

/// A cloud's tags may hold what no label can: such a one is left out.
fn put(labels: &mut Labels, key: &str, value: &str) {
    if is_key(key) && is_value(value) {
        labels.insert(key.to_owned(), value.to_owned());
    } else {
        tracing::warn!(key, value, "a fact of the metadata cannot be a label");
    }
}

fn is_key(key: &str) -> bool {
    let Some((prefix, name)) = key.split_once('/') else { return is_part(key) };
    let is_domain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    !prefix.is_empty() && prefix.len() <= 253 && prefix.chars().all(is_domain) && is_part(name)
}

fn is_value(value: &str) -> bool {
    value.is_empty() || is_part(value)
}

fn is_part(part: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_alphanumeric();
    let is_inner = |c: char| is_edge(c) || "-_.".contains(c);
    part.len() <= PART_BYTES_MAX
        && part.starts_with(is_edge)
        && part.ends_with(is_edge)
        && part.chars().all(is_inner)
}

#[cfg(test)]
mod tests;

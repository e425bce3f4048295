//! Reads the manifests that a command names: files, folders (recursive) or `-`.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bulkhead_api::manifest::Manifests;
use bulkhead_api::{Object, addressing};

/// All objects under the paths, with addresses.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Object>> {
    parse(&texts(paths)?)
}

/// The objects of named texts, with addresses.
pub fn parse(texts: &[(String, String)]) -> Result<Vec<Object>> {
    let mut manifests = Manifests::default();
    for (name, text) in texts {
        manifests.add(name, text);
    }
    if manifests.has_errors() {
        let all: Vec<String> = manifests.diagnostics.iter().map(ToString::to_string).collect();
        bail!("{}", all.join("\n"));
    }
    let mut objects = manifests.into_objects();
    addressing::assign(&mut objects);
    Ok(objects)
}

/// The texts under the paths, each with the name of its file.
pub fn texts(paths: &[PathBuf]) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(texts_of(path)?);
    }
    Ok(all)
}

fn texts_of(path: &Path) -> Result<Vec<(String, String)>> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(vec![("-".to_owned(), text)]);
    }
    let failed = || format!("cannot read `{}`", path.display());
    if !path.metadata().with_context(failed)?.is_dir() {
        let text = std::fs::read_to_string(path).with_context(failed)?;
        return Ok(vec![(path.display().to_string(), text)]);
    }
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(path).with_context(failed)? {
        entries.push(entry.with_context(failed)?.path());
    }
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        let extension = entry.extension().and_then(|extension| extension.to_str());
        if entry.is_dir() || matches!(extension, Some("yaml" | "yml" | "json")) {
            found.extend(texts_of(&entry)?);
        }
    }
    Ok(found)
}

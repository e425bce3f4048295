//! Where every command gets its objects: files, folders and stdin, a live server, or both, in which
//! case files lie on top of what the server holds.
//!
//! Texts are kept beside the objects, so that a complaint that comes later, from the policy engine,
//! can still show the line it is about.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bulkhead_api::manifest::{self, Diagnostic, Manifests, Source, TEXT_BYTES_MAX};
use bulkhead_api::{Object, ObjectKey};

use crate::args;
use crate::live;

/// Deepest folder that is searched; a loop of links ends here.
const FOLDER_DEPTH_MAX: usize = 32;

#[derive(Debug, Default)]
pub struct Input {
    pub manifests: Manifests,
    pub n_files: usize,
    /// What the server holds and no file replaces.
    live: Vec<Object>,
    texts: BTreeMap<String, String>,
    places: HashMap<ObjectKey, Source>,
}

/// Reads what a command line names. An `Err` is a path or a server that cannot be read; what is
/// wrong *in* a file is a diagnostic.
pub fn read(from: &args::Manifests) -> anyhow::Result<Input> {
    let mut input = read_files(&from.files)?;
    if let Some(url) = &from.server {
        let live = live::objects(url.as_deref(), &from.access)?;
        input.live = live.into_iter().filter(|o| !input.places.contains_key(&o.key())).collect();
    }
    Ok(input)
}

fn read_files(paths: &[PathBuf]) -> anyhow::Result<Input> {
    let mut files = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            files.push(path.clone());
            continue;
        }
        let about = fs::metadata(path).with_context(|| format!("cannot read `{}`", shown(path)))?;
        if about.is_dir() {
            let before = files.len();
            search(path, 0, &mut files)?;
            if files.len() == before {
                bail!("no *.yaml, *.yml or *.json file in the folder `{}`", shown(path));
            }
        } else {
            files.push(path.clone());
        }
    }
    // A file named twice, or inside a folder that is also named, is read once.
    let mut seen = std::collections::HashSet::new();
    files.retain(|file| seen.insert(fs::canonicalize(file).unwrap_or_else(|_| file.clone())));

    let mut input = Input::default();
    for file in &files {
        let (name, text) = text_of(file)?;
        input.manifests.add(&name, &text);
        input.texts.insert(name, text);
        input.n_files += 1;
    }
    let objects = &input.manifests.objects;
    input.places = objects.iter().map(|l| (l.object.key(), l.source.clone())).collect();
    Ok(input)
}

fn search(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if depth > FOLDER_DEPTH_MAX {
        bail!("`{}` is more than {FOLDER_DEPTH_MAX} folders deep: a loop of links?", shown(folder));
    }
    let listed = fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let listed = listed.with_context(|| format!("cannot list `{}`", shown(folder)))?;
    let mut paths: Vec<PathBuf> = listed.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let is_hidden =
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if is_hidden {
            continue;
        }
        if path.is_dir() {
            search(&path, depth + 1, files)?;
        } else if matches!(
            path.extension().and_then(|extension| extension.to_str()),
            Some("yaml" | "yml" | "json")
        ) {
            files.push(path);
        }
    }
    Ok(())
}

fn text_of(file: &Path) -> anyhow::Result<(String, String)> {
    let name = if file.as_os_str() == "-" { "<stdin>".to_owned() } else { shown(file) };
    let mut bytes = Vec::new();
    let limit = TEXT_BYTES_MAX as u64 + 1;
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        fs::File::open(file).and_then(|open| open.take(limit).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read `{name}`"))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok((name, text)),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let line = error.as_bytes().iter().take(valid).filter(|b| **b == b'\n').count() + 1;
            bail!("`{name}` is not UTF-8 text: line {line} holds other bytes");
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

impl Input {
    /// Everything that was read, files first.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.manifests.objects.iter().map(|loaded| &loaded.object).chain(&self.live)
    }

    /// As [`Input::objects`], moved out.
    pub fn take_objects(&mut self) -> Vec<Object> {
        let loaded = std::mem::take(&mut self.manifests.objects);
        let live = std::mem::take(&mut self.live);
        loaded.into_iter().map(|loaded| loaded.object).chain(live).collect()
    }

    /// Where `field` of an object is written; `None` for objects that no file declares, such as those
    /// of a server.
    pub fn place(&self, key: &ObjectKey, field: &str) -> Option<Source> {
        let object = self.places.get(key)?;
        let text = self.texts.get(&*object.file)?;
        Some(manifest::locate(text, object, field))
    }

    /// Lets a complaint show the line it is about.
    pub fn quote(&self, diagnostic: Diagnostic) -> Diagnostic {
        match self.texts.get(&*diagnostic.source.file) {
            Some(text) => diagnostic.quote(text),
            None => diagnostic,
        }
    }
}

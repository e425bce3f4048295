//! Where every command gets its objects: files, folders and stdin, a live server, or both, in which
//! case files lie on top of what the server holds.
//!
//! Texts are kept beside the objects, so that a complaint that comes later, from the policy engine,
//! can still show the line it is about.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bulkhead_api::manifest::{Diagnostic, Index, Manifests, Source, TEXT_BYTES_MAX};
use bulkhead_api::{Object, ObjectKey};

use crate::args;
use crate::live;

/// Most text of all files together.
const TOTAL_BYTES_MAX: usize = 1 << 30;
/// Deepest folder that is searched.
const FOLDER_DEPTH_MAX: usize = 32;

#[derive(Debug, Default)]
pub struct Input {
    pub manifests: Manifests,
    pub n_files: usize,
    /// What the server holds and no file replaces.
    live: Vec<Object>,
    texts: BTreeMap<String, (String, Index)>,
    places: HashMap<ObjectKey, Source>,
}

/// Reads what a command line names. An `Err` is a path or a server that cannot be read; what is
/// wrong *in* a file is a diagnostic.
pub fn read(from: &args::Manifests) -> anyhow::Result<Input> {
    // Files first: what is wrong with them is known sooner.
    let input = read_files(&from.files)?;
    match &from.server {
        Some(url) => Ok(input.over(live::objects(url.as_deref(), &from.access)?)),
        None => Ok(input),
    }
}

/// What files say, and below them what a server was found to hold.
pub fn on_top(live: Vec<Object>, files: &[PathBuf]) -> anyhow::Result<Input> {
    Ok(read_files(files)?.over(live))
}

fn read_files(paths: &[PathBuf]) -> anyhow::Result<Input> {
    let mut input = Input { manifests: Manifests::lean(), ..Input::default() };
    let mut files = Vec::new();
    let mut folders = HashSet::new();
    for path in paths {
        if path.as_os_str() == "-" {
            files.push(path.clone());
            continue;
        }
        let about = fs::metadata(path).with_context(|| format!("cannot read `{}`", shown(path)))?;
        if about.is_dir() {
            let before = files.len();
            search(path, 0, &mut folders, &mut files, &mut input.manifests)?;
            if files.len() == before && !input.manifests.has_errors() {
                bail!("no *.yaml, *.yml or *.json file in the folder `{}`", shown(path));
            }
        } else {
            files.push(path.clone());
        }
    }
    // A file named twice, or inside a folder that is also named, is read once.
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(fs::canonicalize(file).unwrap_or_else(|_| file.clone())));

    let mut n_bytes = 0usize;
    for file in &files {
        input.n_files += 1;
        let name = if file.as_os_str() == "-" { "<stdin>".to_owned() } else { shown(file) };
        let text = match text_of(file, &name) {
            Ok(text) => text,
            Err(problem) => {
                input.manifests.diagnostics.push(*problem);
                continue;
            }
        };
        n_bytes = n_bytes.saturating_add(text.len());
        if n_bytes > TOTAL_BYTES_MAX {
            bail!("the manifests have more than {TOTAL_BYTES_MAX} bytes: give fewer at a time");
        }
        input.manifests.add(&name, &text);
        let index = Index::of(&text);
        input.texts.insert(name, (text, index));
    }
    let objects = &input.manifests.objects;
    input.places = objects.iter().map(|l| (l.object.key(), l.source.clone())).collect();
    Ok(input)
}

/// Every folder is searched once, however links lead to it.
fn search(
    folder: &Path,
    depth: usize,
    folders: &mut HashSet<PathBuf>,
    files: &mut Vec<PathBuf>,
    manifests: &mut Manifests,
) -> anyhow::Result<()> {
    if !folders.insert(fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned())) {
        return Ok(());
    }
    if depth > FOLDER_DEPTH_MAX {
        bail!("`{}` is more than {FOLDER_DEPTH_MAX} folders deep", shown(folder));
    }
    let listed = fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let listed = match listed {
        Ok(listed) => listed,
        Err(error) => {
            manifests.diagnostics.push(unreadable(&shown(folder), &error));
            return Ok(());
        }
    };
    let mut paths: Vec<PathBuf> = listed.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let is_hidden =
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if is_hidden {
            continue;
        }
        let is_manifest = matches!(
            path.extension().and_then(|extension| extension.to_str()),
            Some("yaml" | "yml" | "json")
        );
        match fs::metadata(&path) {
            Ok(about) if about.is_dir() => search(&path, depth + 1, folders, files, manifests)?,
            // A pipe or a device would wait for ever, or never end.
            Ok(about) if about.is_file() && is_manifest => files.push(path),
            Ok(_) => {}
            Err(error) if is_manifest => {
                manifests.diagnostics.push(unreadable(&shown(&path), &error));
            }
            Err(_) => {}
        }
    }
    Ok(())
}

fn text_of(file: &Path, name: &str) -> Result<String, Box<Diagnostic>> {
    let mut bytes = Vec::new();
    let limit = TEXT_BYTES_MAX as u64 + 1;
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        fs::File::open(file).and_then(|open| open.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| Box::new(unreadable(name, &error)))?;
    bytes.shrink_to_fit();
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..valid).unwrap_or_default();
        let before = String::from_utf8_lossy(before);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |row| row.chars().count()) + 1;
        let place = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let source = Source { file: name.into(), line: place(line), column: place(column) };
        let byte = error.as_bytes().get(valid).copied().unwrap_or_default();
        let message = format!("not UTF-8 text: here stands the byte 0x{byte:02x}");
        let help = "is this file a manifest at all? Otherwise save it as UTF-8";
        let text = String::from_utf8_lossy(error.as_bytes());
        Box::new(Diagnostic::error("not-text", source, message).help(help).quote(&text))
    })
}

fn unreadable(name: &str, error: &std::io::Error) -> Diagnostic {
    let source = Source { file: name.into(), line: 1, column: 1 };
    let help = "give read permission, or leave it out";
    Diagnostic::error("unreadable", source, format!("cannot be read: {error}")).help(help)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

impl Input {
    /// An object of a file replaces that of the server.
    fn over(mut self, live: Vec<Object>) -> Self {
        self.live = live.into_iter().filter(|o| !self.places.contains_key(&o.key())).collect();
        self
    }

    /// Everything that was read, files first.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.manifests.objects.iter().map(|loaded| &loaded.object).chain(&self.live)
    }

    /// What the server holds and no file replaces.
    pub fn live(&self) -> &[Object] {
        &self.live
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
        let (text, index) = self.texts.get(&*object.file)?;
        Some(index.locate(text, object, field))
    }

    /// Lets a complaint show the line it is about.
    pub fn quote(&self, diagnostic: Diagnostic) -> Diagnostic {
        match self.texts.get(&*diagnostic.source.file) {
            Some((text, index)) => {
                let line = index.line(text, diagnostic.source.line);
                diagnostic.quote_line(line.unwrap_or_default())
            }
            None => diagnostic,
        }
    }
}

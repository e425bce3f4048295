//! `cargo xtask tidy`: the walls are a test, the rooms are a list.
//!
//! - [`walls`]: which crate may import which, and what pure crates may never reach.
//! - [`licences`]: permissive ones only in what users get.
//! - [`words`]: what may not be written where (unsafe, I/O, leftovers, names without meaning).
//! - [`rooms`]: files and functions that have outgrown their room; listed, never a failure.

mod licences;
mod rooms;
mod walls;
mod words;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::shell::{self, say};

/// One source file of the repository, read once.
pub struct Source {
    /// Relative to the repository's root, with `/`.
    pub path: String,
    pub text: String,
}

pub fn run() -> anyhow::Result<()> {
    let root = shell::root();
    let sources = sources(&root)?;
    let mut faults = walls::check(&root)?;
    faults.extend(licences::check(&root)?);
    faults.extend(words::check(&sources));
    for line in rooms::list(&sources) {
        say(&format!("tidy: {line}"));
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{} walls are broken:\n  {}", faults.len(), faults.join("\n  "))
}

/// Every file that git would commit, of the kinds that tidy reads.
fn sources(root: &Path) -> anyhow::Result<Vec<Source>> {
    let listed = shell::output(
        std::process::Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(root),
    )?;
    let mut sources = Vec::new();
    for path in listed.lines().filter(|path| is_read(path)) {
        let file: PathBuf = root.join(path);
        if !file.exists() {
            continue;
        }
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        sources.push(Source { path: path.to_owned(), text });
    }
    Ok(sources)
}

fn is_read(path: &str) -> bool {
    [".rs", ".toml", ".c", ".h", ".md"].iter().any(|ending| path.ends_with(ending))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_walls_of_this_repository_hold() {
        super::run().unwrap();
    }
}

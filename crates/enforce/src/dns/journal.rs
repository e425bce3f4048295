//! What was learned, on disk: so that the next process knows it too.
//!
//! Every lesson is one more line, written before its answer goes on, so nothing that a workload was
//! told is forgotten by a process that dies. Nothing is synced: what a machine that dies forgets, its
//! workloads forget as well, and a journal of another boot is not read. From time to time the file is
//! written anew with what still holds.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Answer, Cache};

const MAGIC: &str = "bulkhead-names 1";
/// Lines beyond twice what holds that make a new file worth while.
const SPARE_LINES: usize = 4_096;

#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Option<File>,
    n_lines: usize,
}

/// Tells one boot of the machine from another.
fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

impl Journal {
    /// Reads what an earlier process of this boot has left into the cache.
    pub fn open(path: &Path, cache: &mut Cache) -> io::Result<Self> {
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut lines = text.lines();
        if lines.next() == Some(&format!("{MAGIC} {}", boot_id())) {
            for (looker, address, name, until) in lines.filter_map(read) {
                let names = BTreeSet::from([name.to_owned()]);
                let answer = Answer { addresses: vec![(address, names, 0)] };
                // Whatever has no room now was not written in its time either.
                let _ = cache.learn(looker, &answer, |_| until);
            }
        }
        let mut journal = Self { path: path.to_owned(), file: None, n_lines: 0 };
        journal.rewrite(cache)?;
        Ok(journal)
    }

    /// Where writing failed, the next [`Journal::tidy`] begins anew.
    pub fn add(
        &mut self,
        looker: u64,
        answer: &Answer,
        until_ns: impl Fn(u32) -> u64,
    ) -> io::Result<()> {
        let mut lines = Vec::new();
        for (address, names, ttl) in &answer.addresses {
            for name in names {
                write(&mut lines, (looker, *address, name, until_ns(*ttl)))?;
                self.n_lines += 1;
            }
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let written = file.write_all(&lines);
        if written.is_err() {
            self.file = None;
        }
        written
    }

    /// Writes the file anew where it has grown, or could not be written.
    pub fn tidy(&mut self, cache: &Cache) -> io::Result<()> {
        if self.file.is_some() && self.n_lines < 2 * cache.n_names() + SPARE_LINES {
            return Ok(());
        }
        self.rewrite(cache)
    }

    fn rewrite(&mut self, cache: &Cache) -> io::Result<()> {
        let mut content = format!("{MAGIC} {}\n", boot_id()).into_bytes();
        self.n_lines = 0;
        for line in cache.all() {
            write(&mut content, line)?;
            self.n_lines += 1;
        }
        let beside = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&content)?;
        std::fs::rename(&beside, &self.path)?;
        self.file = Some(file);
        Ok(())
    }
}

type Line<'a> = (u64, IpAddr, &'a str, u64);

fn write(out: &mut Vec<u8>, (looker, address, name, until): Line<'_>) -> io::Result<()> {
    writeln!(out, "{looker:016x} {address} {name} {until} .")
}

/// A line that was cut short lacks its full stop.
fn read(line: &str) -> Option<Line<'_>> {
    let mut words = line.split(' ');
    let looker = u64::from_str_radix(words.next()?, 16).ok()?;
    let address = words.next()?.parse().ok()?;
    let name = words.next().filter(|name| bulkhead_types::names::is_name(name))?;
    let until = words.next()?.parse().ok()?;
    (words.next() == Some(".") && words.next().is_none()).then_some((looker, address, name, until))
}

#[cfg(test)]
mod tests;

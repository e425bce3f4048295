//! A hand that takes things away: links, pins and elements of maps, by bpftool.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Dice;

fn bpftool(arguments: &[&str]) -> Result<String> {
    let output = Command::new("bpftool")
        .args(arguments)
        .output()
        .context("cannot run `bpftool` (Debian package bpftool)")?;
    if !output.status.success() {
        bail!(
            "bpftool {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = std::fs::read_dir(folder).with_context(|| format!("`{}`", folder.display()))?;
    let mut found: Vec<PathBuf> = read.flatten().map(|entry| entry.path()).collect();
    found.sort();
    Ok(found)
}

fn one_of(found: &[PathBuf], dice: &mut Dice) -> Result<PathBuf> {
    let at = usize::try_from(dice.roll(found.len() as u64))?;
    found.get(at).cloned().context("there is nothing to take")
}

fn maps(pins: &Path) -> Result<PathBuf> {
    let of_maps = |path: &PathBuf| path.to_string_lossy().contains("/maps-");
    entries(pins)?.into_iter().find(of_maps).context("there are no maps")
}

/// Detaches one link.
pub fn detach(pins: &Path, dice: &mut Dice) -> Result<()> {
    let link = one_of(&entries(&pins.join("links"))?, dice)?;
    bpftool(&["link", "detach", "pinned", &link.to_string_lossy()]).map(drop)
}

/// Removes all pins of links, all pins of maps, or one of either.
pub fn unpin(pins: &Path, dice: &mut Dice) -> Result<()> {
    let folder = if dice.roll(2) == 0 { pins.join("links") } else { maps(pins)? };
    if dice.roll(2) == 0 {
        return Ok(std::fs::remove_dir_all(folder)?);
    }
    Ok(std::fs::remove_file(one_of(&entries(&folder)?, dice)?)?)
}

/// Deletes one element of some map that judges. `false` where the map is empty.
pub fn delete(pins: &Path, dice: &mut Dice) -> Result<bool> {
    const MAPS: [&str; 6] =
        ["classes4", "classes6", "entries", "endpoints4", "interfaces", "slots"];
    let name = MAPS.get(usize::try_from(dice.roll(MAPS.len() as u64))?).unwrap_or(&"entries");
    let map = maps(pins)?.join(name).to_string_lossy().into_owned();
    let dump: Value = serde_json::from_str(&bpftool(&["-j", "map", "dump", "pinned", &map])?)?;
    let elements = dump.as_array().map(Vec::as_slice).unwrap_or_default();
    let at = usize::try_from(dice.roll(elements.len() as u64))?;
    let Some(key) = elements.get(at).and_then(|element| element.get("key")?.as_array()) else {
        return Ok(false);
    };
    let bytes: Vec<&str> =
        key.iter().filter_map(Value::as_str).map(|byte| byte.trim_start_matches("0x")).collect();
    let mut arguments = vec!["map", "delete", "pinned", &map, "key", "hex"];
    arguments.extend(bytes);
    bpftool(&arguments)?;
    Ok(true)
}

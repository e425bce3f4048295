//! The program at netfilter's hooks: loaded and attached here, because aya knows neither its type nor
//! its links.
//!
//! ```text
//! PIN_DIR/netfilter/FAMILY-HOOK-PRIORITY    one link each
//! ```
//!
//! A link of netfilter cannot get another program. So a newer agent attaches its own at the other of
//! two priorities first, and then lets the old one go: in between both are asked, and both must allow.

use std::collections::HashSet;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use aya::maps::MapData;
use aya_obj::Object;
use aya_obj::btf::{Btf, BtfFeatures};

use super::bpf::{self, Code, Hook};
use super::{OBJECT, kernel, pins};
use crate::node::EnforceError;

/// The program's name in the object.
const NETFILTER: &str = "at_hook";
/// After destination NAT (-100) and before the filters of others (0) and source NAT (100).
const PRIORITIES: [i32; 2] = [-50, -49];
const FAMILIES: [(&str, u32); 2] = [("ipv4", 2), ("ipv6", 10)];
const HOOKS: [(&str, u32); 3] = [("in", 1), ("forward", 2), ("out", 3)];

/// One of our links, wherever it is pinned.
#[derive(Debug)]
struct Held {
    stem: String,
    hook: Hook,
    link: OwnedFd,
}

/// The program and its places. Held open, so that both outlive the removal of their pins.
#[derive(Debug)]
pub struct Hooks {
    folder: PathBuf,
    program: OwnedFd,
    held: Vec<Held>,
}

impl Hooks {
    /// Attaches the program to every hook of the current network namespace, in the place of what an
    /// earlier process left there.
    pub fn attach(pin_dir: &Path, maps: &Path) -> Result<Self, EnforceError> {
        let folder = pin_dir.join("netfilter");
        pins::make_folder(&folder)?;
        let mut hooks = Self { folder, program: load(maps)?, held: Vec::new() };
        for (family_name, family) in FAMILIES {
            for (hook_name, hook) in HOOKS {
                hooks.take(format!("{family_name}-{hook_name}"), family, hook)?;
            }
        }
        Ok(hooks)
    }

    fn take(&mut self, stem: String, family: u32, hook: u32) -> Result<(), EnforceError> {
        let old = pinned(&self.folder, &stem);
        let [first, second] = PRIORITIES;
        let is_taken = old.contains(&at(&self.folder, &stem, first));
        let priority = if is_taken { second } else { first };
        if is_taken && old.len() > 1 {
            remove(&at(&self.folder, &stem, second))?;
        }
        let hook = Hook { family, hook, priority };
        let link = self.place(&stem, hook)?;
        let pin = at(&self.folder, &stem, priority);
        for path in old.iter().filter(|path| **path != pin) {
            remove(path)?;
        }
        self.held.push(Held { stem, hook, link });
        Ok(())
    }

    fn place(&self, stem: &str, hook: Hook) -> Result<OwnedFd, EnforceError> {
        let action = format!("attach the program `{NETFILTER}` to `{stem}`");
        let link = bpf::attach_hook(self.program.as_fd(), hook).map_err(|e| kernel(&action, &e))?;
        let pin = at(&self.folder, stem, hook.priority);
        bpf::pin(link.as_fd(), &pin).map_err(|error| kernel(&action, &error))?;
        Ok(link)
    }

    /// Puts back what somebody removed, and names it. Whether a link still has its place only the
    /// attempt to take that place tells.
    pub fn check(&mut self) -> Result<Vec<String>, EnforceError> {
        let mut found = Vec::new();
        let Self { folder, program, held } = self;
        for Held { stem, hook, link } in held {
            let action = format!("look after the hook `{stem}`");
            let pin = at(folder, stem, hook.priority);
            match bpf::attach_hook(program.as_fd(), *hook) {
                Ok(new) => {
                    *link = new;
                    remove(&pin)?;
                    found.push(format!("`{stem}` was detached"));
                }
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(error) => return Err(kernel(&action, &error)),
            }
            if !pin.exists() {
                pins::make_folder(folder)?;
                bpf::pin(link.as_fd(), &pin).map_err(|error| kernel(&action, &error))?;
                if found.last().is_none_or(|last| !last.contains(stem.as_str())) {
                    found.push(format!("`{stem}` lost its pin"));
                }
            }
        }
        Ok(found)
    }
}

fn at(folder: &Path, stem: &str, priority: i32) -> PathBuf {
    folder.join(format!("{stem}{priority}"))
}

fn pinned(folder: &Path, stem: &str) -> Vec<PathBuf> {
    PRIORITIES.iter().map(|p| at(folder, stem, *p)).filter(|path| path.exists()).collect()
}

fn remove(path: &Path) -> Result<(), EnforceError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(kernel("remove the pin of a hook", &error))
        }
        _ => Ok(()),
    }
}

/// The program on the maps that are pinned in `maps`.
fn load(maps: &Path) -> Result<OwnedFd, EnforceError> {
    let action = format!("load the program `{NETFILTER}`");
    let mut object = Object::parse(OBJECT).map_err(|error| kernel(&action, &error))?;
    let btf = Btf::from_sys_fs().map_err(|error| kernel(&action, &error))?;
    object.relocate_btf(&btf).map_err(|error| kernel(&action, &error))?;
    // Every kernel that has tcx knows all kinds of types.
    let features = BtfFeatures::new(true, true, true, true, true, true, true, true);
    let types =
        object.fixup_and_sanitize_btf(&features).map_err(|error| kernel(&action, &error))?;
    let types = types.map(Btf::to_bytes).unwrap_or_default();
    let types = bpf::load_btf(&types).map_err(|error| kernel(&action, &error))?;
    let known: Vec<(String, aya_obj::Map)> =
        object.maps.iter().map(|(name, map)| (name.clone(), map.clone())).collect();
    let opened: Vec<MapData> = known
        .iter()
        .map(|(name, _)| MapData::from_pin(maps.join(name)))
        .collect::<Result<_, _>>()
        .map_err(|error| kernel(&action, &error))?;
    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let numbered = known
        .iter()
        .zip(&opened)
        .map(|((name, map), data)| (name.as_str(), data.fd().as_fd().as_raw_fd(), map));
    object.relocate_maps(numbered, &sections).map_err(|error| kernel(&action, &error))?;
    object.relocate_calls(&sections).map_err(|error| kernel(&action, &error))?;
    let found = object.programs.get(NETFILTER).map(|program| program.function_key());
    let function = found.and_then(|key| object.functions.get(&key));
    let missing = || EnforceError::Kernel {
        action: action.clone(),
        message: "the compiled object does not have it".to_owned(),
    };
    let function = function.ok_or_else(missing)?;
    let code = Code {
        instructions: &function.instructions,
        license: &object.license,
        btf: types.as_fd(),
        functions: &function.func_info.func_info_bytes(),
        function_size: function.func_info_rec_size,
    };
    bpf::load_netfilter(&code).map_err(|(error, log)| {
        let message = format!("{error} (needs Linux 6.6 with NETFILTER_BPF_LINK): {log}");
        EnforceError::Kernel { action, message }
    })
}

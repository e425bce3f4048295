//! The folder of pins: made, measured, removed.

use std::fs;
use std::path::Path;

use aya::maps::MapInfo;
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::kernel;
use crate::limits::MapSizes;
use crate::node::EnforceError;

const BPFFS: &str = "/sys/fs/bpf";

/// Mounts the BPF file system at its usual place where it is not, if that is where the pins go.
pub fn mount_bpffs(pin_dir: &Path) -> Result<(), EnforceError> {
    let place = Path::new(BPFFS);
    if pin_dir.starts_with(place) && !is_bpffs(place) {
        mount(Some("bpf"), place, Some("bpf"), MsFlags::empty(), None::<&str>)
            .map_err(|error| kernel(&format!("mount the BPF file system at {BPFFS}"), &error))?;
    }
    let existing = pin_dir.ancestors().find(|path| path.exists());
    if existing.is_some_and(is_bpffs) {
        return Ok(());
    }
    Err(EnforceError::Kernel {
        action: format!("pin maps under `{}`", pin_dir.display()),
        message: format!("it is not on a BPF file system; use a folder below {BPFFS}"),
    })
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC)
}

/// tcx came with Linux 6.6.
pub fn has_tcx() -> Result<(), EnforceError> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.trim().parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= TCX_SINCE {
        return Ok(());
    }
    Err(EnforceError::Kernel {
        action: "attach BPF programs by tcx".to_owned(),
        message: format!("it came with Linux 6.6, this is {}", release.trim()),
    })
}

const TCX_SINCE: (u32, u32) = (6, 6);

pub fn make_folder(path: &Path) -> Result<(), EnforceError> {
    fs::create_dir_all(path)
        .map_err(|error| kernel(&format!("make the folder `{}`", path.display()), &error))
}

pub fn named_sizes(sizes: &MapSizes) -> [(&'static str, u32); 20] {
    [
        ("endpoints4", sizes.endpoints),
        ("endpoints6", sizes.endpoints),
        ("interfaces", sizes.interfaces),
        ("classes4", sizes.classes),
        ("classes6", sizes.classes),
        ("prefixes4", sizes.prefixes),
        ("prefixes6", sizes.prefixes),
        ("entries", sizes.entries),
        ("rows", sizes.rows),
        ("spans", sizes.spans),
        ("names", sizes.names),
        ("name_entries", sizes.name_entries),
        ("heard", sizes.heard_bytes),
        ("slots", sizes.slots),
        ("flows4", sizes.flows),
        ("flows6", sizes.flows),
        ("fragments", sizes.fragments),
        ("events", sizes.events_bytes),
        ("config", bulkhead_enforce_abi::CONFIGS),
        ("reported", 1_024),
    ]
}

/// The sizes of the maps in `folder`; where there is none, the size that is asked for.
pub fn sizes_of(folder: &Path, wanted: MapSizes) -> MapSizes {
    let of = |name: &str, wanted: u32| {
        let info = MapInfo::from_pin(folder.join(name)).ok();
        let found = info.map_or(wanted, |info| info.max_entries());
        if found != wanted {
            tracing::warn!(map = name, found, wanted, "a pinned map keeps its size");
        }
        found
    };
    MapSizes {
        endpoints: of("endpoints4", wanted.endpoints),
        interfaces: of("interfaces", wanted.interfaces),
        classes: of("classes4", wanted.classes),
        prefixes: of("prefixes4", wanted.prefixes),
        entries: of("entries", wanted.entries),
        rows: of("rows", wanted.rows),
        spans: of("spans", wanted.spans),
        names: of("names", wanted.names),
        name_entries: of("name_entries", wanted.name_entries),
        heard_bytes: of("heard", wanted.heard_bytes),
        slots: of("slots", wanted.slots),
        flows: of("flows4", wanted.flows),
        fragments: of("fragments", wanted.fragments),
        events_bytes: of("events", wanted.events_bytes),
    }
}

pub fn remove(pin_dir: &Path) -> Result<(), EnforceError> {
    match fs::remove_dir_all(pin_dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(kernel(&format!("remove the pins under `{}`", pin_dir.display()), &error))
        }
        _ => Ok(()),
    }
}

//! Which back end judges, and what an earlier one has left.

use std::fs::File;
use std::path::Path;

use nix::sched::{CloneFlags, setns};

use crate::kernel::linux::Linux;
use crate::nft::table::{Table, table_name};
use crate::node::backend::Backend;
use crate::node::ebpf::Ebpf;
use crate::node::nft::Nft;
use crate::node::{BackendChoice, BackendKind, EnforceError, NodeOptions};

/// The BPF programs are loaded by the kernel's own description of its types.
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// The back end to be, and the other one where it still judges: that one goes once the new one has its
/// program, so that no packet passes in between.
pub struct Chosen {
    pub kind: BackendKind,
    pub backend: Box<dyn Backend>,
    pub retiring: Option<Box<dyn Backend>>,
}

/// Call it in the node's network namespace.
pub fn choose(options: &NodeOptions) -> Result<Chosen, EnforceError> {
    let ebpf = match options.backend {
        BackendChoice::Ebpf => Some(Ebpf::open(options)?),
        BackendChoice::Nftables => None,
        BackendChoice::Auto => open_or_else(options)?,
    };
    let chosen = match ebpf {
        Some(ebpf) => {
            let is_left = Table::exists(&table_name(&options.pin_dir)).unwrap_or(false);
            let old = if is_left { Some(Nft::open(options)?) } else { None };
            Chosen {
                kind: BackendKind::Ebpf,
                backend: Box::new(ebpf),
                retiring: old.map(|old| Box::new(old) as _),
            }
        }
        None => {
            let is_left = Linux::is_pinned(&options.pin_dir);
            let old = if is_left { Some(Ebpf::open(options)?) } else { None };
            let new = if is_left { Nft::beside(options)? } else { Nft::open(options)? };
            Chosen {
                kind: BackendKind::Nftables,
                backend: Box::new(new),
                retiring: old.map(|old| Box::new(old) as _),
            }
        }
    };
    tracing::info!(backend = %chosen.kind, switches = chosen.retiring.is_some(), "enforcing");
    Ok(chosen)
}

/// eBPF where the kernel takes the programs and can put them on interfaces; `None`: nftables.
fn open_or_else(options: &NodeOptions) -> Result<Option<Ebpf>, EnforceError> {
    let opened = if Path::new(BTF).exists() {
        Linux::has_tcx().and_then(|()| Ebpf::open(options))
    } else {
        Err(EnforceError::Kernel {
            action: "load BPF programs".to_owned(),
            message: format!("the kernel has no BTF ({BTF})"),
        })
    };
    let no_ebpf = match opened {
        Ok(ebpf) => return Ok(Some(ebpf)),
        Err(error) => error,
    };
    tracing::warn!(error = %no_ebpf, "no eBPF here, trying nftables");
    match Nft::probe() {
        Ok(()) => Ok(None),
        Err(no_nftables) => Err(EnforceError::Kernel {
            action: "enforce anything".to_owned(),
            message: format!("eBPF: {no_ebpf}; nftables: {no_nftables}"),
        }),
    }
}

/// Removes what either back end left.
pub fn teardown(pin_dir: &Path, netns: Option<&Path>) -> Result<(), EnforceError> {
    Linux::teardown(pin_dir)?;
    let name = table_name(pin_dir);
    within(netns, move || Table::remove_left(&name))
}

/// On a thread of its own, because a namespace is a property of a thread.
fn within(
    netns: Option<&Path>,
    work: impl FnOnce() -> Result<(), EnforceError> + Send,
) -> Result<(), EnforceError> {
    let Some(netns) = netns else { return work() };
    let failed = |error: &dyn std::fmt::Display| EnforceError::Kernel {
        action: format!("enter the network namespace `{}`", netns.display()),
        message: error.to_string(),
    };
    let file = match File::open(netns) {
        Ok(file) => file,
        // The tables went with it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(&error)),
    };
    std::thread::scope(|scope| {
        let entered = scope.spawn(|| {
            setns(file, CloneFlags::CLONE_NEWNET).map_err(|error| failed(&error))?;
            work()
        });
        entered.join().map_err(|_| EnforceError::Gone)?
    })
}

//! A kernel for the guest of the virtual machine test: Debian's cloud kernel, downloaded as a package
//! and unpacked, never installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::shell::{self, say};

/// Where `crates/testbed/tests/machines` looks for it.
const FOLDER: &str = "/var/cache/bulkhead/guest";
const META_PACKAGE: &str = "linux-image-cloud-amd64";
/// What the guest's network needs.
const MODULES: [&str; 8] = [
    "virtio",
    "virtio_ring",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
];

pub fn unpack_missing() -> anyhow::Result<()> {
    let folder = Path::new(FOLDER);
    if folder.join("vmlinuz").exists() {
        return Ok(());
    }
    say("setup: missing a kernel for the guest of a test; unpacking Debian's cloud kernel");
    let scratch = folder.with_extension("new");
    let _ = std::fs::remove_dir_all(&scratch);
    std::fs::create_dir_all(&scratch)?;
    // The lists may be missing, or older than the mirror.
    crate::setup::apt(&["update", "-qq"])?;
    let package = package()?;
    shell::run(Command::new("apt-get").args(["download", "-qq", &package]).current_dir(&scratch))?;
    let archive = find(&scratch, &|name| name.ends_with(".deb"))?;
    shell::run(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&scratch))?;
    std::fs::create_dir_all(folder)?;
    for module in MODULES {
        let file = format!("{module}.ko");
        let found = find(&scratch, &|name| name == file)?;
        std::fs::copy(found, folder.join(&file))?;
    }
    let kernel = find(&scratch, &|name| name.starts_with("vmlinuz-"))?;
    // Last, because its presence says that all is there.
    std::fs::copy(kernel, folder.join("vmlinuz"))?;
    Ok(std::fs::remove_dir_all(&scratch)?)
}

/// The package that the cloud kernel is in today.
fn package() -> anyhow::Result<String> {
    let said = shell::output(Command::new("apt-cache").args(["depends", META_PACKAGE]))?;
    let depends = said.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let image = depends.map(str::trim).find(|name| name.starts_with("linux-image-"));
    Ok(image.with_context(|| format!("`{META_PACKAGE}` depends on no kernel"))?.to_owned())
}

/// The first file below a folder whose name is as wanted.
fn find(folder: &Path, is_wanted: &dyn Fn(&str) -> bool) -> anyhow::Result<PathBuf> {
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)?.flatten() {
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                open.push(path);
            } else if is_wanted(&entry.file_name().to_string_lossy()) {
                return Ok(path);
            }
        }
    }
    anyhow::bail!("the kernel package lacks a file that the guest needs")
}

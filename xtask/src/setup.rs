//! Makes a fresh Debian ready: root, kernel and packages, each checked before it is touched.

mod guest;

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::shell::{self, say};

/// tcx, the hook that enforcement hangs on, came with this kernel.
const KERNEL_FLOOR: (u32, u32) = (6, 6);

/// What has to be there, how it shows, and the Debian package that brings it.
const NEEDS: &[(&str, Need, &str)] = &[
    ("the C compiler that links Rust programs", Need::Program("cc"), "gcc libc6-dev"),
    ("the compiler of the kernel programs", Need::Program("clang"), "clang"),
    ("the headers of kernel programs", Need::File("/usr/include/bpf/bpf_helpers.h"), "libbpf-dev"),
    ("the kernel's own headers", Need::File("/usr/include/linux/bpf.h"), "linux-libc-dev"),
    ("namespaces and links of the lab", Need::Program("ip"), "iproute2"),
    ("a stock Kubernetes client", Need::Program("kubectl"), "kubernetes-client"),
    ("a hand that removes kernel objects in tests", Need::Program("bpftool"), "bpftool"),
    ("wall clocks that jump in tests", Need::Program("faketime"), "faketime"),
    ("a virtual machine", Need::Program("qemu-system-x86_64"), "qemu-system-x86"),
    ("a container runtime", Need::Program("runc"), "runc"),
    ("stock network plugins", Need::File("/usr/lib/cni/bridge"), "containernetworking-plugins"),
    ("a root for containers", Need::File("/usr/share/doc/busybox-static"), "busybox-static"),
    ("packet filter rules for comparison", Need::Program("nft"), "nftables"),
    ("translation as older proxies do it", Need::Program("iptables-legacy"), "iptables"),
];

enum Need {
    Program(&'static str),
    File(&'static str),
}

impl Need {
    fn is_met(&self) -> bool {
        match self {
            Need::Program(name) => on_path(name),
            Need::File(path) => Path::new(path).exists(),
        }
    }
}

pub fn run() -> anyhow::Result<()> {
    check_root()?;
    check_kernel(&kernel_release()?)?;
    install_missing()?;
    guest::unpack_missing()?;
    mount_bpffs()
}

fn check_root() -> anyhow::Result<()> {
    let id = shell::output(Command::new("id").arg("-u"))?;
    if id.trim() != "0" {
        bail!(
            "this needs root, because it loads kernel programs and makes network namespaces: run it \
             again as root (sudo make ...)"
        );
    }
    Ok(())
}

fn kernel_release() -> anyhow::Result<String> {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map(|text| text.trim().to_owned())
        .context("cannot read /proc/sys/kernel/osrelease")
}

fn check_kernel(release: &str) -> anyhow::Result<()> {
    let (major, minor) = KERNEL_FLOOR;
    match version_of(release) {
        Some(version) if version >= KERNEL_FLOOR => {}
        Some(_) => bail!(
            "this kernel is {release}, but Bulkhead needs {major}.{minor} or newer for tcx (BPF \
             programs on network interfaces): boot a newer kernel, such as Debian's \
             linux-image-amd64 from bookworm-backports"
        ),
        None => bail!("cannot read a version from the kernel release `{release}`"),
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        bail!(
            "this kernel ({release}) has no BTF (/sys/kernel/btf/vmlinux): boot one built with \
             CONFIG_DEBUG_INFO_BTF=y, as Debian's are"
        );
    }
    Ok(())
}

fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|folder| {
            let file = folder.join(program);
            file.is_file()
        })
    })
}

fn install_missing() -> anyhow::Result<()> {
    let missing: Vec<_> = NEEDS.iter().filter(|(_, need, _)| !need.is_met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for (what, _, package) in &missing {
        say(&format!("setup: missing {what}; installing {package}"));
    }
    if !on_path("apt-get") {
        let packages: Vec<_> = missing.iter().map(|(_, _, package)| *package).collect();
        bail!("there is no apt-get here: install what Debian calls {} by hand", packages.join(" "));
    }
    apt(&["update", "-qq"])?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(missing.iter().flat_map(|(_, _, packages)| packages.split(' ')));
    apt(&arguments)?;
    match missing.iter().find(|(_, need, _)| !need.is_met()) {
        Some((what, _, package)) => bail!("{what} is still missing after installing {package}"),
        None => Ok(()),
    }
}

fn apt(arguments: &[&str]) -> anyhow::Result<()> {
    shell::run(
        Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null()),
    )
    .context("apt-get cannot install: is there a network and a Debian mirror?")
}

fn mount_bpffs() -> anyhow::Result<()> {
    let mounts = std::fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
    if mounts.lines().any(|line| line.split(' ').nth(1) == Some("/sys/fs/bpf")) {
        return Ok(());
    }
    say("setup: mounting the BPF file system on /sys/fs/bpf");
    shell::run(Command::new("mount").args(["-t", "bpf", "bpf", "/sys/fs/bpf"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_is_too_old_is_named_with_the_feature_it_lacks() {
        let error = check_kernel("6.1.0-28-amd64").unwrap_err().to_string();
        assert!(error.contains("6.1.0-28-amd64"), "{error}");
        assert!(error.contains("6.6") && error.contains("tcx"), "{error}");
    }

    #[test]
    fn versions_are_read_from_any_release_string() {
        assert_eq!(version_of("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version_of("6.6-rc1"), Some((6, 6)));
        assert_eq!(version_of("linux"), None);
    }
}

//! A virtual machine: a Debian cloud kernel under QEMU without KVM, a root of busybox in memory, and a
//! shell on its serial line.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bulkhead_lab::Lab;

use crate::node;

/// Where `cargo xtask setup` puts a kernel and the modules that a guest's network needs.
const KERNEL_FOLDER: &str = "/var/cache/bulkhead/guest";
/// In the order that they need one another.
const MODULES: [&str; 8] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
];
/// Without KVM, beside other tests.
const BOOT_PATIENCE: Duration = Duration::from_secs(240);
const LINE_PATIENCE: Duration = Duration::from_secs(60);
const DONE: &str = "DONE ";

/// Ended when dropped.
pub struct Guest {
    process: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Guest {
    /// Boots on a tap of the node. `setup`: shell lines that the guest begins with.
    pub fn boot(lab: &Lab, tap: &str, mac: &str, setup: &str) -> Self {
        let initrd = mk_initrd(&lab.claim().data_folder().join("guest"), setup);
        let kernel = Path::new(KERNEL_FOLDER).join("vmlinuz");
        assert!(kernel.exists(), "no kernel for a guest: run `cargo xtask setup`");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "nsenter"]);
        command.arg(format!("--net={}", node::netns(lab).display()));
        command.args(["--", "qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-nographic"]);
        command.args(["-nodefaults", "-no-reboot", "-serial", "stdio", "-kernel"]).arg(kernel);
        command.arg("-initrd").arg(initrd);
        command.args(["-append", "console=ttyS0 quiet panic=-1"]);
        command.args(["-netdev", &format!("tap,id=n0,ifname={tap},script=no,downscript=no")]);
        command.args(["-device", &format!("virtio-net-pci,netdev=n0,mac={mac},romfile=")]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("QEMU (Debian package qemu-system-x86)");
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (line, lines) = channel();
        std::thread::spawn(move || {
            for bytes in output.split(b'\n').map_while(Result::ok) {
                let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                if line.send(text).is_err() {
                    return;
                }
            }
        });
        let guest = Self { process, input, lines };
        guest.listen_for("READY", BOOT_PATIENCE);
        guest
    }

    /// Runs a shell line inside; whether it succeeded, and what it said.
    pub fn run(&mut self, line: &str) -> (bool, String) {
        writeln!(self.input, "{line}").unwrap();
        let (said, last) = self.listen_for(DONE, LINE_PATIENCE);
        (last.ends_with(" 0"), said)
    }

    /// Whether a server at `host` answers on a TCP port.
    pub fn reaches_tcp(&mut self, host: &str, port: u16) -> bool {
        self.run(&format!("busybox nc -w 2 {host} {port} </dev/null")).1.contains("hello")
    }

    /// Whether one datagram from `source` comes back.
    pub fn reaches_udp(&mut self, source: &str, host: &str, port: u16) -> bool {
        self.run(&format!("udp ask {source} {host} {port}")).0
    }

    /// Everything before the line with this word, and that line.
    fn listen_for(&self, word: &str, patience: Duration) -> (String, String) {
        let mut said = String::new();
        loop {
            match self.lines.recv_timeout(patience) {
                Ok(line) if line.contains(word) => return (said, line),
                Ok(line) => said = said + &line + "\n",
                Err(error) => panic!("the guest does not say `{word}` ({error}); it said:\n{said}"),
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn mk_initrd(folder: &Path, setup: &str) -> PathBuf {
    let root = folder.join("root");
    for name in ["bin", "proc", "dev", "modules"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for module in MODULES {
        let file = format!("{module}.ko");
        let from = Path::new(KERNEL_FOLDER).join(&file);
        std::fs::copy(&from, root.join("modules").join(file)).unwrap();
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines/guest.c");
    let mut compile = Command::new("cc");
    compile.args(["-static", "-O1", "-o"]).arg(root.join("bin/udp")).arg(source);
    assert!(compile.status().unwrap().success(), "the guest's program is not compiled");
    let init = format!(
        "#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
for module in {}; do busybox insmod /modules/$module.ko; done
{setup}
busybox stty -echo </dev/console
echo READY
while read -r line; do eval \"$line\"; echo \"{DONE}$?\"; done </dev/console
",
        MODULES.join(" ")
    );
    let init_file = root.join("init");
    std::fs::write(&init_file, init).unwrap();
    let line = format!(
        "chmod +x {root}/init && cd {root} && find . | busybox cpio -o -H newc | gzip -1 > ../initrd",
        root = root.display()
    );
    assert!(Command::new("sh").args(["-ec", &line]).status().unwrap().success());
    folder.join("initrd")
}

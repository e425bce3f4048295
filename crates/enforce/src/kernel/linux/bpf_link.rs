//! The bpf(2) calls on links and pins, by interface number: a name may belong to another interface by
//! the time that it is looked up.
#![expect(unsafe_code, reason = "bpf(2) takes pointers; this is the one wrapper for links")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const OBJ_PIN: libc::c_int = 6;
const OBJ_GET: libc::c_int = 7;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const LINK_CREATE: libc::c_int = 28;
const LINK_UPDATE: libc::c_int = 29;
/// Before the programs that are there already.
const F_BEFORE: u32 = 1 << 3;

/// BPF_XDP, BPF_TCX_INGRESS and BPF_TCX_EGRESS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Driver = 37,
    Ingress = 46,
    Egress = 47,
}

/// The parts of `struct bpf_link_info` that a tcx link fills.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkInfo {
    kind: u32,
    pub id: u32,
    pub program: u32,
    zero: u32,
    /// 0 where the link was detached or its interface is gone.
    pub ifindex: u32,
    attach_type: u32,
    rest: [u64; 4],
}

#[repr(C)]
#[derive(Default)]
struct CreateAttr {
    program_fd: u32,
    ifindex: u32,
    attach_type: u32,
    flags: u32,
    relative: u32,
    zero: u32,
    expected_revision: u64,
}

#[repr(C)]
#[derive(Default)]
struct UpdateAttr {
    link_fd: u32,
    program_fd: u32,
    flags: u32,
    old_program_fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct PinAttr {
    path: u64,
    fd: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct InfoAttr {
    fd: u32,
    length: u32,
    info: u64,
}

fn call<A>(command: libc::c_int, attr: &mut A) -> io::Result<libc::c_long> {
    let at = std::ptr::from_mut(attr);
    // SAFETY: `attr` is a `repr(C)` prefix of `union bpf_attr` of the given size, and every pointer
    // in it was made by the callers below from values that outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, at, size_of::<A>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    let number = libc::c_int::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn text(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// Hangs a program on an interface, before all others.
pub fn attach(program: BorrowedFd<'_>, ifindex: u32, hook: Hook) -> io::Result<OwnedFd> {
    let mut attr = CreateAttr {
        program_fd: program.as_raw_fd() as u32,
        ifindex,
        attach_type: hook as u32,
        flags: if hook == Hook::Driver { 0 } else { F_BEFORE },
        ..CreateAttr::default()
    };
    descriptor(call(LINK_CREATE, &mut attr)?)
}

/// Puts another program into a link, at once.
pub fn replace(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = UpdateAttr {
        link_fd: link.as_raw_fd() as u32,
        program_fd: program.as_raw_fd() as u32,
        ..UpdateAttr::default()
    };
    call(LINK_UPDATE, &mut attr).map(drop)
}

pub fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = text(path)?;
    let fd = object.as_raw_fd() as u32;
    let mut attr = PinAttr { path: path.as_ptr() as u64, fd, ..PinAttr::default() };
    call(OBJ_PIN, &mut attr).map(drop)
}

pub fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = text(path)?;
    let mut attr = PinAttr { path: path.as_ptr() as u64, ..PinAttr::default() };
    descriptor(call(OBJ_GET, &mut attr)?)
}

pub fn info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut info = LinkInfo::default();
    let mut attr = InfoAttr {
        fd: link.as_raw_fd() as u32,
        length: size_of::<LinkInfo>() as u32,
        info: std::ptr::from_mut(&mut info) as u64,
    };
    call(OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

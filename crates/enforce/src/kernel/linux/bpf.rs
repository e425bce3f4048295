//! The bpf(2) calls on map elements, one by one and in batches, which aya does not have.
//!
//! The only file with `unsafe`: everything above it deals in byte slices whose lengths are checked
//! here against the map's own key and value sizes.
#![expect(unsafe_code, reason = "bpf(2) takes pointers; this is the one wrapper around it")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya_obj::generated::bpf_insn;

const MAP_LOOKUP_ELEM: libc::c_int = 1;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const MAP_DELETE_ELEM: libc::c_int = 3;
const PROG_LOAD: libc::c_int = 5;
const OBJ_PIN: libc::c_int = 6;
const BTF_LOAD: libc::c_int = 18;
const LINK_CREATE: libc::c_int = 28;
const PROG_TYPE_NETFILTER: u32 = 32;
const ATTACH_NETFILTER: u32 = 45;
/// Fragments are put together before the hooks.
const NETFILTER_IP_DEFRAG: u32 = 1;
const VERIFIER_LOG_BYTES: usize = 1 << 20;
const MAP_LOOKUP_AND_DELETE_ELEM: libc::c_int = 21;
const MAP_LOOKUP_BATCH: libc::c_int = 24;
const MAP_UPDATE_BATCH: libc::c_int = 26;
const MAP_DELETE_BATCH: libc::c_int = 27;

/// `union bpf_attr` for the element commands.
#[repr(C)]
#[derive(Default)]
struct ElementAttr {
    map_fd: u32,
    zero: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// `union bpf_attr` for the batch commands.
#[repr(C)]
#[derive(Default)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    element_flags: u64,
    flags: u64,
}

/// Sizes of a map's keys and values, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub key: usize,
    pub value: usize,
}

fn wrong_length() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the bytes do not have the map's size")
}

fn call<A>(command: libc::c_int, attr: &mut A) -> io::Result<()> {
    call_for(command, attr).map(drop)
}

fn call_for<A>(command: libc::c_int, attr: &mut A) -> io::Result<libc::c_long> {
    let at = std::ptr::from_mut(attr);
    // SAFETY: `attr` is a `repr(C)` prefix of `union bpf_attr` of the given size, and every pointer
    // in it was made by the callers below from slices of checked length that outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, at, size_of::<A>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn address<T>(slice: &[T]) -> u64 {
    slice.as_ptr() as u64
}

pub fn set(map: BorrowedFd<'_>, shape: Shape, key: &[u8], value: &[u8]) -> io::Result<()> {
    if key.len() != shape.key || value.len() != shape.value {
        return Err(wrong_length());
    }
    let mut attr = element(map, key);
    attr.value = address(value);
    call(MAP_UPDATE_ELEM, &mut attr)
}

/// Like [`set`], but an error where the key is there already.
pub fn set_new(map: BorrowedFd<'_>, shape: Shape, key: &[u8], value: &[u8]) -> io::Result<()> {
    const NOEXIST: u64 = 1;
    if key.len() != shape.key || value.len() != shape.value {
        return Err(wrong_length());
    }
    let mut attr = element(map, key);
    (attr.value, attr.flags) = (address(value), NOEXIST);
    call(MAP_UPDATE_ELEM, &mut attr)
}

/// `false` where there was no such key.
pub fn unset(map: BorrowedFd<'_>, shape: Shape, key: &[u8]) -> io::Result<bool> {
    if key.len() != shape.key {
        return Err(wrong_length());
    }
    found(call(MAP_DELETE_ELEM, &mut element(map, key)))
}

/// Fills `value`; `false` where there is no such key.
pub fn get(map: BorrowedFd<'_>, shape: Shape, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    read(MAP_LOOKUP_ELEM, map, shape, key, value)
}

/// Removes the element and fills `value` with its last state, at once.
pub fn take(map: BorrowedFd<'_>, shape: Shape, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    read(MAP_LOOKUP_AND_DELETE_ELEM, map, shape, key, value)
}

fn read(
    command: libc::c_int,
    map: BorrowedFd<'_>,
    shape: Shape,
    key: &[u8],
    value: &mut [u8],
) -> io::Result<bool> {
    if key.len() != shape.key || value.len() != shape.value {
        return Err(wrong_length());
    }
    let mut attr = element(map, key);
    attr.value = value.as_mut_ptr() as u64;
    found(call(command, &mut attr))
}

fn element(map: BorrowedFd<'_>, key: &[u8]) -> ElementAttr {
    ElementAttr { map_fd: map.as_raw_fd() as u32, key: address(key), ..ElementAttr::default() }
}

fn found(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sets many elements; returns how many were set before an error.
pub fn set_batch(
    map: BorrowedFd<'_>,
    shape: Shape,
    keys: &[u8],
    values: &[u8],
) -> Result<(), (usize, io::Error)> {
    let n = keys.len() / shape.key.max(1);
    if n * shape.key != keys.len() || n * shape.value != values.len() {
        return Err((0, wrong_length()));
    }
    let mut attr = batch(map, keys, n);
    attr.values = address(values);
    call(MAP_UPDATE_BATCH, &mut attr).map_err(|error| (attr.count as usize, error))
}

/// Removes many elements; returns how many were removed before an error.
pub fn unset_batch(
    map: BorrowedFd<'_>,
    shape: Shape,
    keys: &[u8],
) -> Result<(), (usize, io::Error)> {
    let n = keys.len() / shape.key.max(1);
    if n * shape.key != keys.len() {
        return Err((0, wrong_length()));
    }
    let mut attr = batch(map, keys, n);
    call(MAP_DELETE_BATCH, &mut attr).map_err(|error| (attr.count as usize, error))
}

/// Where a batch read goes on.
#[derive(Clone, Debug, Default)]
pub struct Cursor(Option<Vec<u8>>);

/// Reads up to as many elements as fit into the buffers. Returns how many, and whether more follow.
pub fn get_batch(
    map: BorrowedFd<'_>,
    shape: Shape,
    cursor: &mut Cursor,
    keys: &mut [u8],
    values: &mut [u8],
) -> io::Result<(usize, bool)> {
    let n = keys.len() / shape.key.max(1);
    if n * shape.key != keys.len() || n * shape.value != values.len() {
        return Err(wrong_length());
    }
    let mut next = vec![0u8; shape.key.max(4)];
    let mut attr = BatchAttr {
        in_batch: cursor.0.as_deref().map_or(0, address),
        out_batch: next.as_mut_ptr() as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: n as u32,
        map_fd: map.as_raw_fd() as u32,
        ..BatchAttr::default()
    };
    let more = found(call(MAP_LOOKUP_BATCH, &mut attr))?;
    cursor.0 = Some(next);
    Ok((attr.count as usize, more))
}

fn batch(map: BorrowedFd<'_>, keys: &[u8], n: usize) -> BatchAttr {
    BatchAttr {
        keys: address(keys),
        count: n as u32,
        map_fd: map.as_raw_fd() as u32,
        ..BatchAttr::default()
    }
}

/// `union bpf_attr` for BPF_PROG_LOAD, up to what is needed.
#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    program_type: u32,
    n_instructions: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    attach_type: u32,
    btf: u32,
    function_size: u32,
    functions: u64,
    n_functions: u32,
    zero: u32,
}

/// `union bpf_attr` for BPF_BTF_LOAD.
#[repr(C)]
#[derive(Default)]
struct BtfAttr {
    btf: u64,
    log: u64,
    size: u32,
    log_size: u32,
    log_level: u32,
    zero: u32,
}

/// `union bpf_attr` for BPF_LINK_CREATE with the fields of netfilter.
#[repr(C)]
#[derive(Default)]
struct HookAttr {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    family: u32,
    hook: u32,
    priority: i32,
    hook_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct PinAttr {
    path: u64,
    object: u32,
    flags: u32,
}

fn owned(descriptor: libc::c_long) -> io::Result<OwnedFd> {
    let descriptor = i32::try_from(descriptor).map_err(|_| wrong_length())?;
    // SAFETY: bpf(2) has just returned this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// A program as it is in an object file, relocated.
#[derive(Debug)]
pub struct Code<'a> {
    pub instructions: &'a [bpf_insn],
    pub license: &'a CStr,
    /// The types of the object.
    pub btf: BorrowedFd<'a>,
    /// Which of them is the type of which function: records of `function_size` bytes.
    pub functions: &'a [u8],
    pub function_size: usize,
}

/// Gives the kernel the types of an object.
pub fn load_btf(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = BtfAttr { btf: address(bytes), size: bytes.len() as u32, ..BtfAttr::default() };
    call_for(BTF_LOAD, &mut attr).and_then(owned)
}

/// Loads a program for netfilter's hooks. What the verifier said comes with the error.
pub fn load_netfilter(code: &Code<'_>) -> Result<OwnedFd, (io::Error, String)> {
    let Code { instructions, license, btf, functions, function_size } = code;
    let n_functions = functions.len() / (*function_size).max(1);
    let mut attr = LoadAttr {
        btf: btf.as_raw_fd() as u32,
        function_size: *function_size as u32,
        functions: address(functions),
        n_functions: n_functions as u32,
        program_type: PROG_TYPE_NETFILTER,
        n_instructions: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
        instructions: address(instructions),
        license: address(license.to_bytes_with_nul()),
        attach_type: ATTACH_NETFILTER,
        ..LoadAttr::default()
    };
    for (to, from) in attr.name.iter_mut().zip(b"netfilter") {
        *to = *from;
    }
    let error = match call_for(PROG_LOAD, &mut attr).and_then(owned) {
        Ok(program) => return Ok(program),
        Err(error) => error,
    };
    let mut log = vec![0u8; VERIFIER_LOG_BYTES];
    attr.log = log.as_mut_ptr() as u64;
    attr.log_size = VERIFIER_LOG_BYTES as u32;
    attr.log_level = 1;
    // Only for what it says.
    let _ = call_for(PROG_LOAD, &mut attr).and_then(owned);
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(0);
    let text = String::from_utf8_lossy(log.get(..end).unwrap_or_default()).into_owned();
    let tail: Vec<&str> = text.lines().rev().take(12).collect();
    Err((error, tail.into_iter().rev().collect::<Vec<_>>().join("; ")))
}

/// A hook of netfilter in the current network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// NFPROTO_IPV4 or NFPROTO_IPV6.
    pub family: u32,
    /// NF_INET_*.
    pub hook: u32,
    pub priority: i32,
}

pub fn attach_hook(program: BorrowedFd<'_>, hook: Hook) -> io::Result<OwnedFd> {
    let mut attr = HookAttr {
        program: program.as_raw_fd() as u32,
        attach_type: ATTACH_NETFILTER,
        family: hook.family,
        hook: hook.hook,
        priority: hook.priority,
        hook_flags: NETFILTER_IP_DEFRAG,
        ..HookAttr::default()
    };
    call_for(LINK_CREATE, &mut attr).and_then(owned)
}

pub fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = PinAttr {
        path: address(path.as_bytes_with_nul()),
        object: object.as_raw_fd() as u32,
        ..PinAttr::default()
    };
    call(OBJ_PIN, &mut attr)
}

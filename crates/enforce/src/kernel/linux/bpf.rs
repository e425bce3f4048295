//! The bpf(2) calls on map elements, one by one and in batches, which aya does not have.
//!
//! The only file with `unsafe`: everything above it deals in byte slices whose lengths are checked
//! here against the map's own key and value sizes.
#![expect(unsafe_code, reason = "bpf(2) takes pointers; this is the one wrapper around it")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

const MAP_LOOKUP_ELEM: libc::c_int = 1;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const MAP_DELETE_ELEM: libc::c_int = 3;
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
    let at = std::ptr::from_mut(attr);
    // SAFETY: `attr` is a `repr(C)` prefix of `union bpf_attr` of the given size, and every pointer
    // in it was made by the callers below from slices of checked length that outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, at, size_of::<A>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
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

//! One pinned map with typed keys and values.

use std::hash::Hasher;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use aya::maps::MapData;
use bulkhead_enforce_abi::Plain;

use crate::kernel::linux::bpf::{self, Cursor, Shape};
use crate::limits::BATCH_MAX;
use crate::node::EnforceError;

/// Fewer elements than this are set one by one.
const BATCH_MIN: usize = 4;

/// Values that are taken one by one are no longer than this.
const TAKEN_BYTES_MAX: usize = 128;

#[derive(Debug)]
pub struct Map<K, V> {
    name: &'static str,
    data: MapData,
    types: PhantomData<(K, V)>,
}

impl<K: Plain, V: Plain> Map<K, V> {
    const SHAPE: Shape = Shape { key: size_of::<K>(), value: size_of::<V>() };

    pub fn open(folder: &Path, name: &'static str) -> Result<Self, EnforceError> {
        let path = folder.join(name);
        let data = MapData::from_pin(&path).map_err(|error| EnforceError::Kernel {
            action: format!("open the pinned map `{}`", path.display()),
            message: crate::kernel::linux::chain(&error),
        })?;
        Ok(Self { name, data, types: PhantomData })
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.data.fd().as_fd()
    }

    fn error(&self, verb: &str, error: &io::Error) -> EnforceError {
        let hint = match error.raw_os_error() {
            Some(libc::E2BIG | libc::ENOSPC) => " (the map is full)",
            _ => "",
        };
        EnforceError::Kernel {
            action: format!("{verb} the map `{}`", self.name),
            message: format!("{error}{hint}"),
        }
    }

    pub fn set(&self, key: &K, value: &V) -> Result<(), EnforceError> {
        bpf::set(self.fd(), Self::SHAPE, key.as_bytes(), value.as_bytes())
            .map_err(|error| self.error("write to", &error))
    }

    /// `false` where the key was there already; then nothing is written.
    pub fn set_new(&self, key: &K, value: &V) -> Result<bool, EnforceError> {
        match bpf::set_new(self.fd(), Self::SHAPE, key.as_bytes(), value.as_bytes()) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
            set => set.map(|()| true).map_err(|error| self.error("write to", &error)),
        }
    }

    /// The memory that the kernel counts for the map, which moves with every element of a map that is
    /// not allocated beforehand. `None` where it does not say.
    pub fn bytes_used(&self) -> Option<u64> {
        let path = format!("/proc/thread-self/fdinfo/{}", self.fd().as_raw_fd());
        let text = std::fs::read_to_string(path).ok()?;
        text.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok())
    }

    pub fn get(&self, key: &K) -> Result<Option<V>, EnforceError> {
        let mut value = vec![0; Self::SHAPE.value];
        let found = bpf::get(self.fd(), Self::SHAPE, key.as_bytes(), &mut value)
            .map_err(|error| self.error("read", &error))?;
        Ok(found.then(|| V::from_bytes(&value)).flatten())
    }

    /// Removes and returns the element, at once.
    pub fn take(&self, key: &K) -> Result<Option<V>, EnforceError> {
        let mut room = [0; TAKEN_BYTES_MAX];
        let Some(value) = room.get_mut(..Self::SHAPE.value) else {
            return Err(self.error("take from", &io::Error::other("its values are too long")));
        };
        let found = bpf::take(self.fd(), Self::SHAPE, key.as_bytes(), value)
            .map_err(|error| self.error("take from", &error))?;
        Ok(found.then(|| V::from_bytes(value)).flatten())
    }

    pub fn set_all(&self, elements: &[(K, V)]) -> Result<(), EnforceError> {
        if elements.len() < BATCH_MIN {
            return elements.iter().try_for_each(|(key, value)| self.set(key, value));
        }
        for chunk in elements.chunks(BATCH_MAX) {
            let keys: Vec<u8> = chunk.iter().flat_map(|(k, _)| k.as_bytes()).copied().collect();
            let values: Vec<u8> = chunk.iter().flat_map(|(_, v)| v.as_bytes()).copied().collect();
            bpf::set_batch(self.fd(), Self::SHAPE, &keys, &values)
                .map_err(|(_, error)| self.error("write to", &error))?;
        }
        Ok(())
    }

    /// Keys that are not there are no error.
    pub fn unset_all(&self, keys: &[K]) -> Result<(), EnforceError> {
        for chunk in keys.chunks(BATCH_MAX) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|key| key.as_bytes()).copied().collect();
            if chunk.len() >= BATCH_MIN && bpf::unset_batch(self.fd(), Self::SHAPE, &bytes).is_ok()
            {
                continue;
            }
            // A batch stops at the first key that is missing.
            for key in chunk {
                bpf::unset(self.fd(), Self::SHAPE, key.as_bytes())
                    .map_err(|error| self.error("remove from", &error))?;
            }
        }
        Ok(())
    }

    /// Every element. Elements that come and go meanwhile may or may not be among them.
    pub fn all(&self) -> Result<Vec<(K, V)>, EnforceError> {
        let mut elements = Vec::new();
        self.for_each(|key, value| elements.push((key, value)))?;
        Ok(elements)
    }

    pub fn for_each(&self, mut visit: impl FnMut(K, V)) -> Result<(), EnforceError> {
        let Shape { key: key_size, value: value_size } = Self::SHAPE;
        self.for_each_batch(|keys, values| {
            for (key, value) in keys.chunks_exact(key_size).zip(values.chunks_exact(value_size)) {
                if let (Some(key), Some(value)) = (K::from_bytes(key), V::from_bytes(value)) {
                    visit(key, value);
                }
            }
        })
    }

    /// Takes in everything as it lies there.
    pub fn print(&self, hasher: &mut impl Hasher) -> Result<(), EnforceError> {
        self.for_each_batch(|keys, values| {
            hasher.write(keys);
            hasher.write(values);
        })?;
        // What ends in one map must not look like what begins in the next one.
        hasher.write_u8(0xff);
        Ok(())
    }

    fn for_each_batch(&self, mut visit: impl FnMut(&[u8], &[u8])) -> Result<(), EnforceError> {
        let Shape { key: key_size, value: value_size } = Self::SHAPE;
        let mut keys = vec![0u8; BATCH_MAX * key_size];
        let mut values = vec![0u8; BATCH_MAX * value_size];
        let mut cursor = Cursor::default();
        loop {
            let (n, more) =
                bpf::get_batch(self.fd(), Self::SHAPE, &mut cursor, &mut keys, &mut values)
                    .map_err(|error| self.error("list", &error))?;
            let (keys, values) = (keys.get(..n * key_size), values.get(..n * value_size));
            visit(keys.unwrap_or_default(), values.unwrap_or_default());
            if !more {
                return Ok(());
            }
        }
    }
}

//! Identities of objects.

use bulkhead_apimachinery::status::Status;
use rustls::crypto::ring;

/// A version 4 UUID.
pub fn uid() -> Result<String, Status> {
    let mut bytes: [u8; 16] = fill()?;
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut bytes;
    *version = (*version & 0x0f) | 0x40;
    *variant = (*variant & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    Ok([part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-"))
}

/// Any number; where the system has no randomness, always the same.
pub fn number() -> u64 {
    fill().map(u64::from_le_bytes).unwrap_or_default()
}

fn fill<const N: usize>() -> Result<[u8; N], Status> {
    let mut bytes = [0; N];
    match ring::default_provider().secure_random.fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(Status::internal("the system has no randomness")),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn uids_are_version_4_uuids() {
        let uid = super::uid().unwrap();
        let parts: Vec<_> = uid.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{uid}");
        assert_eq!(uid.as_bytes()[14], b'4', "{uid}");
        assert!(b"89ab".contains(&uid.as_bytes()[19]), "{uid}");
        assert_ne!(uid, super::uid().unwrap());
    }
}

//! Messages of nfnetlink to and from bytes: headers, attributes, batches.
//!
//! Attributes of nf_tables carry numbers in network order, headers in the machine's.

/// Subsystems of nfnetlink.
pub const CONNTRACK: u16 = 1;
pub const LOG: u16 = 4;
pub const TABLES: u16 = 10;

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

pub const ERROR: u16 = 2;
pub const DONE: u16 = 3;

pub const REQUEST: u16 = 0x1;
pub const ACK: u16 = 0x4;
pub const DUMP: u16 = 0x300;
pub const DUMP_INTERRUPTED: u16 = 0x10;
pub const CREATE: u16 = 0x400;
pub const APPEND: u16 = 0x800;

pub const HEADER: usize = 16;
/// Where the header says whose message it is.
pub const HEADER_PORT: u32 = 12;
const NFGEN: usize = 4;
const NESTED: u16 = 0x8000;
const TYPE_MASK: u16 = 0x3fff;

/// Attributes one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    pub fn new() -> Self {
        Self::default()
    }

    /// As they were read.
    pub fn raw(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        push_attribute(&mut self.0, kind, value);
        self
    }

    pub fn text(self, kind: u16, value: &str) -> Self {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    pub fn be16(self, kind: u16, value: u16) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub fn be32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub fn be64(self, kind: u16, value: u64) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub fn nest(self, kind: u16, inside: Attributes) -> Self {
        self.bytes(kind | NESTED, &inside.0)
    }

    pub fn extend(&mut self, more: &Attributes) {
        self.0.extend_from_slice(&more.0);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

fn push_attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// A message of one subsystem.
pub struct Head {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    /// Protocol family.
    pub family: u8,
    pub resource: u16,
}

pub fn push_message(bytes: &mut Vec<u8>, head: &Head, attributes: &Attributes) {
    let length = (HEADER + NFGEN + attributes.len()) as u32;
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&head.kind.to_ne_bytes());
    bytes.extend_from_slice(&head.flags.to_ne_bytes());
    bytes.extend_from_slice(&head.sequence.to_ne_bytes());
    bytes.extend_from_slice(&0u32.to_ne_bytes());
    bytes.extend_from_slice(&[head.family, 0]);
    bytes.extend_from_slice(&head.resource.to_be_bytes());
    bytes.extend_from_slice(attributes.as_slice());
}

/// Operations of one transaction, in order.
#[derive(Debug, Default)]
pub struct Batch {
    /// `(message, flags, family, attributes)`.
    messages: Vec<(u16, u16, u8, Attributes)>,
}

impl Batch {
    pub fn push(&mut self, message: u16, flags: u16, family: u8, attributes: Attributes) {
        self.messages.push((message, flags, family, attributes));
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The whole transaction, with the sequence number whose answer tells that it is done. Sequence
    /// numbers count from `first`, so that an error tells which message it is about.
    pub fn encode(&self, first: u32) -> (Vec<u8>, u32) {
        let size: usize =
            self.messages.iter().map(|(_, _, _, a)| HEADER + NFGEN + a.len()).sum::<usize>() + 64;
        let mut bytes = Vec::with_capacity(size);
        let mut sequence = first;
        let edge =
            |kind, sequence| Head { kind, flags: REQUEST, sequence, family: 0, resource: TABLES };
        push_message(&mut bytes, &edge(BATCH_BEGIN, sequence), &Attributes::new());
        let n = self.messages.len();
        for (index, (message, flags, family, attributes)) in self.messages.iter().enumerate() {
            sequence = sequence.wrapping_add(1);
            let ack = if index + 1 == n { ACK } else { 0 };
            let head = Head {
                kind: TABLES << 8 | message,
                flags: REQUEST | flags | ack,
                sequence,
                family: *family,
                resource: 0,
            };
            push_message(&mut bytes, &head, attributes);
        }
        push_message(&mut bytes, &edge(BATCH_END, sequence.wrapping_add(1)), &Attributes::new());
        (bytes, sequence)
    }
}

/// One message as it came.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    /// Who asked for what this tells of; 0 is the kernel.
    pub port: u32,
    /// After the netlink header.
    pub body: &'a [u8],
}

impl<'a> Incoming<'a> {
    /// After the nfnetlink header too.
    pub fn attributes(&self) -> impl Iterator<Item = (u16, &'a [u8])> {
        attributes(self.body.get(NFGEN..).unwrap_or_default())
    }

    pub fn find(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    pub fn family(&self) -> u8 {
        self.body.first().copied().unwrap_or(0)
    }

    /// Of an [`ERROR`]: 0 is an acknowledgement.
    pub fn error(&self) -> i32 {
        self.body.first_chunk().map_or(0, |code| -i32::from_ne_bytes(*code))
    }
}

/// Splits what one read brought.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Incoming<'_>> {
    std::iter::from_fn(move || {
        let length = u32_at(bytes, 0)? as usize;
        let message = Incoming {
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            sequence: u32_at(bytes, 8)?,
            port: u32_at(bytes, 12)?,
            body: bytes.get(HEADER..length)?,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & TYPE_MASK;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// A text up to its NUL.
pub fn text(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    std::str::from_utf8(bytes.get(..end).unwrap_or_default()).unwrap_or_default()
}

pub fn be16(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|chunk| u16::from_be_bytes(*chunk))
}

pub fn be32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|chunk| u32::from_be_bytes(*chunk))
}

pub fn be64(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|chunk| u64::from_be_bytes(*chunk))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|chunk| u16::from_ne_bytes(*chunk))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_ne_bytes(*chunk))
}

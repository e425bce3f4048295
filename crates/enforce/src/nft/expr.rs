//! Rules, as lists of the kernel's expressions over sixteen registers of 4 bytes.
//!
//! A rule ends at the first expression that does not match, and the next rule is tried; a lookup that
//! finds nothing does not match. Registers hold their values from one expression of a rule to the next,
//! never from one rule to the next.

use super::message::Attributes;

/// The register of this number, 0 to 15.
pub const fn r(number: u32) -> u32 {
    8 + number
}

/// The register that holds what becomes of the packet.
const VERDICT_REGISTER: u32 = 0;

const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const LIST_ELEMENT: u16 = 1;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meta {
    Mark = 3,
    Iif = 4,
    Oif = 5,
    IifName = 6,
    OifName = 7,
    Family = 15,
    L4Protocol = 16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ct {
    State = 0,
    Direction = 1,
    Status = 2,
    Protocol = 10,
    PortSrc = 11,
    PortDst = 12,
    Src4 = 19,
    Src6 = 21,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Original = 0,
    Reply = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    Link = 0,
    Network = 1,
    Transport = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    Equal = 0,
    Unequal = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// This hook is done with the packet.
    Accept,
    Drop,
    /// Back to the rule after the last `Jump`.
    Return,
    Jump(&'a str),
    /// Does not come back here.
    Goto(&'a str),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule(Attributes);

fn data(kind: u16, value: &[u8]) -> Attributes {
    Attributes::new().nest(kind, Attributes::new().bytes(DATA_VALUE, value))
}

impl Rule {
    pub fn new() -> Self {
        Self::default()
    }

    fn push(mut self, name: &str, inside: Attributes) -> Self {
        let expression = Attributes::new().text(EXPR_NAME, name).nest(EXPR_DATA, inside);
        self.0.extend(&Attributes::new().nest(LIST_ELEMENT, expression));
        self
    }

    pub fn meta(self, key: Meta, to: u32) -> Self {
        self.push("meta", Attributes::new().be32(1, to).be32(2, key as u32))
    }

    pub fn set_meta(self, key: Meta, from: u32) -> Self {
        self.push("meta", Attributes::new().be32(3, from).be32(2, key as u32))
    }

    pub fn ct(self, key: Ct, way: Option<Way>, to: u32) -> Self {
        let mut inside = Attributes::new().be32(1, to).be32(2, key as u32);
        if let Some(way) = way {
            inside = inside.bytes(3, &[way as u8]);
        }
        self.push("ct", inside)
    }

    pub fn payload(self, header: Header, offset: u32, length: u32, to: u32) -> Self {
        let inside =
            Attributes::new().be32(1, to).be32(2, header as u32).be32(3, offset).be32(4, length);
        self.push("payload", inside)
    }

    pub fn compare(self, register: u32, how: Compare, value: &[u8]) -> Self {
        let mut inside = Attributes::new().be32(1, register).be32(2, how as u32);
        inside.extend(&data(3, value));
        self.push("cmp", inside)
    }

    pub fn equals(self, register: u32, value: &[u8]) -> Self {
        self.compare(register, Compare::Equal, value)
    }

    /// From `first` to `last`, both included.
    pub fn range(self, register: u32, first: &[u8], last: &[u8]) -> Self {
        let mut inside = Attributes::new().be32(1, register).be32(2, 0);
        inside.extend(&data(3, first));
        inside.extend(&data(4, last));
        self.push("range", inside)
    }

    /// `to = (from & mask) ^ flip`.
    pub fn bits(self, from: u32, to: u32, mask: &[u8], flip: &[u8]) -> Self {
        let length = u32::try_from(mask.len()).unwrap_or(0);
        let mut inside = Attributes::new().be32(1, from).be32(2, to).be32(3, length);
        inside.extend(&data(4, mask));
        inside.extend(&data(5, flip));
        self.push("bitwise", inside)
    }

    pub fn load(self, value: &[u8], to: u32) -> Self {
        let mut inside = Attributes::new().be32(1, to);
        inside.extend(&data(2, value));
        self.push("immediate", inside)
    }

    /// The value of the key that begins in `key`.
    pub fn look_up(self, map: &str, key: u32, to: u32) -> Self {
        self.push("lookup", Attributes::new().text(1, map).be32(2, key).be32(3, to))
    }

    /// Puts the value into a map that forgets it after some milliseconds.
    pub fn put(self, map: &str, key: u32, value: u32, forgets_ms: u64) -> Self {
        const UPDATE: u32 = 1;
        let inside = Attributes::new().text(1, map).be32(3, UPDATE).be32(4, key).be32(5, value);
        self.push("dynset", inside.be64(6, forgets_ms))
    }

    /// At most so many packets a second go on to the next expression.
    pub fn limit(self, per_second: u64, burst: u32) -> Self {
        let inside = Attributes::new().be64(1, per_second).be64(2, 1).be32(3, burst).be32(4, 0);
        self.push("limit", inside)
    }

    pub fn log(self, group: u16, prefix: &str, bytes: u32) -> Self {
        let inside = Attributes::new().be16(1, group).text(2, prefix).be32(3, bytes).be16(4, 1);
        self.push("log", inside)
    }

    pub fn notrack(self) -> Self {
        self.push("notrack", Attributes::new())
    }

    pub fn end(self, end: End<'_>) -> Self {
        let (code, chain) = match end {
            End::Accept => (1, None),
            End::Drop => (0, None),
            End::Return => (-5, None),
            End::Jump(chain) => (-3, Some(chain)),
            End::Goto(chain) => (-4, Some(chain)),
        };
        let mut verdict = Attributes::new().be32(VERDICT_CODE, i32::cast_unsigned(code));
        if let Some(chain) = chain {
            verdict = verdict.text(VERDICT_CHAIN, chain);
        }
        let value = Attributes::new().nest(DATA_VERDICT, verdict);
        self.push("immediate", Attributes::new().be32(1, VERDICT_REGISTER).nest(2, value))
    }

    pub fn into_expressions(self) -> Attributes {
        self.0
    }
}

//! What a transaction makes and removes: tables, chains, rules, maps and their elements.

use super::expr::Rule;
use super::message::{APPEND, Attributes, Batch, CREATE};

pub const NEW_TABLE: u16 = 0;
pub const GET_TABLE: u16 = 1;
pub const DEL_TABLE: u16 = 2;
pub const NEW_CHAIN: u16 = 3;
pub const GET_CHAIN: u16 = 4;
pub const DEL_CHAIN: u16 = 5;
pub const NEW_RULE: u16 = 6;
pub const GET_RULE: u16 = 7;
pub const DEL_RULE: u16 = 8;
pub const NEW_SET: u16 = 9;
pub const GET_SET: u16 = 10;
pub const NEW_ELEMENT: u16 = 12;
pub const GET_ELEMENT: u16 = 13;
pub const DEL_ELEMENT: u16 = 14;
pub const NEW_GENERATION: u16 = 15;
pub const GET_GENERATION: u16 = 16;

/// Protocol families.
pub const INET: u8 = 1;
pub const NETDEV: u8 = 5;

/// Of tables.
const OWNED: u32 = 0x2;
const PERSISTENT: u32 = 0x4;
/// Of maps.
const MAP: u32 = 0x8;
const INTERVAL: u32 = 0x4;
/// What packets put into it, and it forgets again.
const FADING: u32 = 0x30;
/// As `nft` numbers its types.
const INTEGER: u32 = 4;
const ELEMENT_END: u32 = 1;
/// A nested attribute holds less than 64 KiB.
const ELEMENTS_AT_ONCE: usize = 400;

pub const ELEMENT_KEY: u16 = 1;
pub const ELEMENT_DATA: u16 = 2;
pub const ELEMENT_FLAGS: u16 = 3;

/// Of a map: what its keys and values are, so that `nft list` can show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ip4,
    Ip6,
    Mark,
    Interface,
    LinkAddress,
}

impl Kind {
    /// As `nft` numbers it, and bytes of the value.
    fn of(self) -> (u32, u32) {
        match self {
            Self::Ip4 => (7, 4),
            Self::Ip6 => (8, 16),
            Self::Mark => (19, 4),
            Self::Interface => (20, 4),
            Self::LinkAddress => (9, 6),
        }
    }
}

/// A map to 4-byte numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapShape {
    pub name: &'static str,
    pub key: &'static [Kind],
    pub has_intervals: bool,
}

impl MapShape {
    pub fn key_length(&self) -> u32 {
        self.key.iter().map(|kind| kind.of().1.next_multiple_of(4)).sum()
    }
}

/// One element. Values are numbers of 4 bytes in the machine's order; the end of an interval has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    pub key: Vec<u8>,
    pub value: Option<u32>,
}

/// A transaction on one table.
#[derive(Debug)]
pub struct Change<'a> {
    table: &'a str,
    family: u8,
    pub batch: Batch,
    n_sets: u32,
}

impl<'a> Change<'a> {
    pub fn new(table: &'a str, family: u8) -> Self {
        Self { table, family, batch: Batch::default(), n_sets: 0 }
    }

    fn push(&mut self, message: u16, flags: u16, attributes: Attributes) {
        self.batch.push(message, flags, self.family, attributes);
    }

    fn named(&self) -> Attributes {
        Attributes::new().text(1, self.table)
    }

    /// As it is, where there is one.
    pub fn make_table(&mut self) {
        self.push(NEW_TABLE, CREATE, self.named());
    }

    /// Nobody else may change it as long as the socket of this transaction is open; afterwards it stays,
    /// and is anybody's. Takes over one that was left so (Linux 6.9).
    pub fn make_own_table(&mut self) {
        self.push(NEW_TABLE, CREATE, self.named().be32(2, OWNED | PERSISTENT));
    }

    /// As [`Change::make_own_table`], but it goes with the socket.
    pub fn make_passing_table(&mut self) {
        self.push(NEW_TABLE, CREATE, self.named().be32(2, OWNED));
    }

    pub fn delete_table(&mut self) {
        self.push(DEL_TABLE, 0, self.named());
    }

    pub fn make_chain(&mut self, chain: &str) {
        self.push(NEW_CHAIN, CREATE, self.named().text(3, chain));
    }

    /// A chain at a hook; what it does not drop passes.
    pub fn make_base_chain(&mut self, chain: &str, hook: u32, priority: i32, device: Option<&str>) {
        let mut at = Attributes::new().be32(1, hook).be32(2, i32::cast_unsigned(priority));
        if let Some(device) = device {
            at = at.text(3, device);
        }
        let accept = 1;
        let chain = self.named().text(3, chain).nest(4, at).be32(5, accept).text(7, "filter");
        self.push(NEW_CHAIN, CREATE, chain);
    }

    pub fn delete_chain(&mut self, chain: &str) {
        self.push(DEL_CHAIN, 0, self.named().text(3, chain));
    }

    pub fn add_rule(&mut self, chain: &str, rule: Rule) {
        let rule = self.named().text(2, chain).nest(4, rule.into_expressions());
        self.push(NEW_RULE, CREATE | APPEND, rule);
    }

    /// Every rule of the chain.
    pub fn clear_chain(&mut self, chain: &str) {
        self.push(DEL_RULE, 0, self.named().text(2, chain));
    }

    pub fn make_map(&mut self, name: &str, shape: &MapShape) {
        self.map(name, shape, if shape.has_intervals { INTERVAL } else { 0 });
    }

    /// Packets write it.
    pub fn make_fading_map(&mut self, shape: &MapShape) {
        self.map(shape.name, shape, FADING);
    }

    fn map(&mut self, name: &str, shape: &MapShape, flags: u32) {
        self.n_sets += 1;
        // To `nft`, an interval over several fields at once is one large number.
        let is_number = shape.has_intervals && shape.key.len() > 1;
        let fields = shape.key.iter().fold(0, |all, kind| all << 6 | kind.of().0);
        let key_type = if is_number { INTEGER } else { fields };
        let (data_type, data_length) = Kind::Mark.of();
        let map = self
            .named()
            .text(2, name)
            .be32(3, MAP | flags)
            .be32(4, key_type)
            .be32(5, shape.key_length())
            .be32(6, data_type)
            .be32(7, data_length)
            .be32(10, self.n_sets);
        self.push(NEW_SET, CREATE, map);
    }

    pub fn add_elements(&mut self, map: &str, elements: &[Element]) {
        self.elements(NEW_ELEMENT, CREATE, map, elements, true);
    }

    pub fn remove_elements(&mut self, map: &str, elements: &[Element]) {
        self.elements(DEL_ELEMENT, 0, map, elements, false);
    }

    /// Everything in the map.
    pub fn clear_map(&mut self, map: &str) {
        self.push(DEL_ELEMENT, 0, self.named().text(2, map));
    }

    fn elements(
        &mut self,
        message: u16,
        flags: u16,
        map: &str,
        elements: &[Element],
        with_values: bool,
    ) {
        for chunk in elements.chunks(ELEMENTS_AT_ONCE) {
            let mut list = Attributes::new();
            for element in chunk {
                let key = Attributes::new().bytes(1, &element.key);
                let mut inside = Attributes::new().nest(ELEMENT_KEY, key);
                match element.value {
                    None => inside = inside.be32(ELEMENT_FLAGS, ELEMENT_END),
                    Some(value) if with_values => {
                        let value = Attributes::new().bytes(1, &value.to_ne_bytes());
                        inside = inside.nest(ELEMENT_DATA, value);
                    }
                    Some(_) => {}
                }
                list.extend(&Attributes::new().nest(1, inside));
            }
            self.push(message, flags, self.named().text(2, map).nest(3, list));
        }
    }
}

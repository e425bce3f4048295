//! Tells at once when somebody else has changed the table.

use std::os::fd::{AsFd, BorrowedFd};

use super::Table;
use crate::nft::message::{Attributes, TABLES, text};
use crate::nft::objects::{GET_RULE, INET, NEW_GENERATION};
use crate::nft::socket::Socket;
use crate::node::EnforceError;

/// Of nftables: every change of any table.
const GROUP_TABLES: u32 = 7;

pub struct Alarm {
    socket: Socket,
    /// By which our own changes are told.
    own: u32,
}

impl Alarm {
    pub fn open(own: u32) -> Result<Self, EnforceError> {
        let socket = Socket::open()?;
        // A large change of our own would fill the socket.
        socket.ignore(own)?;
        socket.join(GROUP_TABLES)?;
        Ok(Self { socket, own })
    }

    /// Whether something was told of the table, and whether something else may have got lost.
    fn hear(&mut self, table: &str) -> (bool, bool) {
        let (mut is_changed, own) = (false, self.own);
        let is_complete = self.socket.take(|message| {
            is_changed |= message.kind >> 8 == TABLES
                && message.port != own
                && message.kind & 0xff != NEW_GENERATION
                && message.find(1).map(text) == Some(table);
        });
        (is_changed, !is_complete)
    }
}

impl Table {
    /// Becomes readable when anybody else has changed any table.
    pub fn alarm(&self) -> BorrowedFd<'_> {
        self.alarm.socket.as_fd()
    }

    /// Whether somebody else has changed the table since the last call.
    pub fn is_changed(&mut self) -> Result<bool, EnforceError> {
        let (is_changed, is_lost) = self.alarm.hear(&self.name);
        if is_changed || !is_lost {
            return Ok(is_changed);
        }
        let n_rules = self.count_rules()?;
        if *self.n_rules.get_or_insert(n_rules) != n_rules || n_rules == 0 {
            return Ok(true);
        }
        for (map, meant) in self.banks.meant() {
            if self.read(&map)? != meant {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn count_rules(&mut self) -> Result<usize, EnforceError> {
        let mut n_rules = 0;
        let asked = Attributes::new().text(1, &self.name);
        self.socket.dump("list the rules", (TABLES << 8 | GET_RULE, INET), &asked, |_| {
            n_rules += 1;
        })?;
        Ok(n_rules)
    }
}

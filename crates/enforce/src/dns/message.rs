//! DNS messages: what was asked, and which names lead to which addresses.
//!
//! An address belongs to the name that was asked for and to every name on the way to it within the one
//! message. Nothing else in a message counts, whatever section it stands in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bulkhead_types::names::{is_name, normal_name};
use domain::base::iana::{Class, Opcode, Rcode};
use domain::base::name::ParsedName;
use domain::base::{Message, ParsedRecord, Rtype};
use domain::rdata::{A, Aaaa, Cname};

use crate::dns::Answer;
use crate::limits::dns::{CHAIN_MAX, RECORDS_MAX};

/// What a message asks, or answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub id: u16,
    /// Normal; the wire's letter case is not kept.
    pub name: String,
    pub kind: u16,
}

/// Nothing can be learned from the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread;

/// What a query asks.
pub fn question(bytes: &[u8]) -> Result<Question, Unread> {
    let message = Message::from_octets(bytes).map_err(|_| Unread)?;
    if message.header().qr() {
        return Err(Unread);
    }
    asked(&message)
}

/// What a response answers, and with which addresses.
pub fn answer(bytes: &[u8]) -> Result<(Question, Answer), Unread> {
    let message = Message::from_octets(bytes).map_err(|_| Unread)?;
    if !message.header().qr() {
        return Err(Unread);
    }
    let question = asked(&message)?;
    if message.header().rcode() != Rcode::NOERROR {
        return Ok((question, Answer::default()));
    }
    let mut ways = Ways::default();
    for record in message.answer().map_err(|_| Unread)?.take(RECORDS_MAX) {
        ways.take(&record.map_err(|_| Unread)?)?;
    }
    let addresses = ways.addresses_of(&question.name);
    Ok((question, Answer { addresses }))
}

fn asked(message: &Message<&[u8]>) -> Result<Question, Unread> {
    let question = message.sole_question().map_err(|_| Unread)?;
    if message.header().opcode() != Opcode::QUERY || question.qclass() != Class::IN {
        return Err(Unread);
    }
    Ok(Question {
        id: message.header().id(),
        name: text(question.qname())?,
        kind: question.qtype().to_int(),
    })
}

/// As names are written. Bytes that no name in a rule can have are kept apart by escapes.
fn text(name: &ParsedName<impl AsRef<[u8]>>) -> Result<String, Unread> {
    Ok(normal_name(&name.to_string()))
}

/// What the records say.
#[derive(Debug, Default)]
struct Ways {
    /// By name: names that it stands for, and seconds.
    targets: BTreeMap<String, Vec<(String, u32)>>,
    addresses: Vec<(String, IpAddr, u32)>,
}

impl Ways {
    fn take(&mut self, record: &ParsedRecord<'_, &[u8]>) -> Result<(), Unread> {
        if record.class() != Class::IN {
            return Ok(());
        }
        let ttl = record.ttl().as_secs();
        match record.rtype() {
            Rtype::A => {
                let data = record.to_record::<A>().map_err(|_| Unread)?.ok_or(Unread)?;
                let address = IpAddr::V4(data.data().addr());
                self.addresses.push((text(&record.owner())?, address, ttl));
            }
            Rtype::AAAA => {
                let data = record.to_record::<Aaaa>().map_err(|_| Unread)?.ok_or(Unread)?;
                let address = IpAddr::V6(data.data().addr());
                self.addresses.push((text(&record.owner())?, address.to_canonical(), ttl));
            }
            Rtype::CNAME => {
                let data = record.to_record::<Cname<ParsedName<&[u8]>>>();
                let data = data.map_err(|_| Unread)?.ok_or(Unread)?;
                let target = text(data.data().cname())?;
                self.targets.entry(text(&record.owner())?).or_default().push((target, ttl));
            }
            _ => {}
        }
        Ok(())
    }

    /// Each address with the names that lead to it from `asked`, and the shortest time on the way.
    fn addresses_of(&self, asked: &str) -> Vec<(IpAddr, BTreeSet<String>, u32)> {
        let mut reached: BTreeMap<&str, (Vec<&str>, u32)> = BTreeMap::new();
        reached.insert(asked, (vec![asked], u32::MAX));
        let mut edge = vec![asked];
        for _ in 0..CHAIN_MAX {
            let mut next = Vec::new();
            for name in edge {
                let Some((way, ttl)) = reached.get(name).cloned() else { continue };
                for (target, its_ttl) in self.targets.get(name).into_iter().flatten() {
                    if !reached.contains_key(target.as_str()) {
                        let way = way.iter().copied().chain([target.as_str()]).collect();
                        reached.insert(target, (way, ttl.min(*its_ttl)));
                        next.push(target.as_str());
                    }
                }
            }
            edge = next;
        }
        let mut addresses: BTreeMap<IpAddr, (BTreeSet<String>, u32)> = BTreeMap::new();
        for (owner, address, its_ttl) in &self.addresses {
            let Some((way, ttl)) = reached.get(owner.as_str()) else { continue };
            let names = way.iter().filter(|name| is_name(name)).map(|name| (*name).to_owned());
            let known = addresses.entry(*address).or_insert((BTreeSet::new(), u32::MAX));
            known.0.extend(names);
            known.1 = known.1.min(*ttl).min(*its_ttl);
        }
        let all = addresses.into_iter().filter(|(_, (names, _))| !names.is_empty());
        all.map(|(address, (names, ttl))| (address, names, ttl)).collect()
    }
}

#[cfg(test)]
mod tests;

//! Link addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The link (MAC) address of one Ethernet interface: not zero, and not a group's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "[u8; 6]", into = "[u8; 6]")]
pub struct Mac([u8; 6]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the link address of one interface, such as `02:00:5e:10:00:01`")]
pub struct MacError;

impl Mac {
    pub fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl TryFrom<[u8; 6]> for Mac {
    type Error = MacError;

    fn try_from(octets: [u8; 6]) -> Result<Self, MacError> {
        let is_group = octets[0] & 1 != 0;
        if is_group || octets == [0; 6] { Err(MacError) } else { Ok(Self(octets)) }
    }
}

impl From<Mac> for [u8; 6] {
    fn from(mac: Mac) -> Self {
        mac.0
    }
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts
                .next()
                .filter(|part| part.len() == 2 && !part.starts_with('+'))
                .ok_or(MacError)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| MacError)?;
        }
        if parts.next().is_some() { Err(MacError) } else { Self::try_from(octets) }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_address_is_read_and_written() {
        let mac: Mac = "02:00:5e:10:00:aF".parse().unwrap();
        assert_eq!(mac.octets(), [2, 0, 0x5e, 0x10, 0, 0xaf]);
        assert_eq!(mac.to_string(), "02:00:5e:10:00:af");
        assert_eq!("02-00-5e-10-00-af".parse(), Ok(mac));
    }

    #[test]
    fn what_no_interface_has_is_refused() {
        for text in [
            "",
            "02:00:5e:10:00",
            "02:00:5e:10:00:01:02",
            "2:0:5e:10:0:1",
            "0x:00:00:00:00:01",
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:01",
            "+2:00:5e:10:00:01",
        ] {
            assert_eq!(text.parse::<Mac>(), Err(MacError), "{text}");
        }
    }
}

//! Continue tokens: the revision of the first page and where the last page ended.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulkhead_apimachinery::status::Status;
use bulkhead_store::{Key, ResourceVersion};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continuation {
    pub revision: ResourceVersion,
    pub after: Key,
}

impl Continuation {
    pub fn encode(&self) -> String {
        let Key { namespace, name, .. } = &self.after;
        URL_SAFE_NO_PAD.encode(format!("v1/{}/{namespace}/{name}", self.revision))
    }

    /// A token is only good for the collection it was given for; `resource` says which.
    pub fn decode(token: &str, resource: String) -> Result<Self, Status> {
        let read = || {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
            let mut parts = text.splitn(4, '/');
            let ("v1", revision) = (parts.next()?, parts.next()?.parse().ok()?) else {
                return None;
            };
            let after = Key::new(resource, parts.next()?, parts.next()?);
            Some(Self { revision, after })
        };
        read().ok_or_else(|| Status::bad_request("continue key is not valid: not made here"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_went() {
        let after = Key::new("pods", "shop", "web");
        let token = Continuation { revision: ResourceVersion(7), after };
        assert_eq!(Continuation::decode(&token.encode(), "pods".into()), Ok(token));
    }

    #[test]
    fn other_text_is_no_token() {
        for bad in ["", "x", "djIvMS9hL2I", "////", "djEveC9hL2I"] {
            assert!(Continuation::decode(bad, "pods".into()).is_err(), "{bad}");
        }
    }
}

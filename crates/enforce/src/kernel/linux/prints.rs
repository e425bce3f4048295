//! What a part of the maps looks like, in one number: quicker to make than the part is to compare, and the
//! same as long as nothing was written to it.

use std::hash::{DefaultHasher, Hasher};

use bulkhead_enforce_abi::CONFIG_TO_HOST;

use super::Linux;
use crate::node::EnforceError;

impl Linux {
    pub fn print_endpoints(&self) -> Result<u64, EnforceError> {
        let mut hasher = DefaultHasher::new();
        self.endpoints.print(&mut hasher)?;
        self.interfaces.print(&mut hasher)?;
        self.hosts.print(&mut hasher)?;
        self.locals.print(&mut hasher)?;
        self.failsafes.print(&mut hasher)?;
        hasher.write_u64(self.config.get(&CONFIG_TO_HOST)?.unwrap_or(0));
        Ok(hasher.finish())
    }
}

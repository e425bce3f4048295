//! How much of what Log rules match the agent writes down.

use clap::Args;

use super::ConfigError;
use crate::log_events::LogRate;

/// More could never be written.
const PER_SECOND_MAX: u32 = 1_000_000;

#[derive(Clone, Copy, Debug, Args)]
pub struct LogArgs {
    /// Events of Log rules that are written in a second, as long as it takes; may be a fraction, 0 writes
    /// none. Flow records name the rules in any case
    #[arg(long = "log-events-per-second", value_name = "NUMBER", default_value_t = 100.0)]
    pub per_second: f64,
    /// Events of Log rules that may be written at once
    #[arg(long = "log-events-burst", value_name = "N", default_value_t = 500)]
    pub burst: u32,
}

impl LogArgs {
    pub fn check(self) -> Result<LogRate, ConfigError> {
        let Self { per_second, burst } = self;
        if !(0.0..=f64::from(PER_SECOND_MAX)).contains(&per_second) {
            return Err(ConfigError::LogRate { value: per_second, most: PER_SECOND_MAX });
        }
        Ok(LogRate { per_second, burst })
    }
}

//! The time of day, as policies that expire are told it.

use bulkhead_policy::rule::Moment;
use jiff::Timestamp;

pub fn now() -> Moment {
    Moment(Timestamp::now().as_nanosecond())
}

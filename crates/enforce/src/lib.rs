//! bulkhead-enforce

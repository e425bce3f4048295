//! bulkhead-testbed

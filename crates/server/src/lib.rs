//! bulkhead-server

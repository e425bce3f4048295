//! bulkhead-store

//! bulkhead-agent

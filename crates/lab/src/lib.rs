//! bulkhead-lab

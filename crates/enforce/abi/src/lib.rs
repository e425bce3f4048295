//! bulkhead-enforce-abi

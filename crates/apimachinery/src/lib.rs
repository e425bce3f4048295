//! bulkhead-apimachinery

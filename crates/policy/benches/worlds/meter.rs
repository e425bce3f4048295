//! CPU seconds, heap and percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use nix::time::{ClockId, clock_gettime};
use peak_alloc::PeakAlloc;
use serde_json::{Map, Value, json};

/// CPU time of this process so far.
pub fn cpu() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("the kernel keeps time");
    Duration::from(now)
}

/// CPU time and heap of what is run within [`Meter::run`], and the heap that stays in between.
pub struct Meter<'a> {
    spent: Duration,
    heap: Option<&'a PeakAlloc>,
    heap_before: usize,
}

impl<'a> Meter<'a> {
    pub fn start(heap: Option<&'a PeakAlloc>) -> Self {
        let heap_before = heap.map_or(0, |heap| {
            heap.reset_peak_usage();
            heap.current_usage()
        });
        Self { spent: Duration::ZERO, heap, heap_before }
    }

    pub fn run<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = cpu();
        let done = work();
        self.spent += cpu() - start;
        done
    }

    pub fn cpu_s(&self) -> f64 {
        self.spent.as_secs_f64()
    }

    /// Adds what a compile found, under the world's name.
    pub fn report(&self, world: &str, held_mb: f64, all: &mut Map<String, Value>) {
        match self.heap {
            Some(heap) => {
                let peak = heap.peak_usage().saturating_sub(self.heap_before);
                all.insert(format!("{world}_heap_mb"), json!(megabytes(peak)));
                all.insert(format!("{world}_held_mb"), json!(held_mb));
            }
            None => {
                all.insert(format!("{world}_cpu_s"), json!(rounded(self.cpu_s(), 3)));
            }
        }
    }

    /// Allocated now and not before the start, in megabytes.
    pub fn held_mb(&self) -> f64 {
        let now = self.heap.map_or(0, PeakAlloc::current_usage);
        megabytes(now.saturating_sub(self.heap_before))
    }
}

fn megabytes(bytes: usize) -> f64 {
    rounded(bytes as f64 / 1e6, 1)
}

pub fn rounded(number: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (number * scale).round() / scale
}

/// Times of single changes, in nanoseconds.
pub struct Times(Histogram<u64>);

impl Times {
    pub fn new() -> Self {
        Self(
            Histogram::new_with_bounds(1, 60_000_000_000, 3)
                .expect("bounds and digits are allowed"),
        )
    }

    pub fn add(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// In units of so many nanoseconds.
    pub fn p99(&self, unit_ns: f64) -> f64 {
        rounded(self.0.value_at_quantile(0.99) as f64 / unit_ns, 2)
    }

    /// In units of so many nanoseconds.
    pub fn median(&self, unit_ns: f64) -> f64 {
        rounded(self.0.value_at_quantile(0.5) as f64 / unit_ns, 2)
    }

    /// In microseconds.
    pub fn percentiles(&self) -> Value {
        let at = |quantile: f64| rounded(self.0.value_at_quantile(quantile) as f64 / 1e3, 1);
        json!({
            "n": self.0.len(), "p50_us": at(0.5), "p90_us": at(0.9), "p99_us": at(0.99),
            "p999_us": at(0.999), "max_us": rounded(self.0.max() as f64 / 1e3, 1),
        })
    }
}

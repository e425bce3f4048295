//! The shop at work: services, customers, worker and scraper as tasks that end when this is dropped.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;

use super::{
    CUSTOMERS_NAME, Call, JOBS, METRICS_PORT, PAGES, SCRAPED, SCRAPER, Services, Tally, WORKER,
};
use crate::net::Net;
use crate::world::Endpoint;

/// Customers at the same time.
const N_CUSTOMERS: usize = 4;
/// How long a customer looks at a page, and the worker rests.
const PAUSE: Duration = Duration::from_millis(100);
const SCRAPE_EVERY: Duration = Duration::from_secs(1);

pub struct Traffic {
    services: Arc<Services>,
    tasks: JoinSet<()>,
}

impl Traffic {
    /// Opens all doors. No one calls yet.
    pub async fn open(net: Arc<Net>, endpoints: &[Endpoint]) -> Result<Self> {
        let (services, doors) = Services::open(net, endpoints).await?;
        let services = Arc::new(services);
        let mut tasks = JoinSet::new();
        for door in doors {
            let services = Arc::clone(&services);
            tasks.spawn(async move { match services.serve(door).await {} });
        }
        Ok(Self { services, tasks })
    }

    /// Lets customers in, the worker work and the scraper scrape.
    pub fn begin(&mut self) {
        for customer in 0..N_CUSTOMERS {
            let pages = PAGES.iter().copied().cycle().skip(customer);
            self.repeat(CUSTOMERS_NAME, pages, PAUSE);
        }
        self.repeat(WORKER, JOBS.iter().copied().cycle(), PAUSE);
        let metrics = |to: &&'static str| Call { to, port: METRICS_PORT, path: "/metrics" };
        let scrapes: Vec<Call> = SCRAPED.iter().map(metrics).collect();
        let pause = SCRAPE_EVERY / u32::try_from(scrapes.len()).unwrap_or(1);
        self.repeat(SCRAPER, scrapes.into_iter().cycle(), pause);
    }

    pub fn tally(&self) -> Tally {
        self.services.tally()
    }

    fn repeat(
        &mut self,
        from: &'static str,
        calls: impl Iterator<Item = Call> + Send + 'static,
        pause: Duration,
    ) {
        let services = Arc::clone(&self.services);
        self.tasks.spawn(async move {
            for call in calls {
                // the tally keeps what failed
                let _ = services.call(from, call).await;
                tokio::time::sleep(pause).await;
            }
        });
    }
}

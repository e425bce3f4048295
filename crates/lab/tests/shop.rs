//! The shop without enforcement: every call is answered, and nothing forbidden is stopped.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_lab::claim::Claim;
use bulkhead_lab::probe::Patience;
use bulkhead_lab::shop::{Traffic, snoop};
use bulkhead_lab::{Net, World, manifests};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shop_works_and_nothing_stops_the_snoop() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop");
    let objects = manifests::read(&[folder]).unwrap();
    let world = World::from_objects(&objects).unwrap();
    assert_eq!((world.endpoints.len(), world.nodes.len()), (13, 2));

    let claim = Arc::new(Claim::take().unwrap());
    let net = Arc::new(Net::up(Arc::clone(&claim), &world).await.unwrap());
    let mut traffic = Traffic::open(Arc::clone(&net), &world.endpoints).await.unwrap();
    traffic.begin();
    let until = Instant::now() + Duration::from_secs(10);
    while traffic.tally().n_ok < 300 {
        assert!(Instant::now() < until, "{:?}", traffic.tally());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(traffic.tally().failed.is_empty(), "{:?}", traffic.tally());

    let attempts = snoop::attempts();
    let outcomes = net.probe(&attempts, &Patience::default()).await.unwrap();
    let stopped = attempts.iter().zip(outcomes).filter(|(_, outcome)| !outcome.connected);
    assert_eq!(
        stopped.map(|(attempt, _)| &attempt.id).collect::<Vec<_>>(),
        Vec::<&serde_json::Value>::new()
    );
}

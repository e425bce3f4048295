//! Killed at any moment during 10,000 writes: what was acknowledged is there, and nothing else is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kube::Client;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::process::{PATIENCE, Server, get};

const WRITES: usize = 10_000;
const WRITERS: usize = 32;
const KEYS_PER_WRITER: usize = 4;
const COLLECTION: &str = "/apis/projectcalico.org/v3/namespaces/default/networksets";

/// The state of one key as its only writer knows it.
#[derive(Clone, Debug, Default)]
struct Known {
    /// What the last acknowledged write left there; `None`: nothing.
    acknowledged: Option<u64>,
    /// A write that was not answered before the server died: it may have happened or not.
    in_doubt: Option<Option<u64>>,
}

#[derive(Default)]
struct Ledger {
    keys: BTreeMap<String, Known>,
    /// Revisions that were answered; none may be given out twice.
    revisions: HashSet<u64>,
    acknowledged: usize,
    latencies: Vec<Duration>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_when_the_server_is_killed() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = u64::from(now.unwrap().subsec_nanos());
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::start();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let (mut kills, mut next_value) = (0, 1_u64);
    while ledger.lock().unwrap().acknowledged < WRITES {
        let client = server.client().await;
        verify(&client, &ledger).await;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                next_value += 1_000_000;
                let random = StdRng::seed_from_u64(random.random());
                tokio::spawn(write(client.clone(), writer, next_value, random, Arc::clone(&ledger)))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(random.random_range(20..1500))).await;
        server.kill();
        kills += 1;
        for writer in writers {
            writer.await.expect("a writer ends when the server does");
        }
        server.run();
    }
    verify(&server.client().await, &ledger).await;
    let ledger = ledger.lock().unwrap();
    let mut latencies = ledger.latencies.clone();
    latencies.sort();
    println!(
        "{} acknowledged writes, {kills} kills, latency p50 {:?} p99 {:?} at {WRITERS} writers",
        ledger.acknowledged,
        latencies[latencies.len() / 2],
        latencies[latencies.len() * 99 / 100],
    );
}

/// Creates, replaces and deletes its own keys until the server no longer answers.
async fn write(
    client: Client,
    writer: usize,
    mut value: u64,
    mut random: StdRng,
    ledger: Arc<Mutex<Ledger>>,
) {
    loop {
        let name = format!("w{writer}-{}", random.random_range(0..KEYS_PER_WRITER));
        let before = ledger.lock().unwrap().keys.entry(name.clone()).or_default().acknowledged;
        value += 1;
        let (method, path, body, intent) = match before {
            None => ("POST", COLLECTION.to_owned(), object(&name, value), Some(value)),
            Some(_) if random.random_ratio(1, 5) => {
                ("DELETE", format!("{COLLECTION}/{name}"), Value::Null, None)
            }
            Some(_) => ("PUT", format!("{COLLECTION}/{name}"), object(&name, value), Some(value)),
        };
        ledger.lock().unwrap().keys.entry(name.clone()).or_default().in_doubt = Some(intent);
        let started = Instant::now();
        let Some((code, answer)) = try_send(&client, method, &path, &body).await else { return };
        assert!((200..300).contains(&code), "{method} {name}: {code} {answer}");
        let mut ledger = ledger.lock().unwrap();
        ledger.latencies.push(started.elapsed());
        ledger.acknowledged += 1;
        if method != "DELETE" {
            let revision = answer["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
            assert!(ledger.revisions.insert(revision), "revision {revision} was given twice");
        }
        ledger.keys.insert(name, Known { acknowledged: intent, in_doubt: None });
    }
}

/// Two copies of the value far apart: a torn object would have two different ones.
fn object(name: &str, value: u64) -> Value {
    json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkSet",
        "metadata": {"name": name, "labels": {"first": value.to_string()}},
        "spec": {"nets": vec!["10.0.0.0/8"; 50]},
    })
    .as_object()
    .map(|fields| {
        let mut fields = fields.clone();
        fields["metadata"]["annotations"] = json!({"last": value.to_string()});
        Value::Object(fields)
    })
    .unwrap()
}

/// `None` when the connection broke: the write is in doubt.
async fn try_send(client: &Client, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    use http_body_util::BodyExt;
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(kube::client::Body::from(body))
        .unwrap();
    let response = tokio::time::timeout(PATIENCE, client.send(request)).await.expect("in time");
    let response = response.ok()?;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.ok()?.to_bytes();
    Some((code, serde_json::from_slice(&bytes).ok()?))
}

/// Compares all there is with all that may be, and settles what was in doubt.
async fn verify(client: &Client, ledger: &Mutex<Ledger>) {
    let answer = get(client, COLLECTION).await;
    assert_eq!(answer.code, 200);
    let mut found: HashMap<&str, u64> = HashMap::new();
    let latest: u64 = answer.text("/metadata/resourceVersion").parse().unwrap();
    for item in answer.body["items"].as_array().unwrap() {
        let (name, labels) = (&item["metadata"]["name"], &item["metadata"]["labels"]);
        let first = labels["first"].as_str().unwrap();
        assert_eq!(Some(first), item["metadata"]["annotations"]["last"].as_str(), "torn: {item}");
        assert_eq!(item["spec"]["nets"].as_array().unwrap().len(), 50, "torn: {item}");
        found.insert(name.as_str().unwrap(), first.parse().unwrap());
    }
    let mut ledger = ledger.lock().unwrap();
    let newest = ledger.revisions.iter().max().copied().unwrap_or_default();
    assert!(latest >= newest, "revision {newest} was answered, now it is {latest}");
    for (name, known) in &mut ledger.keys {
        let now = found.remove(name.as_str());
        let may_be = now == known.acknowledged || Some(now) == known.in_doubt;
        assert!(may_be, "{name} is {now:?}, but {known:?}");
        *known = Known { acknowledged: now, in_doubt: None };
    }
    assert!(found.is_empty(), "nobody wrote {found:?}");
}

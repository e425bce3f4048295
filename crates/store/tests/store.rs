//! The contract of [`Store`], on the embedded back end.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "tests fail by panic")]

use std::sync::Arc;
use std::time::Duration;

use bulkhead_store::{
    Batch, CommitError, Expect, Expired, Key, Limits, ListRequest, RedbStore, ResourceVersion,
    Scope, Store, Stored, Write,
};
use serde_json::{Value, json};

fn mk_store(log_events_max: usize) -> RedbStore {
    let limits = Limits { log_events_max, ..Limits::default() };
    RedbStore::in_memory(limits).expect("an in-memory store opens")
}

fn pod(name: &str) -> Key {
    Key::new("pods", "default", name)
}

fn body(text: &str) -> Value {
    json!({"metadata": {"name": "x"}, "data": text})
}

async fn put(store: &RedbStore, key: Key, text: &str) -> Arc<Stored> {
    let write = Write::Put { key, expect: Expect::Anything, value: body(text) };
    let done = store.commit(write.into()).await.expect("the write is taken");
    done.objects[0].clone().expect("a put has a new state")
}

async fn delete(store: &RedbStore, key: Key) {
    let write = Write::Delete { key, expect: Expect::Present };
    store.commit(write.into()).await.expect("the delete is taken");
}

fn names_at(store: &RedbStore, at: Option<ResourceVersion>) -> Result<Vec<String>, Expired> {
    let request = ListRequest { at, ..ListRequest::all(Scope::resource("pods")) };
    let page = store.list(&request)?;
    Ok(page.items.iter().map(|o| format!("{}={}", o.key.name, o.value["data"])).collect())
}

#[tokio::test]
async fn every_write_takes_the_next_revision_and_carries_it() {
    let store = mk_store(100);
    let first = put(&store, pod("a"), "1").await;
    let second = put(&store, pod("b"), "1").await;
    assert_eq!(second.revision, first.revision.next());
    assert_eq!(store.revision(), second.revision);
    assert_eq!(second.value["metadata"]["resourceVersion"], second.revision.to_string());
}

#[tokio::test]
async fn a_write_that_expects_something_else_is_refused() {
    let store = mk_store(100);
    let a = put(&store, pod("a"), "1").await;
    let create = store.commit(Write::create(pod("a"), body("2")).into()).await;
    assert_eq!(create, Err(CommitError::Exists { key: pod("a") }));
    let stale = ResourceVersion(a.revision.0 - 1);
    let replace = store.commit(Write::replace(pod("a"), stale, body("2")).into()).await;
    let moved = CommitError::Moved { key: pod("a"), expected: stale, found: a.revision };
    assert_eq!(replace, Err(moved));
    let gone = store.commit(Write::delete(pod("b"), a.revision).into()).await;
    assert_eq!(gone, Err(CommitError::Absent { key: pod("b") }));
    assert_eq!(store.revision(), a.revision, "refused writes take no revision");
    store
        .commit(Write::replace(pod("a"), a.revision, body("2")).into())
        .await
        .expect("it is current");
}

#[tokio::test]
async fn a_batch_is_applied_whole_or_not_at_all() {
    let store = mk_store(100);
    put(&store, pod("a"), "1").await;
    let mut batch = Batch::from(Write::create(pod("b"), body("1")));
    batch.writes.push(Write::create(pod("a"), body("1")));
    assert!(store.commit(batch).await.is_err());
    assert!(store.get(&pod("b")).is_none());

    let guarded =
        Batch::from(Write::create(pod("b"), body("1"))).guarded(pod("c"), Expect::Present);
    assert_eq!(store.commit(guarded).await, Err(CommitError::Absent { key: pod("c") }));
    let guarded =
        Batch::from(Write::create(pod("b"), body("1"))).guarded(pod("a"), Expect::Present);
    store.commit(guarded).await.expect("the guard holds");
}

#[tokio::test]
async fn an_object_that_is_too_large_is_refused() {
    let store = mk_store(100);
    let value = body(&"x".repeat(2 * 1024 * 1024));
    let answer = store.commit(Write::create(pod("a"), value).into()).await;
    assert!(matches!(answer, Err(CommitError::TooLarge { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_list_shows_the_revision_it_asks_for() {
    let store = mk_store(100);
    put(&store, pod("a"), "1").await;
    put(&store, pod("c"), "1").await;
    let then = store.revision();
    put(&store, pod("a"), "2").await;
    put(&store, pod("a"), "3").await;
    put(&store, pod("b"), "1").await;
    delete(&store, pod("c")).await;
    assert_eq!(names_at(&store, Some(then)).unwrap(), [r#"a="1""#, r#"c="1""#]);
    assert_eq!(names_at(&store, None).unwrap(), [r#"a="3""#, r#"b="1""#]);
}

#[tokio::test]
async fn pages_of_one_list_are_of_one_revision() {
    let store = mk_store(100);
    for name in ["a", "b", "c", "d", "e"] {
        put(&store, pod(name), "1").await;
    }
    let scope = || Scope::Namespace { resource: "pods".into(), namespace: "default".into() };
    let first = store.list(&ListRequest { limit: 2, ..ListRequest::all(scope()) }).unwrap();
    assert_eq!((first.items.len(), first.n_remaining), (2, 3));
    delete(&store, pod("c")).await;
    put(&store, pod("bb"), "late").await;
    let rest = ListRequest {
        at: Some(first.revision),
        after: Some(first.items[1].key.clone()),
        ..ListRequest::all(scope())
    };
    let rest = store.list(&rest).unwrap();
    let names: Vec<_> = rest.items.iter().map(|o| o.key.name.as_str()).collect();
    assert_eq!(names, ["c", "d", "e"]);
}

#[tokio::test]
async fn a_watch_sees_every_change_of_its_scope_in_order() {
    let store = mk_store(100);
    let from = store.revision();
    put(&store, pod("a"), "1").await;
    let mut watch = store.watch(from, Scope::resource("pods")).unwrap();
    put(&store, Key::new("services", "default", "s"), "1").await;
    put(&store, pod("a"), "2").await;
    delete(&store, pod("a")).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let next = tokio::time::timeout(Duration::from_secs(10), watch.next()).await;
        seen.extend(next.expect("in time").expect("open").expect("not expired"));
    }
    let shape: Vec<_> = seen.iter().map(|e| (e.old.is_some(), e.new.is_some())).collect();
    assert_eq!(shape, [(false, true), (true, true), (true, false)]);
    assert_eq!(watch.seen(), store.revision());
}

#[tokio::test]
async fn history_beyond_the_log_is_expired() {
    let store = mk_store(5);
    let start = store.revision();
    let mut slow = store.watch(start, Scope::Everything).unwrap();
    for n in 0..20 {
        put(&store, pod("a"), &n.to_string()).await;
    }
    let oldest = ResourceVersion(store.revision().0 - 5);
    let expired = Expired { asked: start, oldest };
    assert_eq!(slow.next().await.expect("open").expect_err("too far behind"), expired);
    assert_eq!(store.watch(start, Scope::Everything).err(), Some(expired));
    assert_eq!(names_at(&store, Some(start)), Err(expired));
    assert!(store.watch(oldest, Scope::Everything).is_ok());
    assert_eq!(names_at(&store, Some(oldest)).unwrap(), [r#"a="14""#]);
}

#[tokio::test]
async fn bytes_bound_the_log_as_well() {
    let limits = Limits { log_events_max: 1000, log_bytes_max: 10_000 };
    let store = RedbStore::in_memory(limits).unwrap();
    let start = store.revision();
    for _ in 0..20 {
        put(&store, pod("a"), &"x".repeat(3000)).await;
    }
    assert!(store.watch(start, Scope::Everything).is_err());
    assert!(store.watch(ResourceVersion(store.revision().0 - 3), Scope::Everything).is_ok());
}

#[tokio::test]
async fn a_reopened_store_has_the_same_objects_and_history() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("objects.redb");
    let store = RedbStore::open(&path, Limits::default()).unwrap();
    put(&store, pod("a"), "1").await;
    let then = store.revision();
    put(&store, pod("a"), "2").await;
    delete(&store, pod("a")).await;
    put(&store, pod("b"), "1").await;
    let (before, revision) = (names_at(&store, Some(then)).unwrap(), store.revision());
    drop(store);

    let store = RedbStore::open(&path, Limits::default()).unwrap();
    assert_eq!(store.revision(), revision);
    assert_eq!(names_at(&store, Some(then)).unwrap(), before);
    assert_eq!(names_at(&store, None).unwrap(), [r#"b="1""#]);
    let mut watch = store.watch(then, Scope::Everything).unwrap();
    let events = watch.next().await.unwrap().unwrap();
    let shape: Vec<_> = events.iter().map(|e| (e.old.is_some(), e.new.is_some())).collect();
    assert_eq!(shape, [(true, true), (true, false), (false, true)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_of_one_object_never_lose_an_update() {
    let store = Arc::new(mk_store(10_000));
    put(&store, pod("count"), "0").await;
    let add = |store: Arc<RedbStore>| async move {
        for _ in 0..50 {
            loop {
                let now = store.get(&pod("count")).unwrap();
                let n: u64 = now.value["data"].as_str().unwrap().parse().unwrap();
                let write = Write::replace(pod("count"), now.revision, body(&(n + 1).to_string()));
                if store.commit(write.into()).await.is_ok() {
                    break;
                }
            }
        }
    };
    let tasks: Vec<_> = (0..8).map(|_| tokio::spawn(add(Arc::clone(&store)))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.get(&pod("count")).unwrap().value["data"], "400");
}

use serde_json::json;

use super::*;

fn key(n: usize) -> Key {
    Key::new("pods", "app", format!("p{n:05}"))
}

fn put(n: usize, label: &str) -> Change {
    Change::Put(key(n), json!({"metadata": {"resourceVersion": "upstream", "labels": label}}))
}

fn mk_mirror(log_events_max: usize) -> Mirror {
    Mirror::new(ResourceVersion(7), Limits { log_events_max, ..Limits::default() })
}

#[tokio::test]
async fn a_watch_gets_a_batch_whole_however_long_it_is_and_however_short_the_history() {
    let mirror = mk_mirror(3);
    let mut watch = mirror.watch(mirror.revision(), Scope::Everything).unwrap();
    for label in ["a", "b"] {
        mirror.replay((0..1000).map(|n| put(n, label)).collect());
    }
    let events = watch.next().await.unwrap().unwrap();
    assert_eq!(events.len(), 2000);
    assert_eq!(watch.seen(), mirror.revision());

    // what was read may be forgotten
    mirror.replay(vec![put(0, "c")]);
    watch.next().await.unwrap().unwrap();
    mirror.replay(vec![put(0, "d")]);
    assert!(mirror.watch(ResourceVersion(7), Scope::Everything).is_err());
    assert_eq!(watch.next().await.unwrap().unwrap().len(), 1);
}

#[test]
fn what_says_the_same_is_no_change_and_objects_keep_the_version_they_came_with() {
    let mirror = mk_mirror(100);
    let first = mirror.replay(vec![put(1, "a"), put(2, "a")]);
    assert_eq!(first, ResourceVersion(9));
    assert_eq!(mirror.replay(vec![put(1, "a"), Change::Remove(key(3))]), first);
    let stored = mirror.get(&key(1)).unwrap();
    assert_eq!(stored.value["metadata"]["resourceVersion"], "upstream");
    let gone = vec![put(1, "b"), Change::Remove(key(1))];
    assert_eq!(mirror.replay(gone), first.next());
    assert!(mirror.get(&key(1)).is_none());
}

#[tokio::test]
async fn writers_are_turned_away() {
    let error = mk_mirror(1).commit(Batch::default()).await.unwrap_err();
    assert!(matches!(error, CommitError::Unavailable { .. }), "{error}");
}

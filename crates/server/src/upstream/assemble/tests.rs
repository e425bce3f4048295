use bulkhead_store::{Limits, Mirror, ResourceVersion};
use serde_json::json;

use super::*;

const PODS: Kind = Kind::Pod;
const NAMESPACES: Kind = Kind::Namespace;

struct World {
    assembler: Assembler,
    mirror: Mirror,
    now: Instant,
}

fn mk_world() -> World {
    let mirror = Mirror::new(ResourceVersion(1), Limits::default());
    World { assembler: Assembler::new([PODS, NAMESPACES]), mirror, now: Instant::now() }
}

fn key(kind: Kind, name: &str) -> Key {
    Key::new(kinds::by_id(kind).qualified_plural(), "", name)
}

fn value(label: &str) -> Value {
    json!({"metadata": {"labels": label}})
}

impl World {
    fn hear(&mut self, kind: Kind, heard: Heard) {
        self.assembler.hear(Word { kind, heard });
    }

    fn list(&mut self, kind: Kind, generation: u64, names: &[&str]) {
        let objects = names.iter().map(|name| (key(kind, name), value("a"))).collect();
        self.hear(kind, Heard::Listed { generation, objects });
    }

    fn take(&mut self) -> Option<Taken> {
        let taken = self.assembler.take(self.now, &self.mirror)?;
        self.mirror.replay(taken.changes.clone());
        Some(taken)
    }

    /// What the mirror holds.
    fn names(&self) -> Vec<String> {
        let page = self.mirror.list(&ListRequest::all(Scope::Everything)).unwrap();
        page.items.iter().map(|stored| stored.key.name.clone()).collect()
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }
}

#[test]
fn nothing_is_taken_before_every_kind_is_known_however_long_it_takes() {
    let mut world = mk_world();
    world.list(PODS, 0, &["web"]);
    assert_eq!(world.take(), None);
    world.hear(NAMESPACES, Heard::Failed("forbidden".to_owned()));
    world.wait(Duration::from_secs(86_400));
    assert_eq!(world.take(), None);
    assert_eq!(world.assembler.hold_ends(), None);

    world.list(NAMESPACES, 0, &["app"]);
    assert!(world.take().is_some_and(|taken| taken.is_everything));
    assert_eq!(world.names(), ["app", "web"]);
}

#[test]
fn a_kind_that_is_not_installed_is_known() {
    let mut world = mk_world();
    world.list(PODS, 0, &["web"]);
    world.hear(NAMESPACES, Heard::NotInstalled { generation: 0 });
    assert!(world.take().is_some_and(|taken| taken.is_everything));
    // and is taken up when it comes
    world.list(NAMESPACES, 0, &["app"]);
    assert!(world.take().is_some_and(|taken| !taken.is_everything));
    assert_eq!(world.names(), ["app", "web"]);
}

#[test]
fn after_a_cut_all_kinds_are_taken_over_together_and_what_vanished_is_gone() {
    let mut world = mk_world();
    world.list(PODS, 0, &["web", "old"]);
    world.list(NAMESPACES, 0, &["app"]);
    world.take();

    world.assembler.aim(1);
    world.list(PODS, 1, &["web", "new"]);
    assert_eq!(world.take(), None, "the namespaces are those of before");
    assert_eq!(world.names(), ["app", "old", "web"]);
    // a list that was begun before the cut does not count
    world.list(NAMESPACES, 0, &["app"]);
    assert_eq!(world.take(), None);
    world.hear(PODS, Heard::Put(key(PODS, "newer"), value("a")));
    world.list(NAMESPACES, 1, &["shop"]);
    assert!(world.take().is_some_and(|taken| taken.is_everything));
    assert_eq!(world.names(), ["shop", "new", "newer", "web"]);
}

#[test]
fn a_kind_that_stays_silent_after_a_cut_holds_the_others_for_a_bounded_time_and_keeps_its_objects()
{
    let mut world = mk_world();
    world.list(PODS, 0, &["web"]);
    world.list(NAMESPACES, 0, &["app"]);
    world.take();

    world.assembler.aim(1);
    assert_eq!(world.assembler.hold_ends(), None, "nothing waits");
    world.list(PODS, 1, &["new"]);
    assert_eq!(world.take(), None);
    world.wait(HOLD_MAX);
    assert!(world.assembler.hold_ends().is_some_and(|end| end <= world.now));
    let taken = world.take().unwrap();
    assert_eq!((taken.left_out, taken.is_everything), (vec![NAMESPACES], false));
    assert_eq!(world.names(), ["app", "new"]);

    // nobody waits for it a second time
    world.hear(PODS, Heard::Put(key(PODS, "newer"), value("a")));
    assert!(world.take().is_some());
    world.list(NAMESPACES, 1, &[]);
    assert!(world.take().is_some_and(|taken| taken.is_everything));
    assert_eq!(world.names(), ["new", "newer"]);
}

#[test]
fn a_kind_that_lost_history_alone_is_listed_anew_without_holding_the_others() {
    let mut world = mk_world();
    world.list(PODS, 0, &["web"]);
    world.list(NAMESPACES, 0, &["app"]);
    world.take();
    world.hear(NAMESPACES, Heard::Failed("410".to_owned()));
    world.hear(PODS, Heard::Removed(key(PODS, "web")));
    assert!(world.take().is_some());
    world.list(NAMESPACES, 0, &["shop"]);
    assert!(world.take().is_some_and(|taken| !taken.is_everything));
    assert_eq!(world.names(), ["shop"]);
}

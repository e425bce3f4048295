//! Laws of apply, on random objects and random managers.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::*;
use super::{author, pod};

const MANAGERS: &[&str] = &["alice", "bob", "carol"];

/// A pod with a few labels, containers and finalizers, drawn from few names so that they meet.
fn config() -> impl Strategy<Value = Value> {
    let labels = prop::collection::btree_map("[a-c]", "[0-2]", 0..3);
    let port = (80_u16..82, prop::option::of("[st]"));
    let ports = prop::collection::btree_map(80_u16..82, port, 0..2);
    let container = (prop::option::of("[0-2]"), ports);
    let containers = prop::collection::btree_map("[x-z]", container, 0..3);
    let finalizers = prop::collection::btree_set("[f-h]", 0..3);
    (labels, containers, finalizers).prop_map(|(labels, containers, finalizers)| {
        let mut items = Vec::new();
        for (name, (image, ports)) in containers {
            let mut item = Map::new();
            item.insert("name".to_owned(), json!(name));
            item.extend(image.map(|image| ("image".to_owned(), json!(image))));
            let ports: Vec<Value> = ports
                .into_iter()
                .map(|(number, (_, name))| json!({"containerPort": number, "name": name.unwrap_or("u".into())}))
                .collect();
            if !ports.is_empty() {
                item.insert("ports".to_owned(), json!(ports));
            }
            items.push(Value::Object(item));
        }
        let mut object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
        if !labels.is_empty() {
            object["metadata"]["labels"] = json!(labels);
        }
        if !finalizers.is_empty() {
            object["metadata"]["finalizers"] = json!(finalizers);
        }
        if !items.is_empty() {
            object["spec"] = json!({"containers": items});
        }
        object
    })
}

#[derive(Clone, Debug)]
enum Step {
    Apply(usize, Value),
    Update(usize, Value),
}

fn step() -> impl Strategy<Value = Step> {
    let manager = 0..MANAGERS.len();
    prop_oneof![
        (manager.clone(), config()).prop_map(|(m, c)| Step::Apply(m, c)),
        (manager, config()).prop_map(|(m, c)| Step::Update(m, c)),
    ]
}

fn take(live: &Value, step: &Step) -> Value {
    match step {
        Step::Apply(m, config) => apply(pod(), live, config, author(MANAGERS[*m]), true).unwrap(),
        Step::Update(m, object) => record_update(pod(), live, object.clone(), author(MANAGERS[*m])),
    }
}

fn history() -> impl Strategy<Value = Value> {
    prop::collection::vec(step(), 0..6)
        .prop_map(|steps| steps.iter().fold(json!({}), |live, step| take(&live, step)))
}

/// Whether `object` holds everything that `config` states.
fn holds(object: &Value, config: &Value) -> bool {
    let slot = pod().schema().slot();
    let (bare, _) = managed::split(object);
    tree::merge(slot, &bare, config) == bare || {
        let change = tree::compare(slot, &bare, &tree::merge(slot, &bare, config));
        change.added.is_empty() && change.modified.is_empty()
    }
}

proptest! {
    #[test]
    fn applying_twice_changes_nothing(live in history(), config in config()) {
        let once = apply(pod(), &live, &config, author("alice"), true).unwrap();
        let twice = apply(pod(), &once, &config, author("alice"), false).unwrap();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn what_is_applied_is_there_and_owned(live in history(), config in config()) {
        let object = apply(pod(), &live, &config, author("alice"), true).unwrap();
        prop_assert!(holds(&object, &config));
        let (_, managers) = managed::split(&object);
        let stated = managed::tracked(&tree::field_set(pod().schema().slot(), &config));
        let mine = managers.into_iter().find(|m| {
            m.manager == "alice" && m.operation == Operation::Apply
        });
        prop_assert_eq!(mine.map(|m| m.set).unwrap_or_default(), stated);
    }

    #[test]
    fn every_owned_field_exists(live in history()) {
        let (bare, managers) = managed::split(&live);
        let there = tree::with_structs(pod().schema().slot(), &tree::field_set(pod().schema().slot(), &bare));
        for manager in managers {
            let missing = manager.set.difference(&there);
            prop_assert!(missing.is_empty(), "{} owns {:?}", manager.manager, missing.paths());
        }
    }

    #[test]
    fn two_managers_that_agree_never_conflict(config in config()) {
        let one = apply(pod(), &json!({}), &config, author("alice"), false).unwrap();
        prop_assert!(apply(pod(), &one, &config, author("bob"), false).is_ok());
    }

    #[test]
    fn letting_go_of_everything_leaves_what_others_own(config in config(), other in config()) {
        let one = apply(pod(), &json!({}), &config, author("alice"), true).unwrap();
        let two = apply(pod(), &one, &other, author("bob"), true).unwrap();
        let nothing = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
        let three = apply(pod(), &two, &nothing, author("alice"), false).unwrap();
        prop_assert!(holds(&three, &other));
    }

    #[test]
    fn books_read_back_as_written(live in history()) {
        let (bare, managers) = managed::split(&live);
        prop_assert_eq!(managed::join(bare, managers), live);
    }
}

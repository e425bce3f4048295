//! What somebody removes by hand comes back, and is told.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use bulkhead_enforce::NodeHandle;

use crate::netns_node::{connect, enforce, listen, mk_program, talk};
use crate::world::{World, inside, sh, wait_for};

fn mk_world() -> (World, NodeHandle) {
    let world = World::new(2);
    let (handle, records) = world.start();
    std::mem::forget(records);
    enforce(&handle, mk_program(&world, 1, |maker| (maker.allow_ports(&[80]), maker.allow())));
    (world, handle)
}

fn maps(world: &World) -> PathBuf {
    world.pin_dir().join(format!("maps-{}", bulkhead_enforce_abi::LAYOUT))
}

/// The output of bpftool, which prints whole maps as JSON.
fn dump(world: &World, map: &str) -> serde_json::Value {
    let path = maps(world).join(map);
    let output =
        Command::new("bpftool").args(["-j", "map", "dump", "pinned"]).arg(path).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The key and the value of the first element of a map, as bpftool takes them.
fn first(world: &World, map: &str) -> (String, String) {
    let elements = dump(world, map);
    let hex = |what: &str| {
        let bytes = elements[0][what].as_array().expect("an element");
        let bytes: Vec<&str> = bytes.iter().map(|byte| byte.as_str().unwrap()).collect();
        bytes.join(" ").replace("0x", "")
    };
    (hex("key"), hex("value"))
}

/// Deletes the first element of a map.
fn delete_one(world: &World, map: &str) {
    let (path, (key, _)) = (maps(world).join(map), first(world, map));
    sh(&format!("bpftool map delete pinned {} key hex {key}", path.display()));
}

/// Overwrites the first element of a map with zeros; returns what it was.
fn empty_one(world: &World, map: &str) -> (String, String) {
    let (path, (key, value)) = (maps(world).join(map), first(world, map));
    let zeros = vec!["00"; value.split(' ').count()].join(" ");
    sh(&format!("bpftool map update pinned {} key hex {key} value hex {zeros}", path.display()));
    (key, value)
}

fn n_elements(world: &World, map: &str) -> usize {
    dump(world, map).as_array().unwrap().len()
}

/// Waits for a sentence that says what was found, and that everything works afterwards.
fn told(world: &World, handle: &NodeHandle, what: &str) {
    wait_for(what, || {
        handle.report().borrow().drift.iter().any(|said| said.contains(what)).then_some(())
    });
    let target = world.pods[1].v4_port(80);
    let listener = listen(&world.pods[1].netns, target);
    let client = connect(&world.pods[0].netns, target).unwrap();
    let (server, _) = listener.accept().unwrap();
    talk(&client, &server).unwrap();
    let denied = world.pods[1].v4_port(81);
    let deaf = inside(&world.pods[1].netns, || UdpSocket::bind(denied).unwrap());
    deaf.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let knocker = inside(&world.pods[0].netns, || UdpSocket::bind("0.0.0.0:0").unwrap());
    knocker.send_to(b"knock", denied).unwrap();
    deaf.recv_from(&mut [0; 8]).expect_err("a denied packet passes");
}

#[test]
fn a_detached_link_is_put_back() {
    let (world, handle) = mk_world();
    let links = world.pin_dir().join("links");
    let names: Vec<_> = links.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names.len(), 4);
    for path in names {
        sh(&format!("bpftool link detach pinned {}", path.display()));
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        told(&world, &handle, &format!("the link {name} was detached"));
    }
}

#[test]
fn removed_pins_come_back_and_nothing_opens_meanwhile() {
    let (world, handle) = mk_world();
    sh(&format!("rm -r {}/links", world.pin_dir().display()));
    told(&world, &handle, "lost its pin");
    assert_eq!(world.pin_dir().join("links").read_dir().unwrap().count(), 4);
    sh(&format!("rm {0}/classes4 {0}/flows4", maps(&world).display()));
    told(&world, &handle, "the map `flows4` lost its pin");
    assert!(maps(&world).join("classes4").exists());
}

#[test]
fn every_pin_that_is_removed_comes_back_also_after_a_quiet_time() {
    let (world, handle) = mk_world();
    let links = world.pin_dir().join("links");
    let names: Vec<_> = links.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in names {
        std::fs::remove_file(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        told(&world, &handle, &format!("the link {name} lost its pin"));
        assert!(path.exists());
    }
}

#[test]
fn an_endpoint_that_is_overwritten_is_put_back_every_time() {
    let (world, handle) = mk_world();
    for time in 1..4 {
        let before = empty_one(&world, "endpoints4");
        let n_told = || {
            let report = handle.report();
            let drift = &report.borrow().drift;
            drift
                .iter()
                .filter(|said| said.contains("1 elements of endpoints were changed"))
                .count()
        };
        wait_for("drift", || (n_told() == time).then_some(()));
        assert_eq!(first(&world, "endpoints4"), before);
    }
    told(&world, &handle, "1 elements of endpoints were changed");
}

#[test]
fn deleted_elements_come_back() {
    let (world, handle) = mk_world();
    for (map, part) in [("endpoints4", "endpoints"), ("entries", "entries"), ("slots", "slots")] {
        let before = n_elements(&world, map);
        delete_one(&world, map);
        told(&world, &handle, &format!("1 elements of {part} were changed"));
        assert_eq!(n_elements(&world, map), before, "{map}");
    }
}

#[test]
fn a_renamed_interface_stays_under_enforcement() {
    let (world, handle) = mk_world();
    let target = world.pods[1].v4_port(80);
    let listener = listen(&world.pods[1].netns, target);
    let client = connect(&world.pods[0].netns, target).unwrap();
    let (server, _) = listener.accept().unwrap();
    let node = world.node();
    // Taking the link down takes the routes along; they come back as a network plugin would bring them.
    sh(&format!(
        "set -e; ip -n {node} link set bhl1 down; ip -n {node} link set bhl1 name other1
         ip -n {node} link set other1 up; ip -n {node} route add {} dev other1
         ip -n {node} -6 route add {} dev other1",
        world.pods[1].v4, world.pods[1].v6
    ));
    talk(&client, &server).unwrap();
    sh(&format!("ip -n {node} link set other1 down; ip -n {node} link set other1 name other2"));
    sh(&format!(
        "ip -n {node} link set other2 up; ip -n {node} route add {} dev other2",
        world.pods[1].v4
    ));
    talk(&client, &server).unwrap();
    // A new agent knows it by the link that the old one pinned.
    drop(handle);
    let (handle, _records) = world.start();
    enforce(&handle, mk_program(&world, 2, |maker| (maker.allow_ports(&[80]), maker.allow())));
    assert_eq!(handle.report().borrow().attached.len(), 2);
    talk(&client, &server).unwrap();
    let denied = world.pods[1].v4_port(81);
    let deaf = inside(&world.pods[1].netns, || UdpSocket::bind(denied).unwrap());
    deaf.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let knocker = inside(&world.pods[0].netns, || UdpSocket::bind("0.0.0.0:0").unwrap());
    knocker.send_to(b"knock", denied).unwrap();
    deaf.recv_from(&mut [0; 8]).expect_err("a denied packet passes");
}

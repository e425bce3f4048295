//! An agent with other maps takes over under traffic: nothing is cut, nothing passes.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bulkhead_enforce::{Node, NodeHandle, NodeOptions};
use bulkhead_enforce_abi::LAYOUT;
use bulkhead_wire::{FlowRecord, NodeProgram};
use tokio::sync::mpsc;

use crate::netns_node::{connect, enforce, listen, mk_program};
use crate::world::{StopOnDrop, World, inside, sh, wait_for};

fn start(world: &World, layout: u32) -> (NodeHandle, mpsc::Receiver<FlowRecord>) {
    Node::start(NodeOptions { layout, ..world.options() }).unwrap()
}

/// The second pod takes port 80 and may open nothing itself: what it sends is an answer or nothing.
fn mk_one_way(world: &World, revision: u64) -> NodeProgram {
    let mut program =
        mk_program(world, revision, |maker| (maker.allow_ports(&[80]), maker.allow()));
    let shut = mk_program(world, revision, |maker| (maker.allow_ports(&[80]), maker.deny()));
    let server = shut.endpoints.iter().find(|(id, _)| id.name == world.pods[1].name).unwrap();
    let (id, endpoint) = (server.0.clone(), server.1.clone());
    program.endpoints.insert(id, endpoint);
    for ((judge, class), row) in shut.entries.iter() {
        program.entries.insert((*judge, *class), *row);
    }
    for (id, row) in shut.rows.iter() {
        program.rows.insert(*id, row.clone());
    }
    for (id, rule) in shut.rules.iter() {
        program.rules.insert(*id, rule.clone());
    }
    program
}

/// A server that speaks unasked on a connection that it could not open, and forbidden packets.
fn under_traffic(world: &World, work: impl FnOnce(&dyn Fn())) {
    let target = world.pods[1].v4_port(80);
    let listener = listen(&world.pods[1].netns, target);
    let mut client: TcpStream = connect(&world.pods[0].netns, target).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let deaf = inside(&world.pods[1].netns, || UdpSocket::bind(world.pods[1].v4_port(81)).unwrap());
    deaf.set_nonblocking(true).unwrap();
    let knocker = inside(&world.pods[0].netns, || UdpSocket::bind("0.0.0.0:0").unwrap());
    let (stop, n_heard) = (AtomicBool::new(false), AtomicU32::new(0));
    client.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _stop = StopOnDrop(&stop);
            while !stop.load(Ordering::Relaxed) {
                server.write_all(b"tick\n").unwrap();
                client.read_exact(&mut [0; 5]).expect("the connection was cut");
                knocker.send_to(b"knock", world.pods[1].v4_port(81)).unwrap();
                n_heard.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _stop = StopOnDrop(&stop);
        work(&|| {
            let before = n_heard.load(Ordering::Relaxed);
            wait_for("traffic", || (n_heard.load(Ordering::Relaxed) > before + 50).then_some(()));
        });
    });
    let got = deaf.recv_from(&mut [0; 16]);
    assert!(got.is_err(), "a denied packet went through: {got:?}");
}

fn own_maps(world: &World) -> PathBuf {
    world.pin_dir().join(format!("maps-{LAYOUT}"))
}

fn folders(world: &World) -> Vec<String> {
    let entries = world.pin_dir().read_dir().unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("maps")).collect();
    names.sort();
    names
}

#[test]
fn an_upgrade_to_another_layout_cuts_nothing_and_leaks_nothing() {
    let world = World::new(2);
    let first = start(&world, LAYOUT);
    enforce(&first.0, mk_one_way(&world, 1));
    under_traffic(&world, |more_talk| {
        more_talk();
        drop(first);
        for (n, layout) in [100, 101, 102].into_iter().enumerate() {
            let (handle, records) = start(&world, layout);
            assert_eq!(
                handle.report().borrow().revision.0,
                n as u64 + 1,
                "what the old one enforces"
            );
            more_talk();
            assert_eq!(
                folders(&world).len(),
                2,
                "the old maps judge until the new ones are complete"
            );
            enforce(&handle, mk_one_way(&world, n as u64 + 2));
            assert_eq!(folders(&world), [format!("maps-{layout}")]);
            more_talk();
            drop((handle, records));
            more_talk();
        }
    });
}

#[test]
fn maps_that_lost_a_pin_while_nobody_was_there_are_replaced_without_a_gap() {
    let world = World::new(2);
    let first = start(&world, LAYOUT);
    enforce(&first.0, mk_one_way(&world, 1));
    under_traffic(&world, |more_talk| {
        drop(first);
        for (n, lost) in ["entries", "config", "classes4 endpoints4"].into_iter().enumerate() {
            sh(&format!("cd {} && rm {lost}", own_maps(&world).display()));
            more_talk();
            let (handle, records) = start(&world, LAYOUT);
            more_talk();
            enforce(&handle, mk_one_way(&world, n as u64 + 2));
            more_talk();
            assert_eq!(folders(&world), [format!("maps-{LAYOUT}")]);
            drop((handle, records));
        }
    });
}

#[test]
fn an_upgrade_that_was_cut_short_is_begun_again() {
    let world = World::new(2);
    let first = start(&world, LAYOUT);
    enforce(&first.0, mk_one_way(&world, 1));
    under_traffic(&world, |more_talk| {
        drop(first);
        drop(start(&world, 100));
        more_talk();
        drop(start(&world, 101));
        more_talk();
        let (handle, _records) = start(&world, 100);
        more_talk();
        enforce(&handle, mk_one_way(&world, 2));
        more_talk();
        assert_eq!(folders(&world), ["maps-100"]);
    });
}

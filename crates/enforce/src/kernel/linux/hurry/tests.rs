use std::path::PathBuf;

use super::*;

/// A switch, with what it says now.
fn mk_switch(name: &str, now: u32) -> PathBuf {
    let path = std::env::temp_dir().join(format!("bulkhead-hurry-{name}-{}", std::process::id()));
    std::fs::write(&path, format!("{now}\n")).unwrap();
    path
}

fn says(path: &Path) -> u32 {
    get(&File::open(path).unwrap()).unwrap()
}

#[test]
fn the_kernel_hurries_for_as_long_as_it_is_asked() {
    let path = mk_switch("asked", 0);
    let hurry = Hurry::of(&path);
    let hurrying = hurry.begin();
    assert_eq!(says(&path), OURS);
    drop(hurrying);
    assert_eq!(says(&path), 0);
}

#[test]
fn what_somebody_else_switched_on_stays_on() {
    let path = mk_switch("others", 1);
    let hurry = Hurry::of(&path);
    drop(hurry.begin());
    assert_eq!(says(&path), 1);
}

#[test]
fn what_a_killed_agent_left_is_undone_by_the_next() {
    let path = mk_switch("left", OURS);
    let _hurry = Hurry::of(&path);
    assert_eq!(says(&path), 0);
}

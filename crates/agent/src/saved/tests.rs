use std::sync::Arc;

use bulkhead_types::{Revision, RuleRef};
use bulkhead_wire::RuleId;

use super::*;

fn mk_program(revision: u64) -> NodeProgram {
    let mut program = NodeProgram { revision: Revision(revision), ..NodeProgram::default() };
    program.rules.insert(RuleId(1), RuleRef::Profile { name: "kns.shop".into() }.into());
    program
}

#[test]
fn what_was_saved_is_loaded() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let state_dir = folder.path().join("state");
    assert_eq!(load(&state_dir).expect("nothing there"), None);
    save(&state_dir, &mk_program(7)).expect("saves");
    save(&state_dir, &mk_program(8)).expect("saves over it");
    assert_eq!(load(&state_dir).expect("loads"), Some(mk_program(8)));
}

#[test]
fn a_damaged_file_is_named_and_not_used() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    save(folder.path(), &mk_program(7)).expect("saves");
    let whole = std::fs::read(file(folder.path())).expect("reads");
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        std::fs::write(file(folder.path()), &damaged).expect("writes");
        // Letters of the checksum may change their case, and the revision in the head is for people.
        match load(folder.path()) {
            Ok(Some(program)) => {
                assert_eq!(program, mk_program(7), "byte {at}");
                assert!(at < whole.len() - mk_program(7).encode().len(), "byte {at}");
            }
            Ok(None) => panic!("byte {at}: a damaged file is not a missing one"),
            Err(error) => assert!(error.to_string().contains("program"), "{error}"),
        }
        std::fs::write(file(folder.path()), &whole[..at]).expect("writes");
        assert!(load(folder.path()).is_err(), "cut at {at}");
    }
}

#[tokio::test]
async fn the_last_of_many_is_on_disk_at_the_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (sender, receiver) = watch::channel(None);
    let (unsaved, _) = watch::channel(None);
    let saving = tokio::spawn(save_latest(folder.path().to_owned(), receiver, unsaved));
    for revision in 1..=50 {
        sender.send_replace(Some(Arc::new(mk_program(revision))));
        tokio::task::yield_now().await;
    }
    drop(sender);
    saving.await.expect("ends");
    assert_eq!(load(folder.path()).expect("loads"), Some(mk_program(50)));
}

#[tokio::test]
async fn what_cannot_be_saved_is_told_until_it_can() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let state_dir = folder.path().join("state");
    std::fs::write(&state_dir, "no folder").expect("writes");
    let (sender, receiver) = watch::channel(None);
    let (unsaved, mut told) = watch::channel(None);
    tokio::spawn(save_latest(state_dir.clone(), receiver, unsaved));
    sender.send_replace(Some(Arc::new(mk_program(1))));
    let reason = told.wait_for(Option::is_some).await.expect("it goes on").clone();
    assert!(reason.is_some_and(|reason| reason.contains("cannot be saved")));
    std::fs::remove_file(&state_dir).expect("removes");
    sender.send_replace(Some(Arc::new(mk_program(2))));
    told.wait_for(Option::is_none).await.expect("it goes on");
    assert_eq!(load(&state_dir).expect("loads"), Some(mk_program(2)));
}

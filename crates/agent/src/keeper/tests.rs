use std::sync::Mutex;

use bulkhead_enforce::EnforceReport;

use super::*;
use crate::enforcer::Enforced;

/// Takes every program but those it is told to refuse; remembers what it was asked.
struct Fake {
    asked: Mutex<Vec<u64>>,
    refuses: fn(u64, usize) -> Option<EnforceError>,
    report: watch::Sender<EnforceReport>,
}

impl Enforcer for Fake {
    fn enforce(&self, program: Arc<NodeProgram>) -> Enforced {
        let revision = program.revision;
        let mut asked = self.asked.lock().expect("not poisoned");
        asked.push(revision.0);
        let answer = match (self.refuses)(revision.0, asked.len()) {
            Some(error) => Err(error),
            None => Ok(EnforceReport { revision, at_ns: revision.0 * 10, ..Default::default() }),
        };
        Box::pin(async move { answer })
    }

    fn report(&self) -> watch::Receiver<EnforceReport> {
        self.report.subscribe()
    }
}

struct Kept {
    fake: Arc<Fake>,
    desired: watch::Sender<Program>,
    realized: watch::Receiver<Realized>,
    keeping: tokio::task::JoinHandle<Result<(), EnforceError>>,
}

fn mk_kept(refuses: fn(u64, usize) -> Option<EnforceError>) -> Kept {
    let report = watch::channel(EnforceReport::default()).0;
    let fake = Arc::new(Fake { asked: Mutex::default(), refuses, report });
    let (desired, wanted) = watch::channel(None);
    let (realize, realized) = watch::channel(Realized::default());
    let (enforce, _) = watch::channel(None);
    let enforcer: Arc<dyn Enforcer> = fake.clone();
    let keeping = tokio::spawn(keep(enforcer, wanted, realize, enforce));
    Kept { fake, desired, realized, keeping }
}

fn mk_program(revision: u64) -> Program {
    Some(Arc::new(NodeProgram { revision: Revision(revision), ..NodeProgram::default() }))
}

async fn until(kept: &mut Kept, what: impl FnMut(&Realized) -> bool) -> Realized {
    let waiting = kept.realized.wait_for(what);
    let realized = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    realized.expect("in time").expect("the keeper lives").clone()
}

#[tokio::test]
async fn what_the_kernel_took_is_told_with_its_time() {
    let mut kept = mk_kept(|_, _| None);
    kept.desired.send_replace(mk_program(4));
    let realized = until(&mut kept, |realized| realized.enforced == Revision(4)).await;
    assert_eq!((realized.at_ns, realized.refused), (40, None));
}

#[tokio::test]
async fn a_refused_program_leaves_the_last_good_one_and_the_next_is_tried() {
    let mut kept = mk_kept(|revision, _| {
        (revision == 5).then_some(EnforceError::Capacity {
            map: "rows",
            needed: 10,
            available: 5,
            revision: Revision(5),
        })
    });
    kept.desired.send_replace(mk_program(4));
    until(&mut kept, |realized| realized.enforced == Revision(4)).await;
    kept.desired.send_replace(mk_program(5));
    let realized = until(&mut kept, |realized| realized.refused.is_some()).await;
    assert_eq!(realized.enforced, Revision(4));
    let (revision, reason) = realized.refused.expect("is refused");
    assert_eq!(revision, Revision(5));
    assert!(reason.contains("does not fit"), "{reason}");
    kept.desired.send_replace(mk_program(6));
    let realized = until(&mut kept, |realized| realized.enforced == Revision(6)).await;
    assert_eq!(realized.refused, None);
    // One that does not fit is not tried again and again.
    assert_eq!(*kept.fake.asked.lock().expect("not poisoned"), [4, 5, 6]);
}

#[tokio::test]
async fn a_kernel_that_failed_is_asked_again() {
    let mut kept = mk_kept(|_, n_asked| {
        (n_asked < 3)
            .then(|| EnforceError::Kernel { action: "write".into(), message: "busy".into() })
    });
    kept.desired.send_replace(mk_program(4));
    until(&mut kept, |realized| realized.enforced == Revision(4)).await;
    assert_eq!(*kept.fake.asked.lock().expect("not poisoned"), [4, 4, 4]);
}

#[tokio::test]
async fn the_keeper_ends_with_the_kernel_side_or_when_nobody_wants_programs() {
    let kept = mk_kept(|_, _| Some(EnforceError::Gone));
    kept.desired.send_replace(mk_program(4));
    assert_eq!(kept.keeping.await.expect("no panic"), Err(EnforceError::Gone));
    let kept = mk_kept(|_, _| None);
    drop(kept.desired);
    assert_eq!(kept.keeping.await.expect("no panic"), Ok(()));
}

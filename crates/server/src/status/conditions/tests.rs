use std::time::Duration;

use bulkhead_types::Revision;

use super::*;

fn mk_moment() -> Moment {
    let now = Instant::now();
    Moment {
        now: now + Duration::from_secs(60),
        clock: "2026-01-02T03:04:05Z".parse().expect("a time"),
        server_start: now,
    }
}

fn mk_node(moment: &Moment, enforced: u64) -> NodeFacts {
    NodeFacts {
        enforced: Revision(enforced),
        enforced_at_ns: enforced * 1_000_000_000,
        session: Some(1),
        heard: Some(moment.now),
        ..NodeFacts::default()
    }
}

fn mk_placement(required: &[(&str, u64)]) -> Placement {
    let required =
        required.iter().map(|(node, revision)| ((*node).to_owned(), Revision(*revision)));
    Placement { required: required.collect(), generation: 2, ..Placement::default() }
}

#[track_caller]
fn check(placement: &Placement, nodes: &[(&str, NodeFacts)], moment: &Moment, expected: &str) {
    let nodes = nodes.iter().map(|(name, facts)| ((*name).to_owned(), facts.clone())).collect();
    let said = progress(placement, &nodes, moment)
        .map(|p| format!("{} {}: {}", p.status, p.reason, p.message))
        .unwrap_or_else(|| "nothing yet".to_owned());
    assert_eq!(said, expected);
}

#[test]
fn a_policy_is_enforced_where_its_revision_is_reached() {
    let moment = mk_moment();
    let placement = mk_placement(&[("n1", 5), ("n2", 7)]);
    let (done, behind) = (mk_node(&moment, 9), mk_node(&moment, 6));
    check(
        &placement,
        &[("n1", done.clone()), ("n2", behind)],
        &moment,
        "False Pending: enforced on 1 of 2 nodes",
    );
    check(
        &placement,
        &[("n1", done.clone()), ("n2", done)],
        &moment,
        "True Enforced: enforced on 2 of 2 nodes",
    );
    check(&mk_placement(&[]), &[], &moment, "True NoEndpoints: selects nothing on any node");
}

#[test]
fn a_node_that_refuses_is_named_with_its_reason() {
    let moment = mk_moment();
    let mut full = mk_node(&moment, 4);
    full.refused = Some((Revision(5), "it does not fit".into()));
    check(
        &mk_placement(&[("n1", 5)]),
        &[("n1", full.clone())],
        &moment,
        "False Refused: enforced on 0 of 1 node; n1 refused it: it does not fit",
    );
    // An older policy of that node is enforced all the same.
    let older = mk_placement(&[("n1", 3)]);
    check(&older, &[("n1", full)], &moment, "True Enforced: enforced on 1 of 1 node");
}

#[test]
fn a_lost_node_still_counts_and_is_named() {
    let moment = mk_moment();
    let lost = NodeFacts {
        session: None,
        heard: Some(moment.now - Duration::from_secs(30)),
        ..mk_node(&moment, 9)
    };
    check(
        &mk_placement(&[("n1", 5)]),
        &[("n1", lost)],
        &moment,
        "True Enforced: enforced on 1 of 1 node; not heard from: n1",
    );
}

#[test]
fn nothing_is_said_while_nodes_may_still_come_back() {
    let moment = mk_moment();
    let early = Moment { now: moment.server_start + Duration::from_secs(1), ..moment };
    let placement = mk_placement(&[("n1", 5)]);
    check(&placement, &[], &early, "nothing yet");
    check(&placement, &[], &moment, "False Pending: enforced on 0 of 1 node; not heard from: n1");
}

#[test]
fn what_is_not_understood_is_said_first() {
    let moment = mk_moment();
    let mut placement = mk_placement(&[("n1", 5)]);
    placement.errors = vec!["spec.selector: no such operator".into()];
    check(
        &placement,
        &[("n1", mk_node(&moment, 9))],
        &moment,
        "False Invalid: not understood, and read as denying: spec.selector: no such operator; \
         enforced on 1 of 1 node",
    );
}

#[test]
fn a_status_keeps_its_since_and_what_others_wrote() {
    let moment = mk_moment();
    let placement = mk_placement(&[("n1", 5)]);
    let at = |enforced, moment: &Moment| {
        let nodes = [("n1".to_owned(), mk_node(moment, enforced))].into();
        progress(&placement, &nodes, moment).expect("can be said")
    };
    let mut status = json!({"other": 1, "conditions": [{"type": "Foreign", "status": "True"}]});
    write_policy(&mut status, &at(4, &moment), 2, &moment);
    assert_eq!(status["enforcement"], json!({"nodes": 0, "of": 1}));
    write_policy(&mut status, &at(5, &moment), 2, &moment);
    assert_eq!(status["enforcement"]["since"], "1970-01-01T00:00:05.000Z");
    assert_eq!(status["conditions"][1]["lastTransitionTime"], "2026-01-02T03:04:05Z");
    let later = Moment { clock: "2027-01-01T00:00:00Z".parse().expect("a time"), ..moment };
    let before = status.clone();
    write_policy(&mut status, &at(9, &later), 2, &later);
    assert_eq!(status, before, "a later program is no news");
    write_policy(&mut status, &at(9, &later), 3, &later);
    assert_eq!(status["enforcement"]["since"], "1970-01-01T00:00:09.000Z", "a new rule is");
    assert_eq!(status["other"], 1);
    assert_eq!(status["conditions"][0]["type"], "Foreign");
    assert_eq!(status["conditions"][1]["observedGeneration"], 3);
}

#[test]
fn a_node_is_ready_refusing_or_lost() {
    let moment = mk_moment();
    let ready = |facts: &NodeFacts| {
        let mut status = json!({});
        write_node(&mut status, "Ready", facts, &moment);
        let condition = &status["conditions"][0];
        format!("{} {}", condition["status"], condition["reason"]).replace('"', "")
    };
    let here = mk_node(&moment, 5);
    assert_eq!(ready(&here), "True AgentReady");
    let refusing = NodeFacts { refused: Some((Revision(6), "full".into())), ..here.clone() };
    assert_eq!(ready(&refusing), "False ProgramRefused");
    let lost = NodeFacts { session: None, heard: None, ..here };
    assert_eq!(ready(&lost), "Unknown AgentLost");
}

#[test]
fn a_node_says_what_was_found_wrong_on_it() {
    let moment = mk_moment();
    let mut facts = mk_node(&moment, 5);
    facts.status.n_attached = 2;
    let message = |facts: &NodeFacts| {
        let mut status = json!({});
        write_node(&mut status, "Ready", facts, &moment);
        status["conditions"][0]["message"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(message(&facts), "2 endpoints are enforced");
    facts.status.n_waiting = 1;
    facts.status.waiting = vec![bulkhead_types::EndpointId::pod("shop", "db")];
    assert_eq!(message(&facts), "2 endpoints are enforced, 1 have no interface yet (shop/db)");
    (facts.status.n_waiting, facts.status.waiting) = (0, Vec::new());
    facts.status.drift = vec!["drift 1: the link 2-in was detached; put back".to_owned()];
    let told = "2 endpoints are enforced; drift 1: the link 2-in was detached; put back";
    assert_eq!(message(&facts), told);
    facts.status.drift = (0..9).map(|n| format!("interface `veth{n}` passes nothing")).collect();
    let told = message(&facts);
    assert!(told.contains("`veth4` passes nothing and 4 more"), "{told}");
}

#[test]
fn a_staged_policy_is_not_enforced_and_says_so() {
    let moment = mk_moment();
    let staged = Placement { standing: Standing::Staged, ..mk_placement(&[]) };
    let message = "staged: no packet meets it until its enforced kind says the same";
    check(&staged, &[], &moment, &format!("False Staged: {message}"));
    let twin = mk_placement(&[("n1", 5)]);
    check(&twin, &[("n1", mk_node(&moment, 5))], &moment, "True Enforced: enforced on 1 of 1 node");
}

#[test]
fn an_expired_policy_says_since_when() {
    let moment = mk_moment();
    let standing = Standing::Expired("2026-01-01T00:00:00Z".to_owned());
    let expired = Placement { standing, ..mk_placement(&[]) };
    let message = "expired at 2026-01-01T00:00:00Z: it does not apply any more";
    check(&expired, &[], &moment, &format!("False Expired: {message}"));
}

#[test]
fn the_report_says_of_every_policy_what_its_status_says() {
    let moment = mk_moment();
    let mut state = State::default();
    state.nodes.insert("n1".to_owned(), mk_node(&moment, 9));
    let key = bulkhead_api::ObjectKey {
        kind: bulkhead_api::object::Kind::KubernetesNetworkPolicy,
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
    };
    state.policies.insert(key, mk_placement(&[("n1", 5)]));
    let told = PolicyEnforcement {
        api_version: "networking.k8s.io/v1".to_owned(),
        kind: "NetworkPolicy".to_owned(),
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
        status: "True".to_owned(),
        reason: "Enforced".to_owned(),
        message: "enforced on 1 of 1 node".to_owned(),
        generation: 2,
    };
    assert_eq!(report(&state, &moment).policies, [told]);
    state.nodes.clear();
    let early = Moment { now: moment.server_start, ..moment };
    let [told] = report(&state, &early).policies.try_into().expect("one policy");
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("Unknown", "NodesExpected"));
}

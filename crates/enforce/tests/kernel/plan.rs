//! Plans against the fake kernel, operation by operation.

use std::sync::Arc;

use crate::programs::Maker;
use bulkhead_enforce::dns::Cache;
use bulkhead_enforce::ebpf::plan::endpoint_content;
use bulkhead_enforce::ebpf::{Bindings, Ground, plan, plan_on, plan_places};
use bulkhead_enforce::kernel::fake::Fake;
use bulkhead_enforce::kernel::{Kernel, KernelOp};
use bulkhead_enforce::realized::{SlotKind, Tables};
use bulkhead_enforce::{EnforceError, MapSizes};
use bulkhead_enforce_abi::LEAF_ALLOW;
use bulkhead_types::{Decision, Direction, Packet, Verdict};
use bulkhead_wire::{NameTables, NodeProgram};
use rand::prelude::*;
use rand::rngs::SmallRng;

const IFINDEX: u32 = 9;

fn bind_all(program: &NodeProgram) -> Bindings {
    let bound = program.endpoints.iter().map(|(id, endpoint)| {
        (id.clone(), endpoint.addresses.keys().map(|address| (*address, IFINDEX.into())).collect())
    });
    bound.collect()
}

fn mk_plan(now: &Tables, program: &NodeProgram) -> Vec<KernelOp> {
    mk_plan_named(now, program, &Cache::default())
}

fn mk_plan_named(now: &Tables, program: &NodeProgram, cache: &Cache) -> Vec<KernelOp> {
    mk_plan_after(now, None, program, cache)
}

/// `was`: the program that the tables hold whole.
fn mk_plan_after(
    now: &Tables,
    was: Option<&NodeProgram>,
    program: &NodeProgram,
    cache: &Cache,
) -> Vec<KernelOp> {
    let (bindings, ground) = (bind_all(program), Ground::default());
    plan_on(now, was, program, &bindings, &ground, &MapSizes::SMALL, cache).unwrap()
}

/// What the fake kernel answers, in the words of the program; `None`: not an endpoint's address.
fn ask(fake: &Fake, direction: Direction, packet: &Packet, of: &[&NodeProgram]) -> Option<Verdict> {
    let leaf = fake.judge(IFINDEX, direction, packet)?;
    let slot = leaf & !LEAF_ALLOW;
    let content = fake.tables.slots.all(SlotKind::Rule).find(|(known, _)| *known == slot);
    let rule = content.and_then(|(_, content)| {
        of.iter().find_map(|program| program.rule_of(bulkhead_wire::RuleId(content)))
    });
    let Some((rule, logged)) = rule else { return Some(Verdict::unknown()) };
    let decision = if leaf & LEAF_ALLOW != 0 { Decision::Allow } else { Decision::Deny };
    Some(Verdict { decision, rule, logged })
}

fn decide(
    program: &NodeProgram,
    cache: &Cache,
    direction: Direction,
    packet: &Packet,
) -> Option<Verdict> {
    let local = if direction == Direction::Egress { packet.src } else { packet.dst };
    let owner = program.endpoints.iter().find(|(_, e)| e.addresses.contains_key(&local))?;
    let names = cache.names(endpoint_content(owner.0, IFINDEX), packet.dst);
    Some(program.decide_named(owner.0, direction, packet, &names))
}

fn mk_questions(rng: &mut SmallRng, programs: [&NodeProgram; 2]) -> Vec<(Direction, Packet)> {
    let mut questions = Vec::new();
    for n in 0..40 {
        let direction = Direction::BOTH[n % 2];
        let Some((_, local)) = crate::random::pick_local(rng, programs[n / 2 % 2]) else {
            continue;
        };
        let packet = crate::random::mk_question(rng, local, direction == Direction::Egress);
        questions.push((direction, packet));
    }
    questions
}

/// A small change of a program, so that most of it stays.
fn mk_change(rng: &mut SmallRng, old: &NodeProgram, revision: u64) -> NodeProgram {
    let other = crate::random::mk_program(rng, revision);
    if rng.random_bool(0.3) {
        return other;
    }
    let mut new = old.clone();
    new.revision = other.revision;
    if rng.random() {
        new.classes = other.classes.clone();
    }
    if rng.random() {
        new.entries.extend(other.entries.iter().map(|(key, value)| (*key, *value)));
        new.rows.extend(other.rows.iter().map(|(key, value)| (*key, value.clone())));
        new.rules.extend(other.rules.iter().map(|(key, value)| (*key, value.clone())));
        let judges = other.endpoints.values().next().unwrap();
        if let (Some(endpoint), Some(judges)) =
            (new.endpoints.values_mut().next(), judges.addresses.values().next())
        {
            Arc::make_mut(endpoint).addresses.values_mut().for_each(|own| *own = *judges);
        }
    }
    // Its old names may be about judges that it no longer has.
    new.names = NameTables::default();
    match rng.random_bool(0.6) {
        true => crate::random::mk_names(rng, new),
        false => new,
    }
}

/// `BULKHEAD_WORLDS=1500` for a long run.
fn n_worlds() -> u64 {
    std::env::var("BULKHEAD_WORLDS").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
}

#[test]
fn every_step_judges_by_the_old_or_the_new_program() {
    let (mut n_flips, mut n_named) = (0, 0);
    for seed in 0..n_worlds() {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut fake = Fake::default();
        let mut old = NodeProgram::default();
        let mut old_cache = Cache::default();
        for revision in 1..6 {
            let new = if revision == 1 {
                crate::random::mk_program(&mut rng, revision)
            } else {
                mk_change(&mut rng, &old, revision)
            };
            let questions = mk_questions(&mut rng, [&old, &new]);
            let mut cache = old_cache.clone();
            cache.resolve(&new.names);
            if rng.random() {
                crate::random::mk_cache(&mut rng, &new, IFINDEX, &mut cache);
            }
            let ops = mk_plan_named(&fake.tables, &new, &cache);
            if revision > 1 {
                let known = mk_plan_after(&fake.tables, Some(&old), &new, &cache);
                assert_eq!(known, ops, "seed {seed}, revision {revision}");
            }
            let grace = ops.iter().position(|op| *op == KernelOp::Grace).unwrap_or(ops.len());
            for (n, op) in ops.iter().enumerate() {
                fake.apply(op).unwrap();
                for (direction, packet) in &questions {
                    let told = ask(&fake, *direction, packet, &[&old, &new]);
                    let before = decide(&old, &old_cache, *direction, packet);
                    let after = decide(&new, &cache, *direction, packet);
                    let context = format!("seed {seed}, revision {revision}, step {n}: {op:?}");
                    assert!(
                        told == before || told == after,
                        "{context}\n{direction} {packet:?}: {told:?} is neither {before:?} nor {after:?}"
                    );
                    if n + 1 >= grace {
                        assert_eq!(told, after, "{context}\n{direction} {packet:?}");
                    }
                }
            }
            n_flips += ops[grace..].iter().any(|op| matches!(op, KernelOp::SetClasses(_))) as u64;
            // Nothing that says nothing new does anything.
            let again = mk_plan_named(&fake.tables, &new, &cache);
            assert_eq!(again, [], "seed {seed}, revision {revision}");
            n_named += fake.tables.names.len();
            (old, old_cache) = (new, cache);
        }
    }
    assert!(n_flips > n_worlds() / 3 && n_named > n_worlds() as usize, "{n_flips}, {n_named}");
}

#[test]
fn a_torn_update_is_mended_by_the_next_one() {
    for seed in 0..200 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut fake = Fake::default();
        let first = crate::random::mk_program(&mut rng, 1);
        let first = crate::random::mk_names(&mut rng, first);
        let mut cache = Cache::default();
        let mut plan = |rng: &mut SmallRng, now: &Tables, program: &NodeProgram| {
            cache.resolve(&program.names);
            crate::random::mk_cache(rng, program, IFINDEX, &mut cache);
            mk_plan_named(now, program, &cache)
        };
        for op in plan(&mut rng, &fake.tables, &first) {
            fake.apply(&op).unwrap();
        }
        let second = mk_change(&mut rng, &first, 2);
        let ops = plan(&mut rng, &fake.tables, &second);
        fake.ops_left = Some(rng.random_range(0..ops.len().max(1)));
        for op in ops {
            if fake.apply(&op).is_err() {
                break;
            }
        }
        fake.ops_left = None;
        let third = mk_change(&mut rng, &second, 3);
        for op in plan(&mut rng, &fake.tables, &third) {
            fake.apply(&op).unwrap();
        }
        for (direction, packet) in mk_questions(&mut rng, [&third, &third]) {
            let told = ask(&fake, direction, &packet, &[&third]);
            assert_eq!(told, decide(&third, &cache, direction, &packet), "seed {seed}");
        }
        assert_eq!(mk_plan_named(&fake.tables, &third, &cache), [], "seed {seed}");
        // Nothing of the torn update stays behind.
        let n_names = |kind| fake.tables.slots.all(kind).count();
        assert_eq!(n_names(SlotKind::Rule), third.rules.len(), "seed {seed}");
        assert_eq!(n_names(SlotKind::Row), fake.tables.rows.len(), "seed {seed}");
        assert_eq!(fake.tables.classes.len(), third.classes.len(), "seed {seed}");
        assert_eq!(fake.tables.entries.len(), third.entries.len(), "seed {seed}");
        assert_eq!(fake.tables.name_entries.len(), third.names.entries.len(), "seed {seed}");
    }
}

#[test]
fn what_does_not_fit_plans_nothing_and_names_the_map() {
    let mut maker = Maker::new(1);
    let row = maker.allow();
    let judge = maker.judge(&row, &[]);
    let judges = bulkhead_wire::Judges { ingress: judge, egress: judge };
    maker.endpoint("pod", &["10.0.0.1".parse().unwrap()], judges);
    for n in 0..u32::from(u16::MAX) {
        let octets = n.to_be_bytes();
        let address = std::net::IpAddr::from([10, 1, octets[2], octets[3]]);
        maker.program.classes.insert(address.into(), bulkhead_wire::ClassId(5));
    }
    let error =
        plan(&Tables::default(), &maker.program, &bind_all(&maker.program), &MapSizes::SMALL);
    let expected = EnforceError::Capacity {
        map: "classes4",
        needed: u64::from(u16::MAX),
        available: u64::from(MapSizes::SMALL.classes),
        revision: maker.program.revision,
    };
    assert_eq!(error, Err(expected));
}

#[test]
fn one_new_pod_of_a_known_class_is_one_write() {
    let mut maker = Maker::new(1);
    let (allow, deny) = (maker.allow(), maker.deny());
    let class = bulkhead_wire::ClassId(7);
    let judge = maker.judge(&deny, &[(class, &allow)]);
    let judges = bulkhead_wire::Judges { ingress: judge, egress: judge };
    maker.endpoint("pod", &["10.0.0.1".parse().unwrap()], judges);
    maker.class("10.0.0.2/32", class);
    let mut fake = Fake::default();
    for op in mk_plan(&fake.tables, &maker.program) {
        fake.apply(&op).unwrap();
    }
    maker.program.revision = maker.program.revision.next();
    maker.class("10.0.0.3/32", class);
    let ops = mk_plan(&fake.tables, &maker.program);
    let [KernelOp::SetClasses(classes), KernelOp::SetRevision(2), KernelOp::SetEpoch(_)] =
        ops.as_slice()
    else {
        panic!("{ops:?}");
    };
    assert_eq!(classes.len(), 1);
}

/// Some addresses on some of three interfaces.
fn mk_places(rng: &mut SmallRng, program: &NodeProgram) -> Bindings {
    let bound = program.endpoints.iter().map(|(id, endpoint)| {
        let places = endpoint.addresses.keys().filter_map(|address| {
            let ifindex = rng.random_range(0..4);
            (ifindex > 0).then(|| (*address, ifindex.into()))
        });
        (id.clone(), places.collect())
    });
    bound.collect()
}

#[test]
fn a_plan_of_places_leads_where_the_whole_plan_leads() {
    let mut n_planned = 0;
    for seed in 0..n_worlds() {
        let mut rng = SmallRng::seed_from_u64(seed);
        let program = crate::random::mk_program(&mut rng, 1);
        let mut fake = Fake::default();
        for op in mk_plan(&fake.tables, &program) {
            fake.apply(&op).unwrap();
        }
        for _ in 0..5 {
            let bindings = mk_places(&mut rng, &program);
            let mut whole = fake.clone();
            let (sizes, ground, cache) = (MapSizes::SMALL, Ground::default(), Cache::default());
            let now = &fake.tables;
            let ops = plan_on(now, None, &program, &bindings, &ground, &sizes, &cache).unwrap();
            ops.iter().for_each(|op| whole.apply(op).unwrap());
            let quick = plan_places(now, &program, &bindings, &ground, &sizes, &cache).unwrap();
            // Where more moves than places there is no such plan, and the whole one is taken.
            let Some(ops) = quick else {
                fake = whole;
                continue;
            };
            n_planned += 1;
            ops.iter().for_each(|op| fake.apply(op).unwrap());
            assert_eq!(fake.tables, whole.tables, "seed {seed}");
        }
    }
    assert!(n_planned > 0);
}

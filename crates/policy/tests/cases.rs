//! Every Markdown case, through the slow reading of the rules and through the compiled program.
#![expect(clippy::expect_used, reason = "a broken case must stop the test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bulkhead_api::Object;
use bulkhead_policy::decide::{Asked, Way};
use bulkhead_policy::lower::moment;
use bulkhead_policy::rule::Moment;
use bulkhead_policy::{Engine, Event, NodeProgram, Severity, World};
use bulkhead_testbed::cases::{self, Case, CaseFile, Row, together};
use bulkhead_types::{Direction, EndpointId, Packet, Verdict};

/// What the project promises; a lost file shall not go unnoticed.
const CASES_MIN: usize = 500;
const NODE: &str = "case";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

#[test]
fn every_case_holds_in_both_engines() {
    let files = cases::read_folder(&folder()).unwrap_or_else(|error| panic!("{error}"));
    let mut faults = Vec::new();
    for file in &files {
        for case in &file.cases {
            faults.extend(check(file, case));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    let n_cases: usize = files.iter().map(|file| file.cases.len()).sum();
    let n_rows: usize = files.iter().flat_map(|f| &f.cases).map(|case| case.rows.len()).sum();
    println!("{n_cases} cases with {n_rows} rows in {} files", files.len());
    assert!(n_cases >= CASES_MIN, "only {n_cases} cases of {CASES_MIN}");
}

#[test]
fn the_map_of_meanings_names_every_file_and_no_other() {
    let map = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cases.md");
    let map = std::fs::read_to_string(map).expect("the map");
    let rows = map.lines().filter(|line| line.starts_with("| "));
    let named: BTreeSet<&str> = rows
        .filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let files = cases::read_folder(&folder()).unwrap_or_else(|error| panic!("{error}"));
    let found: Vec<String> = files
        .iter()
        .filter_map(|file| Some(file.path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    assert_eq!(named, found.iter().map(String::as_str).collect());
}

fn check(file: &CaseFile, case: &Case) -> Vec<String> {
    let objects = file.objects_of(case);
    let world = World::from_objects(&objects);
    let mut faults = complaints(&world, file, case);
    for row in &case.rows {
        let now = row.at.as_deref().map(|text| moment(text).expect("a moment"));
        let world = now.map_or_else(|| world.clone(), |now| world.clone().at(now));
        let world = if row.traffic.staged { world.staged() } else { world };
        let programs = compile(&objects, now);
        let slow =
            |ends: [Option<&EndpointId>; 2], packet: &Packet| world.way(ends, packet, &row.names);
        let fast = |ends: [Option<&EndpointId>; 2], packet: &Packet| {
            world.walk(ends, packet, |asked| answer(&programs, row, asked, packet))
        };
        faults.extend(compare(file, case, row, "decide", slow));
        faults.extend(compare(file, case, row, "compiled", fast));
    }
    faults
}

/// What the compiled programs say where somebody is asked.
fn answer(programs: &[NodeProgram], row: &Row, asked: &Asked, packet: &Packet) -> Verdict {
    match asked {
        Asked::Workload(id, direction) => {
            let program = programs.iter().find(|program| program.endpoints.contains_key(id));
            let Some(program) = program else { return Verdict::unknown() };
            if row.traffic.staged {
                program.decide_staged(id, *direction, packet, &row.names)
            } else {
                program.decide_named(id, *direction, packet, &row.names)
            }
        }
        Asked::Host(id, stage, direction) => {
            let program = programs.iter().find(|program| program.hosts.contains_key(id));
            let Some(program) = program else { return Verdict::unknown() };
            if row.traffic.staged {
                program.decide_host_staged(id, *stage, *direction, packet)
            } else {
                program.decide_host(id, *stage, *direction, packet)
            }
        }
        Asked::Node(_) => Verdict::unknown(),
    }
}

/// What is said of the case's objects and was not announced, and what was announced and is not said.
fn complaints(world: &World, file: &CaseFile, case: &Case) -> Vec<String> {
    let at = format!("{}:{}", file.path.display(), case.line);
    let errors = world.diagnostics().iter().filter(|d| d.severity == Severity::Error);
    let said: Vec<String> = errors.map(|d| format!("{}: {d}", d.object)).collect();
    let is_announced = |said: &&String| case.broken.iter().any(|words| said.contains(words));
    let is_said = |words: &&String| said.iter().any(|said| said.contains(*words));
    let surprises = said.iter().filter(|said| !is_announced(said));
    let missing = case.broken.iter().filter(|words| !is_said(words));
    surprises
        .map(|said| format!("{at}: {said}"))
        .chain(missing.map(|words| format!("{at}: nobody says `{words}` but {said:?}")))
        .collect()
}

fn compare(
    file: &CaseFile,
    case: &Case,
    row: &Row,
    engine: &str,
    way: impl Fn([Option<&EndpointId>; 2], &Packet) -> Way,
) -> Option<String> {
    let at = format!("{}:{}", file.path.display(), row.line);
    let (ends, packet) = match file.packet(row) {
        Ok(found) => found,
        Err(error) => return Some(error.to_string()),
    };
    let way = way([ends.src.as_ref(), ends.dst.as_ref()], &packet);
    let [egress, ingress] = [Direction::Egress, Direction::Ingress].map(|end| way.said(end));
    let (verdict, decided_by) = together(egress.as_ref(), ingress.as_ref());
    if (verdict, &decided_by) == (row.verdict, &row.decided_by) {
        return None;
    }
    Some(format!(
        "{at}: {} -> {}: expected {} by {}, {engine} says {verdict} by {decided_by} ({})",
        row.from, row.to, row.verdict, row.decided_by, case.sentence
    ))
}

/// The programs of all nodes; endpoints that name none stand on one.
fn compile(objects: &[Object], now: Option<Moment>) -> Vec<NodeProgram> {
    let mut engine = Engine::new();
    for object in objects {
        let mut object = object.clone();
        let node = match &mut object {
            Object::Pod(pod) => Some(&mut pod.spec.get_or_insert_default().node_name),
            Object::Workload(workload) => Some(&mut workload.spec.node_name),
            _ => None,
        };
        if let Some(node) = node {
            node.get_or_insert_with(|| NODE.to_owned());
        }
        engine.apply(Event::Upsert(object));
    }
    if let Some(now) = now {
        engine.advance(now);
    }
    engine.take_changes();
    let nodes: Vec<String> = engine.nodes().map(str::to_owned).collect();
    nodes.iter().filter_map(|node| engine.program(node)).map(|p| (*p).clone()).collect()
}

//! `bulkhead why`: one connection, explained tier by tier at both ends.
//!
//! The slow reading of the rules answers here: it alone looks at every rule on the way.

mod explain;
mod story;
mod target;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::process::ExitCode;

use bulkhead_policy::World;
use bulkhead_types::{Decision, Direction};

use crate::args::{Output, Why};
use crate::input;
use crate::output::{self, Paint};
use crate::world::{self, Directory, SRC_PORT};

use story::{EndStory, Story};

pub fn run(command: &Why) -> anyhow::Result<ExitCode> {
    let target = target::parse(&command.dst)?;
    let mut input = input::read(&command.manifests)?;
    let world = World::from_objects(&world::objects(&mut input)?);
    world::say_closed(&input, &world);
    let directory = Directory::of(&world);
    let (src, dst) = directory.ends(&command.src, &target.host, target.protocol, command.family)?;
    let ports = (target.port, SRC_PORT);
    let packet = world::packet(&src, &dst, target.protocol, ports, (target.icmp_type, None))?;

    let judged = |end: &world::End, direction| {
        let endpoint = end.endpoint.as_ref().filter(|_| !src.is_same(&dst))?;
        Some(world.trace(endpoint, direction, &packet))
    };
    let egress = judged(&src, Direction::Egress);
    let ingress = judged(&dst, Direction::Ingress);
    let is_denied = [&egress, &ingress]
        .into_iter()
        .flatten()
        .any(|trace| trace.verdict.decision == Decision::Deny);
    let tell = |trace| EndStory::of(&world, &input, trace);
    let story = Story {
        is_same: src.is_same(&dst),
        src: src.into(),
        dst: dst.into(),
        packet,
        verdict: if is_denied { Decision::Deny } else { Decision::Allow },
        egress: egress.as_ref().map(tell),
        ingress: ingress.as_ref().map(tell),
    };
    let mut out = output::answers();
    match command.output {
        Output::Text => story.write_text(&mut out, Paint::for_stdout())?,
        Output::Json => story.write_json(&mut out)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

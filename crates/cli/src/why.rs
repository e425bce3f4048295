//! `bulkhead why`: one connection, explained tier by tier at both ends.
//!
//! The slow reading of the rules answers here: it alone looks at every rule on the way.

mod story;
mod target;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use bulkhead_policy::explain::RuleNames;

use crate::args::{Output, Why};
use crate::input;
use crate::output::{self, Paint};
use crate::who::{Ask, Directory};
use crate::world;

use story::Story;

pub fn run(command: &Why) -> anyhow::Result<ExitCode> {
    let target = target::parse(&command.dst)?;
    let mut input = input::read(&command.manifests)?;
    let objects = world::objects(&mut input)?;
    let world = world::read(&objects, &command.reading);
    world::say_closed(&input, &world);
    let directory = Directory::of(&world, &objects);
    let ask = Ask {
        icmp: (target.icmp_type, None),
        family: command.family,
        ..Ask::new(&command.src, &target.host, target.protocol, target.port)
    };
    // Where a name stands for several, the first that is denied is told, else the first.
    let connections = directory.connections(&ask)?;
    let n_connections = connections.len();
    let mut ways = connections.into_iter().map(|connection| {
        let ends = [connection.src.endpoint.as_ref(), connection.dst.endpoint.as_ref()];
        let way = world.way(ends, &connection.packet, &connection.names);
        (connection, way)
    });
    let Some(mut told) = ways.next() else { bail!("nobody is meant") };
    if told.1.is_allowed()
        && let Some(denied) = ways.find(|(_, way)| !way.is_allowed())
    {
        told = denied;
    }
    let rule_names = RuleNames::of(&objects);
    let story = Story::of((&world, &rule_names), &input, told, n_connections);
    let mut out = output::answers();
    match command.output {
        Output::Text => story.write_text(&mut out, Paint::for_stdout())?,
        Output::Json => story.write_json(&mut out)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

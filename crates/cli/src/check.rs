//! `bulkhead check`: everything that can be said about manifests without running them.
//!
//! In order: what the loader says (syntax, kinds, fields), what the policy engine says when it reads
//! the objects, what else a server would refuse, whether what they refer to exists, and what is
//! probably not meant (lint).

pub mod codes;
mod lint;
mod references;
mod report;
mod sarif;
mod server;

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::process::ExitCode;

use bulkhead_api::expand::Remark;
use bulkhead_api::manifest::{Diagnostic, Severity, Source};
use bulkhead_api::object::Kind;
use bulkhead_api::{Object, ObjectKey};
use bulkhead_policy::World;
use bulkhead_policy::rule::Moment;

use crate::args::{Check, CheckOutput};
use crate::input::{self, Input};
use crate::output::{self, Paint};
use crate::world;

pub fn run(command: &Check) -> anyhow::Result<ExitCode> {
    let mut input = input::read(&command.manifests)?;
    let objects = input.take_objects();
    let n_objects = objects.len();
    let mut findings = find(&input, objects, world::moment(&command.when));
    let is_silenced = |finding: &Finding| {
        finding.diagnostic.severity != Severity::Error
            && command.allow.iter().any(|code| code == finding.diagnostic.code)
    };
    findings.retain(|finding| !is_silenced(finding));
    let mut out = output::answers();
    match command.output {
        CheckOutput::Text => {
            report::text(&mut out, n_objects, &input, &findings, Paint::for_stdout())?
        }
        CheckOutput::Json => report::json(&mut out, n_objects, &input, &findings)?,
        CheckOutput::Sarif => sarif::write(&mut out, &findings)?,
    }
    out.flush()?;
    let is_bad = findings.iter().any(|finding| is_denied(&finding.diagnostic, &command.deny));
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn is_denied(diagnostic: &Diagnostic, deny: &[String]) -> bool {
    let asked = |word: &str| deny.iter().any(|denied| denied == word);
    asked(diagnostic.code)
        || match diagnostic.severity {
            Severity::Error => true,
            Severity::Warning => asked("warnings") || asked("notes"),
            Severity::Note => asked("notes"),
        }
}

/// A complaint with the object it is about, where it got as far as being one.
#[derive(Clone, Debug)]
pub struct Finding {
    pub object: Option<ObjectKey>,
    pub diagnostic: Diagnostic,
}

/// `everybody` is what was written; pods of owners come to it, so that there is one copy of all.
fn find(input: &Input, mut everybody: Vec<Object>, now: Moment) -> Vec<Finding> {
    let n_written = everybody.len();
    let populated = world::populate(&mut everybody);
    let mut pen =
        Pen { input, owners: populated.owners, findings: Vec::new(), errors: HashMap::new() };
    let written = input.manifests.diagnostics.iter();
    pen.findings.extend(written.map(|d| Finding { object: None, diagnostic: d.clone() }));

    pen.remarks(populated.remarks);
    let world = World::from_objects(&everybody).at(now);
    pen.engine(world.diagnostics());
    let objects: Vec<&Object> = everybody.iter().take(n_written).collect();
    server::check(&objects, &mut pen);
    references::check(&objects, &everybody, &mut pen);
    lint::shapes(&everybody, &mut pen);
    // What is lowered is enough for the rest, and large worlds should fit twice in no memory.
    drop(objects);
    drop(everybody);
    lint::check(&world, &mut pen);

    let mut findings = pen.findings;
    findings.sort_by(|a, b| {
        let place = |f: &Finding| (f.diagnostic.source.clone(), f.diagnostic.severity);
        place(a).cmp(&place(b))
    });
    findings
}

/// Writes findings at the right place.
pub struct Pen<'a> {
    input: &'a Input,
    /// Whose template a pod that nobody wrote comes from.
    owners: HashMap<ObjectKey, ObjectKey>,
    findings: Vec<Finding>,
    /// The fields of each object that errors are about.
    errors: HashMap<ObjectKey, Vec<String>>,
}

impl Pen<'_> {
    /// What lowering says, in the form of the rest; this is what a server would refuse or warn of.
    fn engine(&mut self, diagnostics: &[bulkhead_policy::Diagnostic]) {
        // `references` says it with the name that was probably meant.
        for found in diagnostics.iter().filter(|found| !found.is_about_tier()) {
            let (severity, code) = match (found.severity, &*found.field) {
                (bulkhead_policy::Severity::Error, _) => (Severity::Error, "invalid"),
                (_, field) if field.ends_with(".http") => (Severity::Warning, "http-not-enforced"),
                (bulkhead_policy::Severity::Note, "spec.expires") => (Severity::Warning, "expired"),
                (bulkhead_policy::Severity::Warning, _) => (Severity::Warning, "odd"),
                (bulkhead_policy::Severity::Note, _) => (Severity::Note, "noted"),
            };
            let message = format!("`{}`: {}", found.field, found.message);
            let effect = Some(found.effect).filter(|effect| !effect.is_empty());
            let help = effect.map(|effect| format!("as it stands, {effect}"));
            self.write(severity, code, &found.object, &found.field, message, help);
        }
    }

    /// What came up when owners were turned into pods.
    fn remarks(&mut self, remarks: Vec<Remark>) {
        for Remark { severity, code, object, field, message, help } in remarks {
            self.write(severity, code, &object, field, message, help);
        }
    }

    pub fn write(
        &mut self,
        severity: Severity,
        code: &'static str,
        object: &ObjectKey,
        field: &str,
        message: String,
        help: Option<String>,
    ) {
        let (object, field) = self.written(object, field);
        let (object, field) = (&object, field.as_str());
        let source = self.input.place(object, field);
        let source =
            source.unwrap_or_else(|| Source { file: "<server>".into(), line: 1, column: 1 });
        let diagnostic = Diagnostic::new(severity, code, source, message);
        let diagnostic = self.input.quote(diagnostic.help_if(help).at_field(field));
        if severity == Severity::Error {
            self.errors.entry(object.clone()).or_default().push(field.to_owned());
        }
        self.findings.push(Finding { object: Some(object.clone()), diagnostic });
    }

    /// What is about a pod that stands for an owner is about the owner's template.
    fn written(&self, object: &ObjectKey, field: &str) -> (ObjectKey, String) {
        let Some(owner) = self.owners.get(object) else {
            return (object.clone(), field.to_owned());
        };
        let template = match owner.kind {
            Kind::CronJob => "spec.jobTemplate.spec.template",
            _ => "spec.template",
        };
        (owner.clone(), format!("{template}.{field}"))
    }

    /// Whether an error about this field, or about something in it, is written already.
    fn has_error(&self, object: &ObjectKey, field: &str) -> bool {
        let mut written = self.errors.get(object).into_iter().flatten();
        written.any(|written| written.starts_with(field) || field.starts_with(&**written))
    }

    /// Objects that the engine did not understand, about which lint should be silent.
    fn broken(&self) -> BTreeSet<String> {
        self.errors.keys().map(ToString::to_string).collect()
    }
}

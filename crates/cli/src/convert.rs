//! `bulkhead convert`: policies of one dialect as those of the other, as YAML.
//!
//! Invariant: what is printed loads again and says the same; what cannot be said is not printed, but
//! named on stderr field by field, and the exit status is 1.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use bulkhead_api::manifest::{self, Diagnostic, Severity, Source};
use bulkhead_api::{Object, ObjectKey};
use bulkhead_apimachinery::{defaulting, kinds, validate};
use bulkhead_policy::convert::{Refusal, Surroundings, to_calico, to_kubernetes};
use serde_json::Value;

use crate::args::{Convert, Dialect};
use crate::input::{self, Input};
use crate::output;

pub fn run(command: &Convert) -> anyhow::Result<ExitCode> {
    let input = input::read(&command.manifests)?;
    for found in &input.manifests.diagnostics {
        if found.severity != Severity::Note {
            output::complain(&format!("{found}\n"));
        }
    }
    if input.manifests.has_errors() {
        bail!("the manifests have errors: nothing is converted");
    }
    let around = Surroundings::of(input.objects());
    let mut out = output::answers();
    let (mut n_converted, mut n_refused) = (0usize, 0usize);
    for object in input.objects() {
        let Some(converted) = convert(object, command.to, around) else { continue };
        match converted.and_then(check) {
            Ok(object) => {
                n_converted += 1;
                write(&object, &mut out)?;
            }
            Err(refusals) => {
                n_refused += 1;
                refuse(&input, &object.key(), &refusals);
            }
        }
    }
    out.flush()?;
    if n_converted + n_refused == 0 {
        output::complain("note: no policy here is of a kind that would be converted");
    }
    match n_refused {
        0 => Ok(ExitCode::SUCCESS),
        n => bail!("{n} of {} policies cannot be converted", n + n_converted),
    }
}

/// `None`: no policy, or one that is of that dialect already.
fn convert(
    object: &Object,
    to: Dialect,
    around: Surroundings,
) -> Option<Result<Object, Vec<Refusal>>> {
    match (object, to) {
        (Object::KubernetesNetworkPolicy(policy), Dialect::Calico) => {
            Some(to_calico(policy).map(|policy| Object::NetworkPolicy(Box::new(policy))))
        }
        (Object::NetworkPolicy(policy), Dialect::Kubernetes) => {
            let policy = to_kubernetes(policy, around);
            Some(policy.map(|policy| Object::KubernetesNetworkPolicy(Box::new(policy))))
        }
        (other, Dialect::Kubernetes) => {
            let why = match other {
                Object::GlobalNetworkPolicy(_) => "a Kubernetes policy belongs to one namespace",
                Object::StagedNetworkPolicy(_)
                | Object::StagedGlobalNetworkPolicy(_)
                | Object::StagedKubernetesNetworkPolicy(_) => {
                    "Kubernetes policies cannot be staged"
                }
                Object::Tier(tier) => match tier.metadata.name.as_deref() {
                    Some("default" | "kube-admin" | "kube-baseline") => return None,
                    _ => "Kubernetes has no tiers of one's own",
                },
                _ => return None,
            };
            let (field, why) = ("kind".to_owned(), why.to_owned());
            Some(Err(vec![Refusal { field, why }]))
        }
        _ => None,
    }
}

/// What a server would refuse is not written out.
fn check(object: Object) -> Result<Object, Vec<Refusal>> {
    let failed = |why: String| vec![Refusal { field: "spec".to_owned(), why }];
    let mut value = object.to_value().map_err(|error| failed(error.to_string()))?;
    let resource = kinds::by_id(object.kind());
    defaulting::complete(resource, &mut value);
    let refusals: Vec<Refusal> = validate::meaning(resource, &value)
        .into_iter()
        .map(|error| Refusal { why: error.body(), field: error.path })
        .collect();
    if refusals.is_empty() { Ok(object) } else { Err(refusals) }
}

fn write(object: &Object, out: &mut impl Write) -> anyhow::Result<()> {
    let mut value = object.to_value().context("the policy is no JSON")?;
    // `apiVersion` and `kind` stand at the top, where people look for them.
    if let Some(fields) = value.as_object_mut() {
        let (api_version, kind) = object.kind().api();
        let mut ordered = serde_json::Map::new();
        ordered.insert("apiVersion".to_owned(), Value::from(api_version));
        ordered.insert("kind".to_owned(), Value::from(kind));
        ordered.extend(fields.iter().map(|(key, value)| (key.clone(), value.clone())));
        *fields = ordered;
    }
    let text = serde_saphyr::to_string(&value).context("the policy is no YAML")?;
    let again = manifest::load("converted", &text).into_objects();
    if again.first().is_none_or(|again| again != object) {
        bail!("{} would not read back as it was written; please report this", object.key());
    }
    writeln!(out, "---\n{}", text.trim_end())?;
    Ok(())
}

fn refuse(input: &Input, object: &ObjectKey, refusals: &[Refusal]) {
    for Refusal { field, why } in refusals {
        let unknown = || Source { file: "<server>".into(), line: 1, column: 1 };
        let source = input.place(object, field).unwrap_or_else(unknown);
        let message = format!("{object}: `{field}`: {why}");
        let complaint = Diagnostic::error("not-expressible", source, message);
        output::complain(&format!("{}\n", input.quote(complaint)));
    }
}

//! `bulkhead-lab run`: manifests and probes in, eval's answer and the network's answer out.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Run, complain, say, signalled};
use crate::lab::Lab;
use crate::manifests;
use crate::probe::{Outcome, Patience, Probe};
use crate::process::Programs;

const UNHURRIED: Patience = Patience { timeout: Duration::from_secs(2), attempts: 3, parallel: 16 };

pub async fn run(arguments: Run) -> Result<ExitCode> {
    let stdin = Path::new("-");
    let from_stdin = |path: &&PathBuf| path.as_path() == stdin;
    let n_stdin = arguments.paths.iter().chain([&arguments.probes]).filter(from_stdin).count();
    if n_stdin > 1 {
        bail!("standard input can be read once: give `-` for either the manifests or the probes");
    }
    let probes = read_text(&arguments.probes)?;
    let probes = Probe::read_lines(&probes)?;
    let texts = manifests::texts(&arguments.paths)?;
    let objects = manifests::parse(&texts)?;
    let mut programs = Programs::find()?;
    if let Some(dataplane) = arguments.dataplane {
        programs.backend = dataplane.backend().to_owned();
    }
    let mut lab = Lab::up_with(programs, &objects).await?;
    let evaluated = evaluate(&lab, &texts, &probes).await?;
    if evaluated.len() != probes.len() {
        bail!("`bulkhead eval` answered {} of {} probes", evaluated.len(), probes.len());
    }
    let mut outcomes = lab.probe(&probes).await?;
    look_again(&mut lab, &probes, &evaluated, &mut outcomes).await?;
    lab.check()?;
    for (mut line, outcome) in evaluated.into_iter().zip(outcomes) {
        let fields = line.as_object_mut().context("`bulkhead eval` printed no object")?;
        fields.insert("connected".to_owned(), Value::from(outcome.connected));
        say(&serde_json::to_string(&line)?);
    }
    if arguments.keep {
        complain(&format!(
            "kept until Ctrl-C: KUBECONFIG={} and namespaces `{}*`",
            lab.kubeconfig().display(),
            lab.claim().netns("")
        ));
        signalled().await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is allowed and did not connect is asked once more, without haste: a busy machine is no verdict.
async fn look_again(
    lab: &mut Lab,
    probes: &[Probe],
    evaluated: &[Value],
    outcomes: &mut [Outcome],
) -> Result<()> {
    let is_odd = |(line, outcome): (&Value, &Outcome)| {
        line.get("verdict").is_some_and(|verdict| verdict == "allow") && !outcome.connected
    };
    let odd: Vec<bool> = evaluated.iter().zip(outcomes.iter()).map(is_odd).collect();
    let again = probes.iter().zip(&odd).filter(|(_, is_odd)| **is_odd);
    let again: Vec<Probe> = again.map(|(probe, _)| probe.clone()).collect();
    if again.is_empty() {
        return Ok(());
    }
    lab.patience = UNHURRIED;
    let found = lab.probe(&again).await?;
    let odd_ones = outcomes.iter_mut().zip(odd).filter(|(_, is_odd)| *is_odd);
    odd_ones.zip(found).for_each(|((outcome, _), found)| *outcome = found);
    Ok(())
}

fn read_text(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        return std::io::read_to_string(std::io::stdin()).context("cannot read standard input");
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

/// Asks the offline engine about the same world.
async fn evaluate(lab: &Lab, texts: &[(String, String)], probes: &[Probe]) -> Result<Vec<Value>> {
    let folder = lab.claim().data_folder().join("manifests");
    std::fs::create_dir_all(&folder)?;
    let mut flows = String::new();
    for probe in probes {
        flows.push_str(&serde_json::to_string(probe)?);
        flows.push('\n');
    }
    let mut command = Command::new(&lab.programs().cli);
    command.args(["eval", "--flows", "-"]);
    for (i, (_, text)) in texts.iter().enumerate() {
        let path = folder.join(format!("{i:05}.yaml"));
        std::fs::write(&path, text)?;
        command.arg("-f").arg(path);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().context("cannot start `bulkhead eval`")?;
    let mut stdin = child.stdin.take().context("`bulkhead eval` has no standard input")?;
    let (written, output) = tokio::join!(
        async move { stdin.write_all(flows.as_bytes()).await },
        child.wait_with_output()
    );
    let output = output?;
    if !output.status.success() {
        bail!("`bulkhead eval`: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    written.context("`bulkhead eval` stopped reading its flows")?;
    let text = String::from_utf8(output.stdout)?;
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("eval printed `{line}`")))
        .collect()
}

//! What passes between the plugin and the agent of its node: one line of JSON each way over a Unix
//! socket that is root's alone.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bulkhead_types::EndpointId;
use serde::{Deserialize, Serialize};

/// One line, either way.
pub const LINE_BYTES_MAX: u64 = 64 << 10;
/// The agent waits no longer than this, whatever it is asked.
pub const WAIT_MAX: Duration = Duration::from_secs(120);
/// What an answer may take beyond the wait that was asked for.
const SLACK: Duration = Duration::from_secs(5);
/// Where an agent listens unless it is told otherwise.
pub const SOCKET: &str = "/var/lib/bulkhead/agent.sock";

/// Names one interface of one container over its whole life.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot {
    pub container: String,
    /// The name inside.
    pub interface: String,
}

/// What the plugin asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "camelCase")]
pub enum Request {
    /// Take the interface over, and answer when its endpoint's policy is in the kernel.
    #[serde(rename_all = "camelCase")]
    Add {
        slot: Slot,
        /// Whom it is for; unset: whoever has the addresses.
        endpoint: Option<EndpointId>,
        /// Names on the host's side, of which one is its.
        host_interfaces: Vec<String>,
        addresses: BTreeSet<IpAddr>,
        wait_ms: u64,
    },
    /// Forget it. That it is unknown is no error.
    Del { slot: Slot },
    /// Say whether it is enforced now.
    Check { slot: Slot },
    /// Say whether an interface could be added.
    Status,
    /// Forget all but these.
    Gc { valid: BTreeSet<Slot> },
}

/// What the agent says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase")]
pub enum Answer {
    Done,
    /// Not in the time that was given; `waited_for` completes "waited for".
    #[serde(rename_all = "camelCase")]
    Late {
        waited_for: String,
    },
    /// Not now: no program yet.
    NotReady {
        reason: String,
    },
    Refused {
        reason: String,
    },
}

impl Request {
    /// How long the asker should wait for the answer.
    pub fn patience(&self) -> Duration {
        match self {
            Request::Add { wait_ms, .. } => Duration::from_millis(*wait_ms).min(WAIT_MAX) + SLACK,
            _ => SLACK,
        }
    }
}

/// Asks the agent. An error means that it could not be asked, or did not answer.
pub fn ask(socket: &Path, request: &Request) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(request.patience()))?;
    stream.set_write_timeout(Some(SLACK))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream.take(LINE_BYTES_MAX)).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

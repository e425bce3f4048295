//! One call of the plugin: command in, result or error out.

use serde_json::{Value, json};

use crate::VERSIONS;
use crate::config::{Config, endpoint_of};
use crate::error::{CniError, code};
use crate::local::{Answer, Request, Slot, ask};
use crate::result::Made;

/// What a runtime says by environment variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    pub command: String,
    pub container: String,
    pub interface: String,
    pub args: String,
}

impl Call {
    pub fn from_environment() -> Self {
        let get = |name: &str| std::env::var(name).unwrap_or_default();
        Self {
            command: get("CNI_COMMAND"),
            container: get("CNI_CONTAINERID"),
            interface: get("CNI_IFNAME"),
            args: get("CNI_ARGS"),
        }
    }

    fn slot(&self) -> Result<Slot, CniError> {
        for (name, value) in [("CNI_CONTAINERID", &self.container), ("CNI_IFNAME", &self.interface)]
        {
            if value.is_empty() {
                let message = format!("{} needs {name}, which is not set", self.command);
                return Err(CniError::new(code::INVALID_ENVIRONMENT, message));
            }
        }
        Ok(Slot { container: self.container.clone(), interface: self.interface.clone() })
    }
}

/// The version that an error is to be in, whatever else is wrong with the configuration.
pub fn error_version(input: &str) -> String {
    let value: Value = serde_json::from_str(input).unwrap_or_default();
    let version = value.get("cniVersion").and_then(Value::as_str);
    version.filter(|version| VERSIONS.contains(version)).unwrap_or("1.0.0").to_owned()
}

/// Carries the call out. `None`: nothing is to be printed.
pub fn run(call: &Call, input: &str) -> Result<Option<Value>, CniError> {
    match call.command.as_str() {
        "ADD" => add(call, &Config::parse(input)?).map(Some),
        "DEL" => {
            let config = Config::parse(input)?;
            let slot = call.slot()?;
            // The interface goes with its container, and what the kernel has of it goes with the
            // interface: an agent that is away now finds out later.
            let _ = ask(&config.socket, &Request::Del { slot });
            Ok(None)
        }
        "CHECK" => check(call, &Config::parse(input)?),
        "STATUS" => status(&Config::parse(input)?),
        "GC" => {
            let config = Config::parse(input)?;
            let _ = ask(&config.socket, &Request::Gc { valid: config.valid });
            Ok(None)
        }
        "VERSION" => {
            let version = error_version(input);
            Ok(Some(json!({"cniVersion": version, "supportedVersions": VERSIONS})))
        }
        "" => Err(CniError::new(
            code::INVALID_ENVIRONMENT,
            "this is a CNI plugin: a container runtime calls it with CNI_COMMAND set",
        )),
        other => {
            let message = format!(
                "CNI_COMMAND is `{other}`: ADD, DEL, CHECK, STATUS, GC and VERSION are known"
            );
            Err(CniError::new(code::INVALID_ENVIRONMENT, message))
        }
    }
}

fn add(call: &Call, config: &Config) -> Result<Value, CniError> {
    let slot = call.slot()?;
    let result = prev_result(call, config)?;
    let Made { host_interfaces, addresses } = Made::read(result, &call.interface)?;
    let endpoint = endpoint_of(&call.args)?;
    let wait_ms = u64::try_from(config.wait.as_millis()).unwrap_or(u64::MAX);
    let request = Request::Add { slot, endpoint, host_interfaces, addresses, wait_ms };
    match reach(config, &request)? {
        Answer::Done => {
            let mut result = result.clone();
            if let Some(object) = result.as_object_mut() {
                object.insert("cniVersion".to_owned(), config.version.clone().into());
            }
            Ok(result)
        }
        Answer::Late { waited_for } => Err(CniError::new(
            code::NOT_ENFORCED_IN_TIME,
            format!("waited {} s for {waited_for}", config.wait.as_secs_f64()),
        )),
        Answer::NotReady { reason } => Err(CniError::new(code::TRY_AGAIN, reason)),
        Answer::Refused { reason } => Err(CniError::new(code::REFUSED, reason)),
    }
}

fn check(call: &Call, config: &Config) -> Result<Option<Value>, CniError> {
    let request = Request::Check { slot: call.slot()? };
    match reach(config, &request)? {
        Answer::Done => Ok(None),
        Answer::Late { waited_for: reason }
        | Answer::NotReady { reason }
        | Answer::Refused { reason } => Err(CniError::new(code::NOT_ENFORCED, reason)),
    }
}

fn status(config: &Config) -> Result<Option<Value>, CniError> {
    let not_available = |reason: String| CniError::new(code::NOT_AVAILABLE, reason);
    match reach(config, &Request::Status) {
        Ok(Answer::Done) => Ok(None),
        Ok(
            Answer::Late { waited_for: reason }
            | Answer::NotReady { reason }
            | Answer::Refused { reason },
        ) => Err(not_available(reason)),
        Err(error) => Err(not_available(error.message).details(error.details)),
    }
}

fn prev_result<'a>(call: &Call, config: &'a Config) -> Result<&'a Value, CniError> {
    config.prev_result.as_ref().ok_or_else(|| {
        let message = format!(
            "{} has no `prevResult`: this plugin comes after one that makes an interface",
            call.command
        );
        CniError::new(code::INVALID_CONFIG, message)
    })
}

fn reach(config: &Config, request: &Request) -> Result<Answer, CniError> {
    ask(&config.socket, request).map_err(|error| {
        let socket = config.socket.display();
        let message = format!("this node's Bulkhead agent does not answer at `{socket}`");
        CniError::new(code::TRY_AGAIN, message).details(error.to_string())
    })
}

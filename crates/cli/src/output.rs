//! Where answers and complaints go, and in which colours.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Says what went wrong and how to go on. A reader that has gone away is no failure.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    let is_pipe = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe);
    if is_pipe {
        return ExitCode::SUCCESS;
    }
    complain(&format!("error: {error:#}"));
    ExitCode::FAILURE
}

/// One complaint on stderr; there is nobody to tell if that fails.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Buffered stdout.
pub fn answers() -> io::BufWriter<io::StdoutLock<'static>> {
    io::BufWriter::with_capacity(1 << 16, io::stdout().lock())
}

/// Colours for a terminal, nothing elsewhere or where `NO_COLOR` is set.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    is_on: bool,
}

impl Paint {
    pub fn for_stdout() -> Self {
        let is_off = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { is_on: io::stdout().is_terminal() && !is_off }
    }

    #[cfg(test)]
    pub fn off() -> Self {
        Self { is_on: false }
    }

    pub fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    pub fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    pub fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.is_on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

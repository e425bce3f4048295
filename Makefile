# Two commands. Both install what is missing (Debian packages, by apt) and say so.
#   make run          a small shop on this machine, enforced by eBPF; Ctrl-C leaves the machine as it was
#   make run FOR=60   the same for 60 seconds, with a summary and an exit code
#   make test         every test; the last line is "N passed, N failed"

# In CI the build cache lies outside the clone, so that a fresh clone does not build dependencies again.
ifdef CI
export CARGO_TARGET_DIR ?= $(HOME)/.cache/bulkhead/target
endif

.PHONY: run test setup linker

run: linker
	@cargo xtask run $(if $(FOR),--for $(FOR))

test: linker
	@cargo xtask test

setup: linker
	@cargo xtask setup

# Rust links with the C compiler; everything else is installed by `cargo xtask setup`.
linker:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust 1.95 or newer with rustup (https://rustup.rs)"; exit 1; }
	@command -v cc >/dev/null || [ "$$(id -u)" = 0 ] || { echo "no C compiler to link with, and installing one needs root: run this again as root"; exit 1; }
	@command -v cc >/dev/null || { echo "setup: the C compiler that links Rust programs is missing, installing gcc"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null; }

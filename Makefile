# Two commands. Both install what is missing (Debian packages, by apt) and say so.
#   make run          a small shop on this machine, enforced by eBPF; Ctrl-C leaves the machine as it was
#   make run FOR=60   the same for 60 seconds, with a summary and an exit code
#   make test         every test; the last line is "N passed, N failed"

# In CI the build cache lies outside the clone, so that a fresh clone does not build dependencies again.
ifdef CI
export CARGO_TARGET_DIR ?= $(HOME)/.cache/bulkhead/target
endif

.PHONY: run test setup

run:
	@cargo xtask run $(if $(FOR),--for $(FOR))

test:
	@cargo xtask test

setup:
	@cargo xtask setup

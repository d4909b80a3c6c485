# `make demo` and `make test` each work on a machine with nothing but cargo, CPython 3.11+ and make.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
# The one place that names the version of uv is the lock file.
UV_VERSION := $(shell sed -n '/^name = "uv"$$/{n;s/^version = "\(.*\)"$$/\1/p;}' uv.lock)
CORPUS := parity_tests/corpus/tool_results.jsonl
# `make demo CPEX=0.1.2` replays with that version of cpex, in an environment of its own.
CPEX ?=
# cpex up to 0.1.2 allows mcp 2 but cannot be imported with it.
OLD_CPEX_NEEDS := "mcp==1.30.0"

export UV_PYTHON_DOWNLOADS := never
export CARGO_TERM_COLOR ?= auto

# The published hybrid, its framework and what both need, as its lock files have them.
PUBLISHED := pypi:cpex-retry-with-backoff==0.3.1
LOCKED = --cpex $(1) --constraints parity_tests/published/requirements-cpex-$(1).txt
# Every cpex 0.1.x: each hands plugins a dict of its own make.
CPEX_VERSIONS := 0.1.0 0.1.1 0.1.2 0.1.3 0.1.4
COMPARE = $(BIN)/retry-parity compare --seed ci --scenarios $(SCENARIOS)
SCENARIOS ?= 1500
CARGO_MUTANTS := target/tools/bin/cargo-mutants
CARGO_MUTANTS_VERSION := 27.1.0
CARGO_DENY := target/tools/bin/cargo-deny
CARGO_DENY_VERSION := 0.20.2
# What goes into the gateway's environment.
GATEWAY_SOURCES := $(shell find Cargo.lock Cargo.toml pyproject.toml rust python_shim/retry_with_backoff \
	python_legacy $(addprefix parity_tests/,pyproject.toml Cargo.lock Cargo.toml retry_parity rust) \
	-type f -not -name '*.so' -not -name '*.pyc' -not -path '*/tests/*')
export RETRY_PARITY_CACHE ?= $(CURDIR)/.venvs/compared

.PHONY: help setup demo gateway test test-rust test-python test-published test-old-cpex \
	test-three-way test-gateway test-ray nightly detection audit fuzz model reliability bench check format lint types instructions \
	rehearse-deletion generated clean

help: ## Show the commands.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)$$/\1\t\2/p' Makefile | expand -t 20

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "$(PYTHON) is Python %d.%d; needed: 3.11 or newer (make PYTHON=...)" % sys.version_info[:2])'
	@command -v cargo >/dev/null || { echo "cargo is not on PATH; needed: Rust 1.88 or newer"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# An install from a folder copies (`editable = false` in the pyproject files); here alone it does not.
SYNC := $(UV) sync --frozen --inexact --no-install-workspace
EDITABLE := $(UV) pip install --quiet --no-deps $(addprefix --editable ,. ./python_legacy ./parity_tests)

setup: $(UV) ## Create .venv, build everything and install it there.
	@$(SYNC) --python $(BIN)/python
	@$(EDITABLE) --python $(BIN)/python

demo: setup ## Replay the recorded tool results through both implementations.
ifeq ($(CPEX),)
	@$(BIN)/retry-parity run $(CORPUS)
else
	@$(MAKE) --no-print-directory .venvs/cpex-$(CPEX)
	@.venvs/cpex-$(CPEX)/bin/retry-parity run $(CORPUS)
endif

# `make gateway ARGS="--workers 2"`; ARGS=--help shows all there is.
gateway: .venvs/gateway/installed ## Run the real gateway with the migration plugin until Ctrl-C.
	@PYTHONPATH=parity_tests .venvs/gateway/bin/python -m gateway $(ARGS)

test: test-rust test-python test-old-cpex test-ray test-published test-three-way test-gateway ## Run every test.

test-rust: ## Test the core.
	@if cargo nextest --version >/dev/null 2>&1; \
	  then cargo nextest run --locked -p retry-core && cargo test --locked --quiet --doc -p retry-core; \
	  else cargo test --locked --quiet -p retry-core; fi
	@cargo test --locked --quiet --manifest-path fuzz/Cargo.toml --no-default-features \
	  --target-dir target/fuzz

# Every order in which threads may take the store's lock; a build of its own.
model: ## Try every interleaving of threads in the core's store.
	@RUSTFLAGS="--cfg shuttle" cargo test --locked --quiet -p retry-core --test store_model \
	  --target-dir target/model -- --nocapture

test-python: setup ## Test the packages on every implementation.
	@$(BIN)/pytest -n auto

# cpex up to 0.1.2 hands plugins a dict whose own storage is empty, newer versions a filled one. What
# a cpex makes no difference to is left out; generated scenarios meet each of them in test-three-way.
OLD_CPEX := python_shim/tests/behaviour python_legacy/tests \
	$(addprefix python_shim/tests/test_,$(addsuffix .py,hostile_results results shim)) \
	$(addprefix parity_tests/tests/test_,$(addsuffix .py,agreement canary compare flips lane run \
	scenarios))

test-old-cpex: .venvs/cpex-0.1.2 ## What meets results, with the cpex whose CopyOnWriteDict is lazy.
	@.venvs/cpex-0.1.2/bin/pytest -n auto -q $(OLD_CPEX)
	@.venvs/cpex-0.1.2/bin/retry-parity run $(CORPUS)

# Alone: the start of a Ray cluster does not bear a busy machine.
test-ray: setup ## Replays on a real Ray cluster.
	@$(BIN)/pytest -q parity_tests/on_ray/tests

.venvs/cpex-%: setup
	@UV_PROJECT_ENVIRONMENT=$@ $(SYNC) --quiet --python $(BIN)/python
	@$(EDITABLE) --python $@/bin/python
	@$(UV) pip install --quiet --python $@/bin/python cpex==$* $(if $(filter 0.1.0 0.1.1 0.1.2,$*),$(OLD_CPEX_NEEDS))

test-published: setup ## The 60 cases against the published hybrid.
	@$(BIN)/python parity_tests/published/run.py

# Published and hybrid: no difference at all. Hybrid, or published, and core: the ledger only. The
# published rewrite: every known regression.
test-three-way: setup ## The published hybrid, ours, and the core, each against the others.
	@$(COMPARE) $(PUBLISHED) legacy --strict $(call LOCKED,0.1.2)
	@$(COMPARE) $(PUBLISHED) legacy --strict $(call LOCKED,0.1.4)
	@$(COMPARE) $(PUBLISHED) $(PUBLISHED) --strict $(call LOCKED,0.1.2)
	@$(COMPARE) $(PUBLISHED) rust $(call LOCKED,0.1.2)
	@$(COMPARE) $(PUBLISHED) rust $(call LOCKED,0.1.4)
	@$(BIN)/python parity_tests/published/regressions.py
	@for version in $(CPEX_VERSIONS); do $(COMPARE) legacy rust --cpex $$version || exit; done

test-gateway: .venvs/gateway/installed ## The real gateway, under every implementation.
	@.venvs/gateway/bin/pytest -q parity_tests/gateway/tests

# Not editable, as an operator installs it: what runs there does not change while it runs.
.venvs/gateway/installed: parity_tests/gateway/requirements.txt $(GATEWAY_SOURCES) | setup
	@[ -x $(@D)/bin/python ] || $(UV) venv --quiet --clear --python $(BIN)/python $(@D)
	@rm -rf target/gateway/wheels
	@for room in . python_legacy parity_tests; do \
	  said=$$(cd $$room && $(CURDIR)/$(BIN)/maturin build --release --locked \
	    --out $(CURDIR)/target/gateway/wheels 2>&1) || { echo "$$said"; exit 1; }; \
	done
	@$(UV) pip install --quiet --exact --compile-bytecode --python $(@D)/bin/python \
	  --reinstall-package retry-with-backoff --reinstall-package retry-with-backoff-legacy \
	  --reinstall-package retry-parity -r $< target/gateway/wheels/*.whl
	@touch $@

# Hours: a million decisions of each pair, the Hypothesis suites with a million examples each, then
# load and fuzzing.
nightly: ## Look for a difference for hours, elsewhere each time.
	@$(MAKE) --no-print-directory test-three-way SCENARIOS=100000 \
	  COMPARE='$(BIN)/retry-parity compare --scenarios $$(SCENARIOS)'
	@HYPOTHESIS_PROFILE=nightly $(BIN)/pytest -n auto parity_tests/tests
	@$(BIN)/python benches/soak --seconds 3600 --clock-step 0.0001
	@$(MAKE) --no-print-directory .venvs/gateway/installed fuzz SECONDS=3600
	@PYTHONPATH=parity_tests .venvs/gateway/bin/python -m gateway.load --seconds 1800

$(CARGO_MUTANTS):
	@cargo install --locked --quiet --root target/tools cargo-mutants@$(CARGO_MUTANTS_VERSION)

$(CARGO_DENY):
	@cargo install --locked --quiet --root target/tools cargo-deny@$(CARGO_DENY_VERSION)

# cargo-deny takes minutes to build. `make audit ARGS=--required` fails where nobody can be asked.
audit: setup $(CARGO_DENY) ## Check dependencies, and ask for known vulnerabilities of them.
	@$(BIN)/python .ci/supply_chain --advisories $(ARGS)

# `make fuzz SECONDS=600`; ARGS=--help shows all there is.
SECONDS_OF_FUZZING := $(or $(SECONDS),120)
fuzz: setup ## Fuzz the core and the shim for a bounded time.
	@$(SYNC) --quiet --group fuzz --python $(BIN)/python
	@$(BIN)/python fuzz/run --seconds $(SECONDS_OF_FUZZING) $(ARGS)

# More than half an hour, and nothing else beside it: some rows measure. ONLY=REGEX takes those rows.
reliability: setup .venvs/gateway/installed ## Try to break it; write docs/RELIABILITY.md.
	@$(BIN)/python benches/reliability $(if $(ONLY),--only $(ONLY))

# Half an hour or more on two cores.
detection: setup $(CARGO_MUTANTS) ## Measure which faults the parity suite finds, and its false alarms.
	@$(BIN)/python -m retry_parity.detection --cargo-mutants $(CURDIR)/$(CARGO_MUTANTS)

# Some minutes on a quiet machine. FULL=1 also fills the stores whose every call walks all entries.
bench: setup ## Measure every implementation side by side, and the core alone.
	@$(SYNC) --quiet --group bench --python $(BIN)/python
	@$(BIN)/python benches/hook $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(FULL),--full)

# The types are checked on one core while cargo has the other.
check: setup ## Format, lints, types, and what must stay true.
	@$(MAKE) --no-print-directory --jobs=2 --output-sync lint types instructions rehearse-deletion

# Cargo workspaces besides that of the fuzz targets, which are linted without their engine.
WORKSPACES := . benches python_legacy parity_tests parity_tests/rust_clock

lint:
	@for each in $(WORKSPACES) fuzz; do cargo fmt --all --check --manifest-path $$each/Cargo.toml; done
	@for each in $(WORKSPACES); do cargo clippy --locked --quiet --workspace --all-targets \
	  --manifest-path $$each/Cargo.toml -- -D warnings; done
	@cargo clippy --locked --quiet --manifest-path fuzz/Cargo.toml --no-default-features \
	  --target-dir target/fuzz --all-targets -- -D warnings
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/ruff check --quiet
	@$(BIN)/python .ci/supply_chain
	@! cargo tree --locked -p retry-core --edges normal | grep -i pyo3 \
	  || { echo "retry-core depends on pyo3; it must not"; exit 1; }
	@.ci/check_generated $(BIN)/python

types:
	@for room in python_shim python_legacy parity_tests benches/hook benches/soak benches/reliability \
	  "fuzz/run fuzz/tests"; do $(BIN)/mypy $$room; done
	@cd python_shim && ../$(BIN)/python -m mypy.stubtest retry_with_backoff._core \
	  --mypy-config-file ../pyproject.toml
	@cd python_legacy && ../$(BIN)/python -m mypy.stubtest retry_legacy._native \
	  --mypy-config-file ../pyproject.toml
	@cd parity_tests && ../$(BIN)/python -m mypy.stubtest retry_parity._native \
	  --mypy-config-file ../pyproject.toml
	@$(BIN)/basedpyright

# Counts, not seconds: they are the same on a busy machine.
instructions: ## Compare the core's instruction counts with the stored ones.
	@.ci/instructions $(if $(CI),--required)

rehearse-deletion: setup ## Without the migration rooms the product must build and pass its tests.
	@.ci/rehearse_deletion $(BIN)

generated: setup ## Write the files that are generated.
	@.ci/check_generated $(BIN)/python --write

format: setup ## Format everything.
	@for each in $(WORKSPACES) fuzz; do cargo fmt --all --manifest-path $$each/Cargo.toml; done
	@$(BIN)/ruff check --quiet --fix
	@$(BIN)/ruff format --quiet

clean: ## Remove what was built and installed.
	@rm -rf $(VENV) .venvs target

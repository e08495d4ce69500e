# What a person types here. Needs Rust, Python 3.10+ and make; everything else is put into .venv.
# Stamp files in .venv say what is done already: a target does again only what its inputs ask for.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MATURIN := VIRTUAL_ENV='$(CURDIR)/$(VENV)' $(BIN)/maturin
# The peers of the benchmarks would not get on with what the tests pin.
BENCH := .venv-bench

# Folders too, so that a deleted file is seen.
SOURCES := Cargo.toml Cargo.lock pyproject.toml $(shell find src schemas 2>/dev/null)
PACKAGE := $(SOURCES) README.md $(shell find python -type f -not -path '*__pycache__*' -not -name '*.so' 2>/dev/null)

.PHONY: help demo test truth faults lint format bench bench-scaling wheel clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.native ## set up, build, and run the whole line on generated card payments
	@$(BIN)/model-factory demo

test: $(VENV)/.native $(VENV)/.dev ## set up and run every check and test, Rust and Python
	@$(BIN)/python tests/summary.py test

truth: $(VENV)/.native $(VENV)/.dev ## published truth on ../shared/data (or MODEL_FACTORY_TRUTH_DATA)
	@$(BIN)/python tests/summary.py truth

faults: $(VENV)/.native $(VENV)/.dev ## faults by the thousand on both backends, in some 12 minutes; NAME=points runs only that
	@$(BIN)/python -m tests.faults $(NAME)

lint: $(VENV)/.native $(VENV)/.dev ## only the checks: rustfmt, clippy, ruff, mypy, stubtest
	@$(BIN)/python tests/summary.py lint

format: $(VENV)/.dev ## rewrite Rust and Python in the project's format
	@cargo fmt --all
	@$(BIN)/ruff check --quiet --fix --exit-zero
	@$(BIN)/ruff format --quiet

bench: $(BENCH)/.native ## speed and quality beside other libraries; NAME=boosting_fit runs only that
	@$(BENCH)/bin/python -m benches.run $(NAME)

bench-scaling: $(BENCH)/.native ## time and peak memory at 1/8 to 8 times the rows, into docs/
	@$(BENCH)/bin/python -m benches.scaling

wheel: $(VENV)/.ready ## the wheel to publish (thin link-time optimisation), in dist/
	@$(MATURIN) build --release --out dist

clean: ## remove what was built here; a target folder elsewhere (CARGO_TARGET_DIR) is left alone
	@rm -rf $(VENV) $(BENCH) dist target .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find python tests -name '__pycache__' -prune -exec rm -rf {} +
	@find python -name '_native*.so' -delete

$(VENV)/.ready: requirements-dev.txt
	@command -v cargo >/dev/null || { echo 'Rust is missing: install a toolchain as https://rustup.rs says.' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo 'Python 3.10 or newer is needed; name one by: make PYTHON=python3.12' >&2; exit 1; }
	@test -x $(BIN)/python || { echo '── virtual environment'; $(PYTHON) -m venv $(VENV); }
	@echo '── build requirements'
	@$(BIN)/python -m pip install --quiet --constraint requirements-dev.txt maturin numpy
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.ready
	@echo '── test requirements'
	@$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	@touch $@

# The `fast` profile: release code without the two minutes that link-time optimisation takes each time.
$(VENV)/.native: $(SOURCES) $(VENV)/.ready
	@echo '── build'
	@$(MATURIN) develop --profile fast
	@touch $@

$(BENCH)/.peers: benches/requirements.txt
	@test -x $(BENCH)/bin/python || { echo '── virtual environment of the benchmarks'; $(PYTHON) -m venv $(BENCH); }
	@$(BENCH)/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Some peers need Python 3.11 or newer; name one by: make PYTHON=python3.12' >&2; exit 1; }
	@echo '── peers'
	@$(BENCH)/bin/python -m pip install --quiet --requirement benches/requirements.txt
	@touch $@

# The wheel as a user gets it, not an editable install: the two profiles would share one extension file.
$(BENCH)/.native: $(PACKAGE) $(BENCH)/.peers
	@echo '── wheel'
	@rm -rf $(BENCH)/wheel
	@VIRTUAL_ENV='$(CURDIR)/$(BENCH)' $(BENCH)/bin/maturin build --release --out $(BENCH)/wheel
	@$(BENCH)/bin/python -m pip install --quiet --force-reinstall --no-deps $(BENCH)/wheel/*.whl
	@touch $@

# The commands of this project. Each installs what it needs into .venv first.

PYTHON ?= python3
# The DataLoader tests need torch 2.4 or later.
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
# A module is compiled when it is first imported, which takes less time than to compile all that is
# installed. The bytecode is kept even where this variable is set: the tests start hundreds of
# processes, and each would compile its modules again.
unexport PYTHONDONTWRITEBYTECODE
PIP_INSTALL := $(BIN)/pip install --quiet --no-compile

.PHONY: demo test docs compat bench fuzz soak space metric-space space-check explorer-check models-check \
  clean

demo: $(VENV)/.ready
	HF_HUB_OFFLINE=1 $(BIN)/python examples/demo.py demo

# Each worker gets half of the tests in their order, so that few fixtures are made twice, and takes
# over some of the other half when it is done.
test: $(VENV)/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd spaces/explorer && "$(CURDIR)/$(BIN)/mypy" --config-file ../../pyproject.toml \
	  --cache-dir ../../.mypy_cache *.py
	$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_OPTIONS)

# Build the documentation into build/site. The code of its tutorials is run in build/docs.
docs: $(VENV)/.docs
	rm -rf build/docs && mkdir -p build/docs
	cd build/docs && PATH="$(CURDIR)/$(BIN):$$PATH" NO_MKDOCS_2_WARNING=1 HF_HUB_OFFLINE=1 \
	  HF_HOME="$(CURDIR)/build/docs/cache" HF_DATASETS_DISABLE_PROGRESS_BARS=1 \
	  mkdocs build --strict --config-file "$(CURDIR)/mkdocs.yml"

# Test with other versions of `datasets`, pandas and Python.
compat: $(VENV)/.tests
	$(BIN)/nox -s compat

# Serve the page of the metric on this machine.
metric-space: $(VENV)/.space
	$(BIN)/python gcd_metric/app.py

# Test that page with only its requirements.txt installed, as on the Hub.
space-check: $(VENV)/.tests
	$(BIN)/nox -s space

# Compare with other libraries; `make bench QUICK=1 PARTS="tiles metric"` runs once, and only these.
bench: $(VENV)/.tests
	QUICK=$(QUICK) $(BIN)/python -m benchmarks $(PARTS)

# Give every parser damaged input: `make fuzz SECONDS=300 TARGETS=tar,jpeg SEED=1`. INPUTS limits the
# number of inputs per parser; a run that reaches it gives the same inputs on every machine.
fuzz: SECONDS ?= 60
fuzz: $(VENV)/.tests
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) --seed $(or $(SEED),0) \
	  --targets "$(TARGETS)" $(if $(INPUTS),--inputs $(INPUTS))

# Kill the commands that write, or break their disk, and run them again: `make soak ROUNDS=50
# TARGETS=build`.
soak: ROUNDS ?= 16
soak: $(VENV)/.tests
	$(BIN)/python -m tests.soak --rounds $(ROUNDS) --seed $(or $(SEED),0) \
	  --targets "$(TARGETS)" $(if $(INPUTS),--inputs $(INPUTS))

# Serve the explorer on this machine, with synthetic data or with the repositories that IM2GPS_REPO
# and JUSTZOOMIN_REPO name.
space: $(VENV)/.space
	EXPLORER_FOLDER="$${EXPLORER_FOLDER:-demo/explorer}" $(BIN)/python spaces/explorer/app.py

# Test the folder that is uploaded, with only its requirements.txt installed, as on the Hub.
explorer-check: $(VENV)/.tests
	$(BIN)/nox -s explorer

# Test geoeval with the libraries of its adapters, on tiny models, and with inspect-ai.
models-check: $(VENV)/.tests
	$(BIN)/nox -s models

clean:
	rm -rf $(VENV) .nox demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --upgrade pip
	$(PIP_INSTALL) --editable ".[all]"
	touch $@

$(VENV)/.space: $(VENV)/.ready
	$(PIP_INSTALL) --editable ".[space]"
	touch $@

$(VENV)/.docs: $(VENV)/.tests
	$(PIP_INSTALL) --editable ".[docs]"
	touch $@

$(VENV)/.tests: $(VENV)/.ready
	$(PIP_INSTALL) --editable ".[dev]" "$(TORCH)" torchdata
	touch $@

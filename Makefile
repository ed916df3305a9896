# What people type. `make demo` and `make test` set themselves up on a fresh machine.

PYTHON ?= python3
# The DataLoader tests need torch; any release from 2.4 on will do.
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test docs compat bench fuzz soak space metric-space space-check explorer-check clean

demo: $(VENV)/.ready
	HF_HUB_OFFLINE=1 $(BIN)/python examples/demo.py demo

test: $(VENV)/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd spaces/explorer && "$(CURDIR)/$(BIN)/mypy" --config-file ../../pyproject.toml *.py
	$(BIN)/python -m pytest -n 2

# The documentation site, in build/site; the code in its tutorials is run in build/docs.
docs: $(VENV)/.docs
	rm -rf build/docs && mkdir -p build/docs
	cd build/docs && PATH="$(CURDIR)/$(BIN):$$PATH" NO_MKDOCS_2_WARNING=1 HF_HUB_OFFLINE=1 \
	  HF_HOME="$(CURDIR)/build/docs/cache" HF_DATASETS_DISABLE_PROGRESS_BARS=1 \
	  mkdocs build --strict --config-file "$(CURDIR)/mkdocs.yml"

# The contract tests, with every supported version of `datasets`.
compat: $(VENV)/.tests
	$(BIN)/nox -s compat

# The metric's page, on this machine.
metric-space: $(VENV)/.space
	$(BIN)/python gcd_metric/app.py

# The same page with nothing but its requirements.txt, as the Hub installs it.
space-check: $(VENV)/.tests
	$(BIN)/nox -s space

bench: $(VENV)/.tests
	$(BIN)/python -m benchmarks

# Every parser with damaged input: `make fuzz SECONDS=300 TARGETS=tar,jpeg SEED=1`. With INPUTS the
# run ends after so many, and a seed gives the same inputs on every machine.
fuzz: SECONDS ?= 60
fuzz: $(VENV)/.tests
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) --seed $(or $(SEED),0) \
	  --targets "$(TARGETS)" $(if $(INPUTS),--inputs $(INPUTS))

# What writes, killed and on broken disks, and then again: `make soak ROUNDS=50 TARGETS=build`.
soak: ROUNDS ?= 16
soak: $(VENV)/.tests
	$(BIN)/python -m tests.soak --rounds $(ROUNDS) --seed $(or $(SEED),0) \
	  --targets "$(TARGETS)" $(if $(INPUTS),--inputs $(INPUTS))

# The explorer's page, on this machine: of miniatures, or of what IM2GPS_REPO and JUSTZOOMIN_REPO name.
space: $(VENV)/.space
	EXPLORER_FOLDER="$${EXPLORER_FOLDER:-demo/explorer}" $(BIN)/python spaces/explorer/app.py

# The same page as it is uploaded, with nothing but its requirements.txt, as the Hub installs it.
explorer-check: $(VENV)/.tests
	$(BIN)/nox -s explorer

clean:
	rm -rf $(VENV) .nox demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable ".[all]"
	touch $@

$(VENV)/.space: $(VENV)/.ready
	$(BIN)/pip install --quiet --editable ".[space]"
	touch $@

$(VENV)/.docs: $(VENV)/.tests
	$(BIN)/pip install --quiet --editable ".[docs]"
	touch $@

$(VENV)/.tests: $(VENV)/.ready
	$(BIN)/pip install --quiet --editable ".[dev]" "$(TORCH)" torchdata
	touch $@

# What people type. `make demo` and `make test` set themselves up on a fresh machine.

PYTHON ?= python3
# The DataLoader tests need torch; any release from 2.4 on will do.
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test compat bench check clean

demo: $(VENV)/.ready
	HF_HUB_OFFLINE=1 $(BIN)/python examples/demo.py demo

test: $(VENV)/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2

# The contract tests, with every supported version of `datasets`.
compat: $(VENV)/.tests
	$(BIN)/nox -s compat

bench: $(VENV)/.tests
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .nox demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable ".[all]"
	touch $@

$(VENV)/.tests: $(VENV)/.ready
	$(BIN)/pip install --quiet --editable ".[dev]" "$(TORCH)" torchdata
	touch $@

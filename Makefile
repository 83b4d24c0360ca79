# The project's verbs, for people and CI alike. `make help` lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 8080
CSV ?=
TESTS ?= tests
export PIP_DISABLE_PIP_VERSION_CHECK := 1

COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	--no-header --python-version 3.11

.PHONY: help
help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.runs ## serve sample data, or CSV=path, on http://127.0.0.1:8080 (PORT=, AIRQ_METRICS_PORT=)
	@AIRQ_PORT=$(PORT) exec $(BIN)/airq serve $(if $(CSV),--load "$(CSV)",--sample)

.PHONY: test
test: $(VENV)/.develops ## run every test that needs no container engine (TESTS= for some of them)
	$(BIN)/python -m pytest $(TESTS)

.PHONY: lint
lint: $(VENV)/.develops ## check style and types
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

.PHONY: format
format: $(VENV)/.develops ## lay the code out
	$(BIN)/ruff check --fix-only --quiet src tests benchmarks
	$(BIN)/ruff format src tests benchmarks

.PHONY: bench
bench: $(VENV)/.measures ## measure speed and memory against peers, side by side (some ten minutes)
	$(BIN)/python -m benchmarks

.PHONY: lock
lock: $(VENV)/.develops ## pin the newest allowed versions of all dependencies
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --upgrade pyproject.toml -o requirements/runtime.txt
	$(COMPILE) --upgrade --extra embedded pyproject.toml requirements/build.in \
		-c requirements/runtime.txt -o requirements/embedded.txt
	$(COMPILE) --upgrade --extra embedded pyproject.toml requirements/build.in \
		requirements/development.in -c requirements/embedded.txt -o requirements/development.txt
	$(COMPILE) --upgrade requirements/benchmarks.in -c requirements/development.txt \
		-o requirements/benchmarks.txt

.PHONY: clean
clean: ## remove what the verbs made here (data directories stay)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

# A stamp says which of the locked sets an environment holds; a changed lock installs anew.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "airq needs Python 3.11 or newer; name one with make PYTHON=python3.13"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runs: $(VENV)/.made requirements/embedded.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/embedded.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.develops: $(VENV)/.runs requirements/development.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/development.txt
	@touch $@

$(VENV)/.measures: $(VENV)/.develops requirements/benchmarks.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/benchmarks.txt
	@touch $@

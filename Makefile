# The project's verbs, for people and CI alike. `make help` lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 8080
CSV ?=
TESTS ?= tests
WORKERS ?= auto
CONTAINER_TESTS ?= tests/containers
CACHE_TESTS ?= tests/cache
DEPLOY_TESTS ?= tests/deployment
# A file's name as it is: make replaces no $x in it, and the shell takes it from its environment.
override CSV := $(value CSV)
export CSV
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The images, and what their labels say of them.
TAG ?= dev
REGISTRY ?=
PLATFORMS ?=
BUILD_FLAGS ?=
IMAGES := api cache database
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' src/airq/__init__.py)
REVISION = $(shell git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null || echo unknown)
CREATED = $(shell git log -1 --format=%cI 2>/dev/null)
# Where this clone comes from, as an address of the web without a name or password in it.
SOURCE ?= $(shell git remote get-url origin 2>/dev/null \
	| sed -nE 's|^https://([^@/]*@)?(.*[^/])/?$$|https://\2|p; s|^git@([^:]*):(.*)$$|https://\1/\2|p' | sed 's|[.]git$$||')

COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	--no-header --python-version 3.11

.PHONY: help
help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.runs ## serve sample data, or CSV=path, on http://127.0.0.1:8080 (PORT=, AIRQ_METRICS_PORT=)
	@AIRQ_PORT=$(PORT) exec $(BIN)/airq serve $(if $(CSV),--load "$$CSV",--sample)

.PHONY: test
test: $(VENV)/.develops ## run every test that needs no container engine (TESTS= for some of them, WORKERS=0 for one at a time)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --maxprocesses 4 --dist loadfile $(TESTS)

.PHONY: lint
lint: $(VENV)/.develops ## check style and types
	$(BIN)/ruff check src tests benchmarks deploy
	$(BIN)/ruff format --check src tests benchmarks deploy
	$(BIN)/mypy

.PHONY: format
format: $(VENV)/.develops ## lay the code out
	$(BIN)/ruff check --fix-only --quiet src tests benchmarks deploy
	$(BIN)/ruff format src tests benchmarks deploy

.PHONY: bench
bench: $(VENV)/.measures ## measure speed and memory against peers, side by side (some ten minutes)
	$(BIN)/python -m benchmarks

.PHONY: env
env: ## write secrets: .env for Compose, secrets.env for Kubernetes; what is there stays
	@$(PYTHON) deploy/make_env.py

# Built for this machine; for others where the builder can:
#   make images TAG=1.0 REGISTRY=registry.example/ PLATFORMS=linux/amd64,linux/arm64 BUILD_FLAGS=--push
.PHONY: images
images: ## build the images (TAG=, REGISTRY=, PLATFORMS=, BUILD_FLAGS=)
	@for image in $(IMAGES); do \
		docker build $(BUILD_FLAGS) $(if $(PLATFORMS),--platform $(PLATFORMS)) \
			--file deploy/images/$$image/Dockerfile --tag $(REGISTRY)airq-$$image:$(TAG) \
			--build-arg VERSION="$(VERSION)" --build-arg REVISION="$(REVISION)" \
			--build-arg SOURCE="$(SOURCE)" --build-arg CREATED="$(CREATED)" . || exit 1; \
	done

# In the image airq-cache:$(TAG) where a Docker engine holds it, else in a Debian made for it (root), else
# with this machine's Varnish.
.PHONY: test-cache
test-cache: $(VENV)/.develops ## test the cache's rules with the real Varnish (CACHE_TESTS= for some)
	AIRQ_TEST_CACHE=1 TAG=$(TAG) $(BIN)/python -m pytest $(CACHE_TESTS)

.PHONY: test-containers
test-containers: $(VENV)/.contains ## test images and Compose on a real Docker engine (CONTAINER_TESTS= for some)
	$(BIN)/python -m pytest $(CONTAINER_TESTS)

# The tools that judge manifests pin much, and have an environment of their own inside of the other.
.PHONY: test-deploy
test-deploy: $(VENV)/deployment/.made ## hold every Kubernetes overlay to its rules, and run production on Docker (DEPLOY_TESTS= for some)
	$(BIN)/python -m pytest $(DEPLOY_TESTS)

.PHONY: lock
lock: $(VENV)/.develops ## pin the newest allowed versions of all dependencies
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --upgrade pyproject.toml -o requirements/runtime.txt
	$(COMPILE) --upgrade --extra embedded pyproject.toml requirements/build.in \
		-c requirements/runtime.txt -o requirements/embedded.txt
	$(COMPILE) --upgrade --extra embedded pyproject.toml requirements/build.in \
		requirements/development.in -c requirements/embedded.txt -o requirements/development.txt
	$(COMPILE) --upgrade requirements/build.in -c requirements/embedded.txt -o requirements/build.txt
	$(COMPILE) --upgrade requirements/benchmarks.in -c requirements/development.txt \
		-o requirements/benchmarks.txt
	$(COMPILE) --upgrade requirements/containers.in -o requirements/containers.txt
	$(COMPILE) --upgrade requirements/deployment.in -o requirements/deployment.txt

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
	@echo "installing what airq needs into $(VENV); the first time this takes a minute or two"
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/embedded.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.develops: $(VENV)/.runs requirements/development.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/development.txt
	@touch $@

$(VENV)/.measures: $(VENV)/.develops requirements/benchmarks.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/benchmarks.txt
	@touch $@

$(VENV)/.contains: $(VENV)/.develops requirements/containers.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/containers.txt
	@touch $@

$(VENV)/deployment/.made: $(VENV)/.develops requirements/deployment.txt
	$(BIN)/python -m venv $(VENV)/deployment
	$(VENV)/deployment/bin/python -m pip install --quiet --require-hashes -r requirements/deployment.txt
	@touch $@

# Novate. `make run` serves the exchange and `make test` proves it, each doing its own set-up first.
# Everything made here lives in .venv/ and build/; `make clean` forgets both.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := build/stamps
PIP := $(BIN)/pip --disable-pip-version-check --quiet
DATA ?=
# Many servers start in the tests, and each would compile every module of Python anew.
unexport PYTHONDONTWRITEBYTECODE
RUN_ARGS ?=

compiled := $(shell find src -name '*.pyx' -o -name '*.pxd' -o -name '*.h')
python_sources := $(shell find src -name '*.py' -o -name '*.html' -o -name 'py.typed')

.PHONY: help setup build checked run test unit integration checked-test sanitized-test install-check coverage lint format bench \
        soak soak-oracle lock env-example openapi postman rejects clean

help:  ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

# --- set-up ---------------------------------------------------------------------------------------

$(STAMPS)/venv: requirements/runtime.txt requirements/build.txt
	@mkdir -p $(STAMPS)
	@$(PYTHON) -c 'import sys; sys.exit("Novate needs Python 3.11 or later, found %d.%d" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes $(addprefix --requirement ,$^)
	@touch $@

# What only tests and checks need comes after, so that a first `make run` needn't wait for it.
$(STAMPS)/dev: $(STAMPS)/venv requirements/dev.txt
	$(PIP) install --require-hashes --requirement requirements/dev.txt
	@touch $@

# The package is installed in place once; its compiled modules are made by `build`, not here too.
$(STAMPS)/package: $(STAMPS)/venv pyproject.toml
	NOVATE_BUILD=none $(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(STAMPS)/release: $(STAMPS)/package setup.py $(compiled)
	$(BIN)/python setup.py --quiet build_ext --inplace --build-temp build/temp-release
	@touch $@

$(STAMPS)/checked: $(STAMPS)/venv setup.py $(compiled) $(python_sources)
	@mkdir -p build/checked && find build/checked -name '*.py' -delete
	NOVATE_BUILD=checked $(BIN)/python setup.py --quiet build --build-lib build/checked \
	    --build-temp build/temp-checked
	@touch $@

setup: $(STAMPS)/release $(STAMPS)/dev  ## The virtual environment, the pinned packages, the compiled modules

build: $(STAMPS)/release  ## Rebuild what changed of the compiled modules, in place

checked: $(STAMPS)/checked  ## The checked build (bounds, overflow, invariants) in build/checked

# --- the product ----------------------------------------------------------------------------------

# Settings of a `.env` here come in as variables, as docker compose reads them.
run: build  ## Set up, then serve on http://127.0.0.1:8000 (DATA: folder, RUN_ARGS: more flags)
	@mapfile -t variables < <(grep -sE '^NOVATE_[A-Z_]+=' .env || true); \
	exec env "$${variables[@]}" $(BIN)/novate serve $(if $(DATA),--data-dir $(DATA)) $(RUN_ARGS)

# --- tests ----------------------------------------------------------------------------------------

# Folders that a tree doesn't have yet are left out, so that a target never names a missing path.
suite = $(wildcard $(addprefix tests/,$(1)))

# Most tests wait for servers more than they work, so there are more processes than two cores.
TEST_PROCESSES ?= 4
PYTEST := $(BIN)/pytest -n $(TEST_PROCESSES) --dist worksteal

test:  ## Everything that must pass, in under ten minutes
	@$(MAKE) --no-print-directory -j 2 setup checked
	$(PYTEST) tests
	@$(MAKE) --no-print-directory checked-test

unit: setup  ## Tests without a server or a process
	$(PYTEST) $(call suite,unit tables properties golden)

integration: setup  ## Tests that start the real thing
	$(PYTEST) $(call suite,integration simulation contracts)

# More for pytest, as `make soak` gives it.
PYTEST_ARGS ?=
checked-test: checked $(STAMPS)/dev  ## The engine's tests on the checked build
	suites="$(call suite,tables properties)"; test -z "$$suites" || \
	    PYTHONPATH=build/checked NOVATE_BUILD=checked $(PYTEST) $(PYTEST_ARGS) $$suites

# The sanitizers' own libraries come first in the process; Python's memory lives until it ends.
sanitized-test: setup  ## The engine's tests under the address and undefined-behaviour sanitizers
	NOVATE_BUILD=sanitized $(BIN)/python setup.py --quiet build --build-lib build/sanitized \
	    --build-temp build/temp-sanitized
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	    ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=build/sanitized NOVATE_BUILD=sanitized \
	    $(BIN)/pytest -s -x tests/tables tests/properties

install-check:  ## `pip install .` in an empty environment gives a `novate` that runs
	rm -rf build/install-check
	$(PYTHON) -m venv build/install-check
	build/install-check/bin/pip --disable-pip-version-check --quiet install .
	cd build && install-check/bin/novate version

coverage: setup  ## Line and branch coverage, as text and in build/coverage
	$(PYTEST) --cov=novate --cov-branch --cov-report=term --cov-report=html:build/coverage tests

soak: setup checked  ## The full counts of what `make test` runs a tenth of
	NOVATE_SOAK=1 $(BIN)/pytest --timeout 7200 tests
	NOVATE_SOAK=1 $(MAKE) --no-print-directory checked-test PYTEST_ARGS="--timeout 7200"

# Seeds are spread over processes; each build says at its end how many commands were compared.
SOAK_PROCESSES ?= 2
soak-oracle: setup checked  ## Over 10 million commands of the whole rulebook against the oracle, on each build
	NOVATE_SOAK=1 $(BIN)/pytest -n $(SOAK_PROCESSES) --timeout 7200 \
	    tests/properties/test_rulebook_against_oracle.py
	PYTHONPATH=build/checked NOVATE_BUILD=checked NOVATE_SOAK=1 $(BIN)/pytest \
	    -n $(SOAK_PROCESSES) --timeout 7200 tests/properties/test_rulebook_against_oracle.py

bench: setup  ## Measure, and write bench/results/*.json
	$(BIN)/python -m bench

lint: setup  ## Style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: setup  ## Put the code in the project's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# --- made files -----------------------------------------------------------------------------------

build/lock-venv/bin/uv:
	$(PYTHON) -m venv build/lock-venv
	build/lock-venv/bin/pip --disable-pip-version-check --quiet install uv

lock: build/lock-venv/bin/uv  ## Remake the pinned, hashed requirements from pyproject.toml
	scripts/make_locks.sh build/lock-venv/bin/uv

env-example: setup  ## Remake .env.example from the table of settings
	$(BIN)/python scripts/make_env_example.py

openapi: setup  ## Remake the OpenAPI document
	$(BIN)/python scripts/make_openapi.py

postman: setup  ## Remake postman_collection.json from the OpenAPI document
	$(BIN)/python scripts/make_postman.py

rejects: setup  ## Remake docs/rejects.md from the table of reasons
	$(BIN)/python scripts/make_rejects.py

clean:  ## Remove what was made here: .venv, build, caches, compiled modules (never the data)
	rm -rf $(VENV) build dist htmlcov .coverage .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find src tests bench scripts \( -name '*.so' -o -name '__pycache__' \) -prune -exec rm -rf {} + \
	    2>/dev/null || true
	rm -rf src/novate.egg-info

# The commands of the project. Each sets up what it needs, on a fresh machine too; `make help` lists them.
# Only make, Python 3.11 or newer and a package index are needed; every path here is relative, so the checkout may be anywhere.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
KILLS ?= 50
SEED ?= 0

.PHONY: help
help: ## list the commands
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

.PHONY: setup
setup: $(STAMP) ## the virtual environment .venv from pinned, hashed requirements

# A checkout that was moved takes no .venv along, its scripts name the old place: the stamp says for where it was made.
$(shell [ "$$(cat $(STAMP) 2>/dev/null)" = "$$(pwd -P)" ] || rm -f $(STAMP))
$(STAMP): requirements/dev.txt pyproject.toml scripts/setup.sh
	PYTHON="$(PYTHON)" scripts/setup.sh
	pwd -P > $@

.PHONY: demo
demo: $(STAMP) ## the main job on simulated traffic: a planted campaign found, alerted, verified
	$(BIN)/stillwatch demo

.PHONY: test
test: $(STAMP) ## every check: format, lint, types, SQL lint, all tests
	scripts/check.sh

.PHONY: unit
unit: $(STAMP) ## the tests that start no broker
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not (broker or kafka or chaos or docs)"

# What a store in memory is by itself is left out; so is what opens a file by its path.
.PHONY: test-ducklake
test-ducklake: $(STAMP) ## the tests of stores, detection, alerts, rules and serve again, over DuckLakes in SQLite and in Postgres: an hour
	for kind in sqlite postgres; do TEST_STORE=$$kind $(BIN)/python -m pytest -n 2 --dist loadgroup --timeout 1800 \
	  -m "not (broker or kafka or chaos or docs)" --deselect tests/store/test_backup.py::test_nothing_is_overwritten \
	  tests/store tests/serve tests/alerts tests/corpora tests/releases tests/detect/test_detector.py tests/rules/test_check.py || exit 1; done

.PHONY: chaos
chaos: $(STAMP) ## SIGKILL at random, KILLS times (50), over Apache Kafka; SEED repeats a run
	scripts/fetch-kafka.sh
	STILLWATCH_CHAOS_KILLS=$(KILLS) STILLWATCH_CHAOS_SEED=$(SEED) $(BIN)/python -m pytest -m chaos -s

.PHONY: bench
bench: $(STAMP) ## each stage, steady rates, bad days, other engines (docs/performance.md), over Apache Kafka: forty minutes
	scripts/fetch-kafka.sh
	for part in "" .steady .bad_days .peers; do $(BIN)/python -m benchmarks$$part --record || exit 1; done
	$(BIN)/python -m scripts.gen_docs

.PHONY: bench-scale
bench-scale: $(STAMP) ## several processes, overload, a store of days, a million accounts, curves: an hour
	scripts/fetch-kafka.sh
	for part in scale overload days memory curves; do $(BIN)/python -m benchmarks.$$part --record || exit 1; done
	$(BIN)/python -m scripts.gen_docs

.PHONY: bench-quick
bench-quick: $(STAMP) ## ten seconds: has a stage become much dearer, beside the floor; part of `make test`
	$(BIN)/python -m benchmarks.quick

.PHONY: bench-peers
bench-peers: $(STAMP) ## other engines at the same job, beside Stillwatch; each is installed in an environment of its own
	@scripts/fetch-kafka.sh
	$(BIN)/python -m benchmarks.peers

.PHONY: lint
lint: $(STAMP) ## format, lint and types, without tests
	scripts/check.sh lint

.PHONY: fmt
fmt: $(STAMP) ## format Python and SQL, apply safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/sqlfluff fix --quiet sql

.PHONY: docs
docs: $(STAMP) ## rewrite the generated parts of docs/
	$(BIN)/python -m scripts.gen_docs
	$(BIN)/python scripts/gen_sql_docs.py
	$(BIN)/python scripts/gen_body_docs.py

.PHONY: wheel
wheel: $(STAMP) ## dist/*.whl
	$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

.PHONY: requirements
requirements: ## resolve the pinned requirements; UPGRADE=1 takes newer versions
	PYTHON="$(PYTHON)" scripts/requirements.sh $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean: ## remove everything that was made here, the environment and the demo's data too
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build demo-data
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

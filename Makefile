# The few verbs of this project; CI calls the same ones. `make` alone lists them.

SHELL := /bin/sh
PORT ?= 8080
SECONDS ?= 60
SEED ?= 1
BIN := .venv/bin
# `make test ARGS="-k ring -x"` hands these to pytest.
ARGS ?=
EXAMPLES ?= 10000
WHEELS ?= dist/wheels
# Test files at a time; most tests wait for processes. 0: one after another, as a debugger wants it.
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install run test test-docker test-model faults lint format tracker wheels deb bench clean

help: ## list these verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

install: ## make .venv from requirements.lock (the other verbs do it themselves)
	@tools/bootstrap

run: install ## serve a demo on 127.0.0.1:8080 (PORT=8090 for another port), data in ./.data
	@PORT=$(PORT) tools/run

test: install ## run the tests, JOBS=2 files at a time (ARGS="-k ring" for some of them)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

test-docker: install ## run the tests of stores against ClickHouse and PostgreSQL in Docker (TRACKFLOW_STACK=another stack file)
	@$(BIN)/trackflow stack up clickhouse postgresql
	@TRACKFLOW_TEST_DOCKER=1 $(BIN)/python -m pytest tests/test_sink_contract.py tests/test_sink_edit.py tests/test_events.py tests/test_stats.py $(ARGS)

test-model: install ## try the ring's model and its images after power cuts with 10,000 examples each (EXAMPLES=1000)
	@CI=true EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -s tests/test_ring_model.py tests/test_ring_images.py $(ARGS)

faults: install ## kill, stop and starve a daemon under load for SECONDS=60 (SEED=1) and count what is lost or doubled
	@$(BIN)/python -m bench faults --seconds $(SECONDS) --seed $(SEED) $(ARGS)

lint: install ## check style, types and the files written from tables
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: install ## mend style, rewrite the example file and docs written from tables
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .
	@$(BIN)/python -m trackflowd.config --example > trackflowd.example.toml
	@$(BIN)/python -m trackflowd.config --docs > docs/configuration.md
	@$(BIN)/python -m trackflowd.control_text docs/control.md
	@$(BIN)/python -m trackflowd.site_text docs/sites.md
	@$(BIN)/python -m trackflowd.cli_openapi docs

tracker: ## build the browser script from tracker/src (needs node and npm)
	@npm ci --prefix tracker --silent
	@npm run --prefix tracker --silent build
	@node tools/pack.mjs

wheels: install ## gather what an install without a network needs, of this Python, in dist/wheels (WHEELS=another directory)
	@$(BIN)/python tools/wheels $(WHEELS)

deb: wheels ## make a Debian package of those wheels, in dist (VERSION=0.1.0-2 for another number)
	@WHEELS=$(WHEELS) VERSION=$(VERSION) tools/deb

bench: install ## CPU per request of a worker beside nginx's, and the flusher's per event (ARGS="--pairs 5")
	@$(BIN)/python -m bench cost $(ARGS)

clean: ## remove .venv, caches and ./.data
	rm -rf .venv .venv.lock .data .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build tracker/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Everything that a person or CI types. `make` alone explains.
SHELL := /bin/sh
.DEFAULT_GOAL := help
STATE := .tidemark
BIN := .venv/bin
SOURCES := cdc cli contracts docker grafana ingest page runtime simulator stack watch tests migrations
# STACK=local|docker decides how services run (see .env.sample); make exports it to the command
ifdef STACK
export TIDEMARK_STACK := $(STACK)
endif

# tests and benchmarks run local services, whatever STACK says, and so need Java and Maven
test coverage test-docker test-faults soak soak-exchange bench: export TIDEMARK_STACK := local

.PHONY: help
help:  ## explain the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(BIN)/.ready  ## make .venv from the hash-locked requirements

$(BIN)/.ready: requirements.txt requirements-dev.txt pyproject.toml stack/setup.sh
	@sh stack/prerequisites.sh
	@sh stack/setup.sh
	@touch $@

.PHONY: up
up: setup  ## start everything and wait until data flows
	@sh stack/prerequisites.sh
	@$(BIN)/tidemark up

.PHONY: down
down:  ## stop everything; data stays
	@if [ -x $(BIN)/tidemark ]; then $(BIN)/tidemark down; fi

.PHONY: status
status: setup  ## health, lag, rows on both sides, latency
	@$(BIN)/tidemark status

.PHONY: demo
demo: export TIDEMARK_EXCHANGE := simulator
demo: up  ## run on the simulated exchange and show what arrives
	@$(BIN)/python -m cli.demo
	@$(BIN)/tidemark status

.PHONY: check
check: setup  ## lint, format, types, imports, the tree's own rules, dashboards' queries
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/unit/test_tidy.py
	$(BIN)/python -m cli.dashboards lint

.PHONY: test
test: check  ## check, then unit, model and integration tests on a real stack
	@sh stack/prerequisites.sh
	$(BIN)/python -m tests.parts

.PHONY: coverage
coverage: setup  ## the same tests, and how much of the code they run (at least 80 %)
	@sh stack/prerequisites.sh
	$(BIN)/python -m tests.parts --coverage

.PHONY: test-model
test-model: setup  ## 100,000 histories against a model of both databases (SEED=, HISTORIES=)
	$(BIN)/python -m tests.model

.PHONY: test-docker
test-docker: setup  ## the containers on a Docker engine; IMAGES=official or stand-ins, else what can be had
	@sh stack/prerequisites.sh
	@sh tests/containers/prerequisites.sh
	$(BIN)/pytest -v --capture=no tests/containers --images=$(or $(IMAGES),auto)

.PHONY: test-faults
test-faults: setup  ## the fault matrix; ROWS=A1,C4 SEED=7 FRESH=1 (else rows that passed are kept)
	@sh stack/prerequisites.sh
	$(BIN)/pytest tests/faults --rows="$(ROWS)" --seed=$(or $(SEED),1) $(if $(FRESH),--fresh) --write-matrix

.PHONY: soak
soak: setup  ## faults at random for MINUTES=60, every row compared each ten; SEED=7
	@sh stack/prerequisites.sh
	$(BIN)/python -m tests.faults.soak --minutes $(or $(MINUTES),60) --seed $(or $(SEED),1) --write

.PHONY: soak-exchange
soak-exchange: setup  ## the exchange misbehaves for MINUTES=30, then all must be held and certified
	@sh stack/prerequisites.sh
	$(BIN)/python -m tests.faults.exchange_soak --minutes $(or $(MINUTES),30) --seed $(or $(SEED),1) --write

BENCHES := bench-stack bench-sink bench-latency bench-capture bench-ingest bench-size
KIT := $(BIN)/python -m tests.benchmarks
OFTEN := --rounds $(or $(ROUNDS),5)

.PHONY: bench
bench: setup  ## measure speed and size, write docs/benchmarks.md: hours (bench-sink etc.: a part); ROUNDS=5
	@sh stack/prerequisites.sh
	@$(MAKE) --no-print-directory --keep-going --jobs=1 $(BENCHES)

$(BENCHES): export TIDEMARK_STACK := local
.PHONY: $(BENCHES)
bench-stack: setup
	$(KIT) --write
bench-sink: setup
	$(KIT).sink $(OFTEN) --write
bench-latency: setup
	$(KIT).latency $(OFTEN) --write
bench-capture: setup
	$(KIT).capture $(OFTEN) --write
bench-ingest: setup
	$(KIT).ingest $(OFTEN) --write
bench-size: setup
	$(KIT).size --write

.PHONY: screenshots
screenshots: setup  ## pictures of the running page into docs/ (needs `make up` and chromium)
	$(BIN)/python -m tests.screenshots

.PHONY: dashboards
dashboards: setup  ## write Grafana's dashboards and provisioning from their code
	@$(BIN)/python -m cli.dashboards write

.PHONY: lock
lock: setup  ## write requirements and checksums anew from their sources
	sh stack/lock.sh
	$(BIN)/python -m stack.artifacts lock

.PHONY: clean
clean:  ## stop everything and delete state, data and downloads; .venv stays
	@if [ -x $(BIN)/tidemark ]; then $(BIN)/tidemark down --delete-data --yes; fi
	rm -rf $(STATE) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage* htmlcov

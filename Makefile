# Every command that a person or CI types. `make help` lists them.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help install check test demo up bench clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## Set up .venv with everything (Spark apart: pip install -e .[spark])

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Weft needs Python 3.11 or newer; $(PYTHON) is older. Say which one to use: make install PYTHON=python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet uv -c constraints.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev]' --constraints constraints.txt
	@$(BIN)/python -c 'import lightgbm' 2>/dev/null || { echo "LightGBM cannot load: install the system package libgomp1 (Debian, Ubuntu: apt-get install libgomp1) and type make install again."; exit 2; }
	@touch $@

check: install ## Lint, types, SQL style, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint dbt_project/models dbt_project/tests --disable-progress-bar

test: install ## The whole suite against real components, a file a process
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

demo: install ## 200,000 simulated events through all four stages, then a report
	$(BIN)/weft demo

up: install ## Collector, normaliser, demo shop, Redis and Dagster; Ctrl-C stops all of it
	$(BIN)/weft up

bench: install ## Benchmarks, results in bench/README.md
	$(BIN)/python -m bench

clean: ## Remove state, build output and caches; the .venv stays
	rm -rf .weft dbt_project/target dbt_project/logs .pytest_cache .mypy_cache .ruff_cache .hypothesis

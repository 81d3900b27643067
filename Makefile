# Two commands do everything: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= out
# test processes; about 1.5 GB of memory each
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow readme lint format bench notebooks figures clean

help:
	@echo "make demo       set up, check the claims, write a report page and a picture to $(OUT)/"
	@echo "make test       set up and run the tests (says what it leaves out)"
	@echo "make test-slow  the larger tests"
	@echo "make readme     run the README's code in order"
	@echo "make lint       ruff, types, the staircase of imports"
	@echo "make notebooks  run the notebooks, small"
	@echo "make figures    every figure, with its caption, to $(OUT)/figures"
	@echo "make bench      measure speed, write benchmarks/RESULTS.md"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is needed; name one with PYTHON=python3.12 make ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "$(PYTHON) -m venv failed (on Debian: apt-get install python3-venv)"; exit 1; }

$(VENV)/.runtime: pyproject.toml | $(VENV)/bin/python
	@echo "installing flowtheory into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet --editable '.[digits]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	@echo "installing flowtheory and its development tools into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.runtime

demo: $(VENV)/.runtime
	@mkdir -p $(OUT)
	@$(BIN)/python examples/demo.py --out $(OUT)

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-slow: $(VENV)/.dev
	@$(BIN)/python -m pytest -m slow -n $(WORKERS) --dist loadfile

readme: $(VENV)/.dev
	@$(BIN)/python -m pytest -q tests/test_documents.py -m slow

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/basedpyright --level error
	@$(BIN)/lint-imports

format: $(VENV)/.dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

notebooks: $(VENV)/.dev
	@$(BIN)/python examples/run_notebooks.py --out $(OUT)/notebooks

figures: $(VENV)/.runtime
	@$(BIN)/python examples/figures.py --out $(OUT)/figures

bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks --write

clean:
	rm -rf $(OUT) build dist .pytest_cache .ruff_cache .hypothesis

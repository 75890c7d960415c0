# make demo | test | lint | types | docs | bench      (PYTHON=python3.12 to choose another interpreter)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint types docs bench format clean

$(READY): pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is older than Python 3.11; run 'make PYTHON=python3.11 ...'" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint .ci/constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt \
		--editable '.[all]' --group test --group lint --group docs
	@touch $@

demo: $(READY)
	$(BIN)/python examples/demo/demo.py

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(READY)
	$(BIN)/sphinx-build --fail-on-warning --keep-going -q docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(READY)
	$(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt --group bench
	$(BIN)/python tests/benchmarks/command_line.py
	$(BIN)/python tests/benchmarks/checker.py --markdown docs/benchmarks.inc
	$(BIN)/python tests/benchmarks/worlds.py

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist docs/_build

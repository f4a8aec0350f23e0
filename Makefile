# Two commands: `make demo` shows the whole way through, `make test` proves it. Needs Python 3.11+ and make, no more.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
# Tests and the demo share two cores best as single-threaded processes.
JOBS ?= 2

.PHONY: help demo test lint check results clean

help:
	@echo "make demo    install, then train, evaluate, report and predict on synthetic faces (5 minutes on 2 cores)"
	@echo "make test    install what tests need, run them (real-data tests where DUCHENNE_DATA names the data)"
	@echo "make lint    ruff, mypy, import-linter"
	@echo "make check   lint and test"
	@echo "make results write docs/results.md anew from results/"
	@echo "make clean   delete the environment and caches (runs stay)"

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found; name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name it: make PYTHON=/path/to/python3.11"; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.train: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[train]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $(VENV)/.train $@

demo: $(VENV)/.train
	$(BIN)/duchenne train demo --force
	$(BIN)/duchenne evaluate demo
	$(BIN)/duchenne report demo
	$(BIN)/duchenne data export synthetic --option n=12 --option seed=7 --out runs/demo/faces
	$(BIN)/duchenne predict runs/demo/faces --faces whole --model demo --format text
	@echo
	@echo "run folder   runs/demo"
	@echo "report       runs/demo/report/index.html"
	@echo "model        runs/demo/artifact (ONNX and its card)"
	@echo "faces        runs/demo/faces (drawn; nobody is on them)"

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

results: $(VENV)/.train
	$(BIN)/duchenne reproduce --page

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

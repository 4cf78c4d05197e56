# Needs git, make and Python 3.11 to 3.13. Uses uv where it is on PATH, pip otherwise (`make setup UV=` insists on pip).

PYTHON ?= python3
VENV ?= .venv
UV ?= $(shell command -v uv 2>/dev/null)

PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast notebooks lint docs reference lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  PYTHON=$(PYTHON) VENV=$(VENV): override either, e.g. make setup PYTHON=python3.12 VENV=/scratch/venv"

setup: $(STAMP)  ## virtual environment with everything in it; done again only when pyproject.toml changes

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "alexnet_pl needs Python 3.11, 3.12 or 3.13; \`$(PYTHON)\` is not one: try make setup PYTHON=python3.12" >&2; exit 1; }
ifneq ($(UV),)
	$(UV) venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
	$(UV) pip install --python $(PY) -e . --group dev
else
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade "pip>=25.1"  # the first pip that knows --group
	$(PY) -m pip install -e . --group dev
endif
	@touch $@

demo: setup  ## train and test on the built-in demo data, no ImageNet needed
	$(PY) -m alexnet_pl fit -c configs/demo.yaml
	$(PY) -m alexnet_pl test -c configs/demo.yaml ckpt_path=last

test: setup  ## all tests, end-to-end ones included
	$(PY) -m pytest -n 2 --dist loadfile

test-fast: setup  ## the tests that take no more than seconds
	$(PY) -m pytest -n 2 --dist loadfile -m "not slow"

notebooks: setup  ## notebooks, run, with their pictures, as HTML in build/notebooks (RUN=FOLDER: of your own run)
	$(if $(RUN),ALEXNET_PL_RUN=$(abspath $(RUN))) $(PY) -m nbconvert --execute --to html --output-dir build/notebooks notebooks/*.ipynb

lint: setup  ## ruff and pyright
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright --pythonpath $(PY)

docs: setup  ## the documentation site, in build/site; every warning is an error
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

reference: setup  ## write the pages that come from the code: docs/reference, and README's results
	$(PY) scripts/reference.py

lock:  ## pin every dependency anew in requirements.lock.txt (needs uv)
	uv lock --upgrade --quiet
	@{ echo "# Every dependency, pinned, with hashes. Made by \`make lock\`; do not edit."; \
	  echo "# Use:  python -m pip install -r requirements.lock.txt && python -m pip install --no-deps -e ."; \
	  echo; \
	  uv export --frozen --quiet --format requirements-txt --all-extras --group dev --no-emit-project \
	    --no-header --no-annotate; } > requirements.lock.txt
	@rm uv.lock
	@! grep -n '://' requirements.lock.txt

clean:  ## caches and build outputs; leaves data, runs and the environment
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

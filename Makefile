# Needs git, make and Python 3.11 to 3.13. Installs with uv: the one on PATH, else one that pip puts into the virtual
# environment. `make setup UV=` insists on pip.

PYTHON ?= python3
VENV ?= .venv
UV ?= $(shell command -v uv 2>/dev/null || echo $(VENV)/bin/uv)

PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
INSTALL_FAILED := The installation failed. Is the package index in reach, and are 3 GB free? To try again without uv: make $(MAKECMDGOALS) UV=

MAKE_VENV = $(PYTHON) -m venv $(VENV)
ifeq ($(UV),)  # 25.1 is the first pip that knows --group
INSTALL = $(PY) -m pip install --quiet
MAKE_VENV += && $(PY) -m pip install --quiet --upgrade "pip>=25.1"
else
INSTALL = $(UV) pip install --quiet --python $(PY)
ifeq ($(UV),$(VENV)/bin/uv)
MAKE_VENV += && $(PY) -m pip install --quiet uv
else
MAKE_VENV = $(UV) venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
endif
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast campaign failures gpu gpu-kit notebooks lint docs reference lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  PYTHON=$(PYTHON) VENV=$(VENV): override either, e.g. make setup PYTHON=python3.12 VENV=/scratch/venv"

setup: $(DEV_STAMP)  ## virtual environment with everything in it; done again only when pyproject.toml changes

# Only what the package itself needs: the demonstration waits for no developer's tools.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "alexnet_pl needs Python 3.11, 3.12 or 3.13; \`$(PYTHON)\` is not one: try make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing alexnet_pl, PyTorch and Lightning into $(VENV): one or two minutes"
	@$(MAKE_VENV) || { echo "$(VENV): no virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(INSTALL) -e . || { echo "$(INSTALL_FAILED)" >&2; exit 1; }
	@touch $@

$(DEV_STAMP): $(STAMP)
	@echo "Installing the tools of development (pytest, ruff, pyright, ...) into $(VENV): about a minute"
	@$(INSTALL) -e . --group dev || { echo "$(INSTALL_FAILED)" >&2; exit 1; }
	@touch $@

demo: $(STAMP)  ## train and test on the built-in demo data, no ImageNet needed: about a minute on two CPU cores
	@echo "Drawing images, training and testing: about a minute on two CPU cores"
	$(PY) -m alexnet_pl reproduce -c configs/demo.yaml
	@run=runs/demo/latest; \
	  echo; \
	  echo "Made: $$run, with metrics.csv, result.json and checkpoints. Next:"; \
	  echo "  $$run/kernels.png                                 what the first layer learned"; \
	  echo "  $(PY) -m alexnet_pl figures $$run    the figures of the paper, of this network"; \
	  echo "  $(PY) -m alexnet_pl fit -c imagenette --help      the same on photographs"

test: setup  ## all tests, end-to-end ones included
	$(PY) -m pytest -n 2 --dist loadfile

test-fast: setup  ## the tests that take no more than seconds
	$(PY) -m pytest -n 2 --dist loadfile -m "not slow"

campaign: setup  ## kills, full disks, damaged files, bad input: an hour, of which `make test` tries seconds; SEED=NUMBER
	@seed=$${SEED:-$$(date +%s)}; echo "seed $$seed"; rm -rf build/campaign; \
	  JOBS=2 $(PY) tests/campaign/run.py build/campaign $$seed whole; \
	  $(PY) tests/campaign/report.py build/campaign && echo "→ docs/development/robustness.md"

failures: setup  ## seconds in which a job ends when one of its processes is killed or hangs, for docs/how-to/clusters.md
	ALEXNET_PL_SECONDS=docs/data/failures.json $(PY) -m pytest -q tests/e2e/test_failures.py && $(PY) scripts/reference.py

gpu: setup  ## all measurements of a GPU, nine minutes a call, to OUT (default gpu-results); ROOT=FOLDER: a store for fits
	$(PY) -m alexnet_pl bench gpu bench.output=$(or $(OUT),gpu-results) $(if $(ROOT),data.root=$(ROOT))

gpu-kit: setup  ## wheels for a GPU machine without network, in build/gpu-kit; ROOT=FOLDER: a store too, in parts
	$(PY) scripts/gpu_kit.py build/gpu-kit $(if $(ROOT),--store $(ROOT))

notebooks: setup  ## notebooks, run, with their pictures, as HTML in build/notebooks (RUN=FOLDER: of your own run)
	$(if $(RUN),ALEXNET_PL_RUN=$(abspath $(RUN))) $(PY) -m nbconvert --execute --to html --output-dir build/notebooks notebooks/*.ipynb

lint: setup  ## ruff, the dependency rule, pyright
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/pyright --pythonpath $(PY)

docs: setup  ## the documentation site, in build/site; every warning is an error
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

reference: setup  ## write the pages that come from the code: docs/reference, and README's results
	$(PY) scripts/reference.py

# $(1): the file, $(2): what is in it, $(3): options of `uv export`
define EXPORT_LOCK
@{ echo "# $(2), pinned, with hashes. Made by \`make lock\`; do not edit."; \
  echo "# Use:  python -m pip install -r $(1) && python -m pip install --no-deps -e ."; \
  echo; \
  uv export --frozen --quiet --format requirements-txt $(3) --no-emit-project --no-header --no-annotate; } > $(1)
@! grep -n '://' $(1)
endef

lock:  ## pin every dependency anew in requirements.lock.txt, and the package's own in requirements-core.lock.txt (needs uv)
	uv lock --upgrade --quiet
	$(call EXPORT_LOCK,requirements.lock.txt,Every dependency,--all-extras --no-extra remote --group dev)
	$(call EXPORT_LOCK,requirements-core.lock.txt,What the package itself needs without extras and tools,--no-dev)
	@rm uv.lock

clean:  ## caches and build outputs; leaves data, runs and the environment
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

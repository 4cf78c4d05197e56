# Needs git, make and Python 3.11 to 3.13. Installs with the uv on PATH, or with one that pip installs into the virtual
# environment. `make setup UV=` uses pip only.

PYTHON ?= python3
VENV ?= .venv
UV ?= $(shell command -v uv 2>/dev/null || echo $(VENV)/bin/uv)

PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
INSTALL_FAILED := The installation failed. Check the network connection and that 6 GB of disk are free. To try again without uv: make $(MAKECMDGOALS) UV=

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
unexport PYTHONDONTWRITEBYTECODE  # which some images set: every process would compile PyTorch's modules again
.PHONY: help setup demo test test-fast campaign failures gpu gpu-kit evidence notebooks lint docs reference lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  PYTHON=$(PYTHON) VENV=$(VENV): override either, e.g. make setup PYTHON=python3.12 VENV=/scratch/venv"

setup: $(DEV_STAMP)  ## virtual environment with the package and all development tools
	@$(if $(filter setup,$(MAKECMDGOALS)),echo "Installed into $(VENV); activate it with: . $(VENV)/bin/activate",true)

# Only the dependencies of the package itself, so that the demo does not wait for development tools.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "alexnet_pl needs Python 3.11, 3.12 or 3.13; \`$(PYTHON)\` is not one: try make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing alexnet_pl, PyTorch and Lightning into $(VENV): one or two minutes"
	@$(MAKE_VENV) || { echo "$(VENV): no virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(INSTALL) -e . || { echo "$(INSTALL_FAILED)" >&2; exit 1; }
	@touch $@

$(DEV_STAMP): $(STAMP)
	@echo "Installing development tools (pytest, ruff, pyright, ...) into $(VENV): about a minute"
	@$(INSTALL) -e . --group dev || { echo "$(INSTALL_FAILED)" >&2; exit 1; }
	@touch $@

demo: $(STAMP)  ## train and test on drawn images, without ImageNet: about a minute on two CPU cores
	@echo "Drawing images, training and testing: about a minute on two CPU cores"
	$(PY) -m alexnet_pl reproduce -c demo
	@run=runs/demo/latest; \
	  echo; \
	  echo "Made: $$run, with metrics.csv, result.json and checkpoints. Next:"; \
	  printf '  %-56s %s\n' \
	    "$$run/kernels.png" "kernels of the first layer" \
	    "$(PY) -m alexnet_pl figures $$run" "Figures 2 to 4 of the paper for this network" \
	    "$(PY) -m alexnet_pl fit -c imagenette --help" "the same on photographs"

test: setup  ## run all tests, including end-to-end tests
	$(PY) -m pytest -n 2 --dist loadfile

test-fast: setup  ## run all tests except the slow ones
	$(PY) -m pytest -n 2 --dist loadfile -m "not slow"

campaign: setup  ## robustness campaign: kills, full disks, corrupt files, bad input (an hour); SEED=NUMBER
	@seed=$${SEED:-$$(date +%s)}; echo "seed $$seed"; rm -rf build/campaign; \
	  JOBS=2 $(PY) tests/campaign/run.py build/campaign $$seed whole; \
	  $(PY) tests/campaign/report.py build/campaign && echo "→ docs/development/robustness.md"

failures: setup  ## measure how fast a job ends after one of its processes is killed or hangs (docs/how-to/clusters.md)
	ALEXNET_PL_SECONDS=docs/data/failures.json $(PY) -m pytest -q tests/e2e/test_failures.py && $(PY) scripts/reference.py

gpu: setup  ## measure a GPU, nine minutes per call, into OUT (default gpu-results); ROOT=FOLDER: a store for fits
	$(PY) -m alexnet_pl bench gpu bench.output=$(or $(OUT),gpu-results) $(if $(ROOT),data.root=$(ROOT))

gpu-kit: setup  ## collect wheels for a GPU machine without network in build/gpu-kit; ROOT=FOLDER: add a store
	$(PY) scripts/gpu_kit.py build/gpu-kit $(if $(ROOT),--store $(ROOT))

SOURCES = $(if $(TINYIMAGENET),--tinyimagenet "$(TINYIMAGENET)") $(if $(CIFAR10),--cifar10 "$(CIFAR10)") $(if $(IMAGENETTE),--imagenette "$(IMAGENETTE)")

evidence: setup  ## run what is missing of all measurements: ROOT=FOLDER [TINYIMAGENET=... CIFAR10=... IMAGENETTE=... PART=...]
	$(PY) scripts/evidence.py "$(or $(ROOT),build/evidence)" $(SOURCES) $(if $(PART),--part $(PART)) && $(PY) scripts/reference.py

notebooks: setup  ## run the notebooks and write them as HTML to build/notebooks (RUN=FOLDER: with your own run)
	$(if $(RUN),ALEXNET_PL_RUN=$(abspath $(RUN))) $(PY) -m nbconvert --execute --to html --output-dir build/notebooks $(filter-out notebooks/colab.ipynb,$(wildcard notebooks/*.ipynb))

lint: setup  ## run ruff, codespell, the import contracts and pyright
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/codespell
	$(VENV)/bin/lint-imports
	$(VENV)/bin/pyright --pythonpath $(PY)

docs: setup  ## build the documentation site in build/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

reference: setup  ## regenerate docs/reference and the table of results in README
	$(PY) scripts/reference.py

# $(1): the file, $(2): what is in it, $(3): options of `uv export`
define EXPORT_LOCK
@{ echo "# $(2), pinned, with hashes. Made by \`make lock\`; do not edit."; \
  echo "# Use:  python -m pip install -r $(1) && python -m pip install --no-deps -e ."; \
  echo; \
  uv export --frozen --quiet --format requirements-txt $(3) --no-emit-project --no-header --no-annotate; } > $(1)
@! grep -n '://' $(1)
endef

lock:  ## update requirements.lock.txt and requirements-core.lock.txt (needs uv)
	uv lock --upgrade --quiet
	$(call EXPORT_LOCK,requirements.lock.txt,Every dependency,--all-extras --no-extra remote --group dev)
	$(call EXPORT_LOCK,requirements-core.lock.txt,What the package itself needs without extras and tools,--no-dev)
	@rm uv.lock

clean:  ## remove caches and build outputs; keeps data, runs and the environment
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

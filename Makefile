# Everything that is typed here ends up in .venv, .cache or out; nothing is installed into the system.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NOTEBOOK_STAMP := $(VENV)/.installed-notebook
LAB_SETTINGS := $(VENV)/share/jupyter/lab/settings

.PHONY: help demo notebook test lab bench shots lint format strip clean

help:
	@echo "make demo    live-migrate an emulated device under the v5 interface; files in out/demo"
	@echo "make notebook"
	@echo "             JupyterLab, on the first notebook of the course"
	@echo "make test    every test, with the lab's guest where QEMU is installed"
	@echo "make lab     the same migration over a real /dev/vfio, in a guest kernel"
	@echo "make bench   what it costs, as ratios"
	@echo "make shots   screenshots of every view, the report and the panel; files in out/shots"
	@echo "make lint    ruff, mypy, import-linter"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with PYTHON=…"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "no venv here: apt-get install python3-venv"; exit 1; }

$(STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(NOTEBOOK_STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[notebook]'
	@mkdir -p $(LAB_SETTINGS)
	@cp binder/overrides.json $(LAB_SETTINGS)
	@touch $@

demo: $(STAMP)
	$(BIN)/vfiokit demo

# The kernel is started as `python`: the one of .venv has to be found first.
notebook: $(NOTEBOOK_STAMP)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m jupyterlab --ServerApp.root_dir="$(CURDIR)" \
	  --LabApp.default_url=/lab/tree/notebooks/01-first-steps.ipynb $(LAB_OPTIONS)

test: $(STAMP)
	$(BIN)/pytest -n auto --dist loadgroup

lab: $(STAMP)
	$(BIN)/vfiokit lab demo

bench: $(STAMP)
	$(BIN)/python -m benchmarks

shots: $(STAMP)
	$(BIN)/python -m tests.shots

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

strip: $(NOTEBOOK_STAMP)
	$(BIN)/python -m nbconvert --clear-output --ClearMetadataPreprocessor.enabled=True \
	  --ClearMetadataPreprocessor.preserve_nb_metadata_mask=kernelspec \
	  --ClearMetadataPreprocessor.preserve_cell_metadata_mask=tags --inplace notebooks/*.ipynb

clean:
	rm -rf $(VENV) .cache out build dist

# Everything that is typed here ends up in .venv, .cache or out; nothing is installed into the system.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test lab bench lint format clean

help:
	@echo "make demo    live-migrate an emulated device under the v5 interface; files in out/demo"
	@echo "make test    every test, with the lab's guest where QEMU is installed"
	@echo "make lab     the same migration over a real /dev/vfio, in a guest kernel"
	@echo "make bench   what it costs, as ratios"
	@echo "make lint    ruff, mypy, import-linter"

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with PYTHON=…"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "no venv here: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/vfiokit demo

test: $(STAMP)
	$(BIN)/pytest -n auto --dist loadgroup

lab: $(STAMP)
	$(BIN)/vfiokit lab demo

bench: $(STAMP)
	$(BIN)/python -m benchmarks

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .cache out build dist

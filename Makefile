# Every command makes what it needs; nothing but Python 3.11 has to be there.
PYTHON ?= python3.11
VENV ?= .venv
PEERS ?= .venv-peers
# another index for torch, as in `make test TORCH_INDEX=https://…`
TORCH_INDEX ?=
WORKERS ?= 2

PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
INDEX = $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))

.PHONY: help demo test test-loss lint mutants bench parity foreign docs clean

help:
	@echo "make demo     set up, and compare losses on real images: opens with out/demo/report.html"
	@echo "make test     set up, and run the whole suite"
	@echo "make test-loss LOSS=Dice   the tests of one loss, in about a minute"
	@echo "make lint     ruff and pyright"
	@echo "make mutants  plant faults; the suite must catch each"
	@echo "make bench    time and memory against the peers, in an environment of their own"
	@echo "make parity   equality with other libraries under mapped options, in that environment"
	@echo "make foreign  the checker on the losses of other libraries: the table of docs/foreign.md"
	@echo "make docs     rebuild the gallery from the catalogue"

demo: $(VENV)/.studies
	$(VENV)/bin/lossary compare segmentation --out out/demo

test: $(VENV)/.dev
	$(VENV)/bin/python -m pytest --numprocesses $(WORKERS) --dist loadgroup --no-loadscope-reorder

test-loss: $(VENV)/.dev
	$(VENV)/bin/python -m pytest --loss $(or $(LOSS),$(error say which loss: make test-loss LOSS=Dice))

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/pyright

mutants: $(VENV)/.dev
	$(VENV)/bin/python tests/mutants.py --jobs $(WORKERS)

bench: $(PEERS)/.peers
	$(PEERS)/bin/python -m benchmarks

parity: $(PEERS)/.peers
	$(PEERS)/bin/python -m pytest tests/parity

foreign: $(PEERS)/.peers
	$(PEERS)/bin/python -m benchmarks.foreign --write docs/foreign.md

docs: $(VENV)/.dev
	$(VENV)/bin/python -m lossary.views.gallery docs

clean:
	rm -rf $(VENV) $(PEERS) out

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip

# torch first and by itself: only so does another index serve it and no other package
$(VENV)/.torch: constraints.txt | $(VENV)/bin/python
	$(PIP) $(INDEX) torch
	touch $@

$(VENV)/.studies: pyproject.toml $(VENV)/.torch
	$(PIP) --editable ".[studies]"
	touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.torch
	$(PIP) --editable ".[dev]"
	touch $@ $(VENV)/.studies

$(PEERS)/.peers: benchmarks/peers.txt pyproject.toml
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/peers.txt
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

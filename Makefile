# Entry points. Each target installs what it needs, into .venv and build only.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo test test-slurm bench lint clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
STAMP := .venv/.installed
PLUGIN := $(CURDIR)/build/slurm-plugin
PEERS := $(CURDIR)/build/peers
# PIP_USER=0 overrides environments and pip.conf files that ask for the user's site.
PIP := PIP_USER=0 PYTHONNOUSERSITE=1 .venv/bin/python -m pip --disable-pip-version-check
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONNOUSERSITE := 1

demo: $(STAMP)
	snakemake --cores all --configfile configs/default.yaml
	deepgen-bench show results/default

# Kills more real jobs than a bare `pytest`. The tests of a file share what they train, so they run in one process.
test: $(STAMP)
	pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder --kills 56 --hypothesis-seed=0

# Runs on a temporary cluster on this machine, which needs root and Debian's packages slurm-wlm and munge. The plugin is
# installed outside the environment, because with it and without a cluster every call of snakemake takes 10 s longer.
test-slurm: $(STAMP) $(PLUGIN)/.installed
	@tests/slurm/cluster check
	PYTHONPATH=$(PLUGIN) pytest tests/slurm

# Compares the speed with other software and writes benchmarks/results. Run nothing else on the machine meanwhile.
bench: $(STAMP) $(PEERS)/.installed
	PYTHONPATH=$(PEERS) python -m benchmarks.run

lint: $(STAMP)
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflow
	snakemake --lint

# Keeps results: remove results/<experiment> and results/runs by hand.
clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.txt pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
	  { echo 'error: the pinned packages are for Python 3.11; found: $(or $(shell { "$(PYTHON)" --version | head -n 1; } 2>/dev/null),no python3). Install python3.11 or run: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	test -x .venv/bin/python || "$(PYTHON)" -m venv .venv
	$(PIP) install --require-hashes -r requirements.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

$(PLUGIN)/.installed: requirements-slurm.txt $(STAMP)
$(PEERS)/.installed: requirements-peers.txt $(STAMP)
$(PLUGIN)/.installed $(PEERS)/.installed:
	rm -rf $(@D)
	$(PIP) install --no-deps --require-hashes --target $(@D) -r $<
	touch $@

# `make` alone lists the targets. Everything runs from a virtual environment in .venv, which the
# first target that needs it builds. To use another one:  make test VENV=/path/to/venv
# TORCH_ARGS is handed to pip when it installs torch (for example an index with other builds).

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help install demo inspect screenshots test test-slow test-lucene lint types fix stages bench clean

PYTHON ?= python3
VENV ?= .venv
TORCH_ARGS ?=
ARGS ?=
# What to install of pyproject.toml's extras. Pyserini has an environment of its own: it brings a
# hundred packages that nothing else needs.
EXTRAS ?= dev,dedup,plots,space,qdrant,milvus,weaviate,elasticsearch
CONSTRAINTS ?= constraints.txt
LUCENE_VENV ?= .venv-lucene

BIN := $(VENV)/bin
# There once an installation has finished; older than the files it was made from when stale.
STAMP := $(VENV)/.hf-hardneg-installed
# Marks an environment that this Makefile made, and so may make anew. No other is ever removed.
OURS := $(VENV)/.hf-hardneg-made-by-make
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 "$(BIN)/python" -m pip install --quiet $(addprefix -c ,$(CONSTRAINTS))
OLD_PYTHON = import sys; sys.exit(sys.version_info < (3, 10))

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## build the environment (at once when it is up to date)

# A mark without a stamp is an installation that was cut short: that environment starts afresh.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	@set -euo pipefail; \
	fail() { echo "make: $$*" >&2; exit 1; }; \
	check() { "$$1" -c '$(OLD_PYTHON)' || fail "$$1 is $$("$$1" -V 2>&1)," \
	  "but Python 3.10 or newer is needed: $$2"; }; \
	if [ -e "$(OURS)" ] && { [ ! -e "$(STAMP)" ] || ! "$(BIN)/python" -m pip -V >/dev/null 2>&1; }; then \
	  echo "$(VENV) was left unfinished: making it anew"; \
	  rm -rf "$(VENV)"; \
	fi; \
	if [ ! -e "$(VENV)" ]; then \
	  command -v "$(PYTHON)" >/dev/null || fail "found no '$(PYTHON)'; expected Python 3.10" \
	    "or newer: install it, or name one with 'make PYTHON=python3.12'"; \
	  check "$(PYTHON)" "name a newer one with 'make PYTHON=python3.12'"; \
	  mkdir -p "$(VENV)"; \
	  touch "$(OURS)"; \
	  "$(PYTHON)" -m venv "$(VENV)"; \
	elif [ ! -x "$(BIN)/python" ]; then \
	  fail "'$(VENV)' exists, but holds no bin/python: remove it, or name a virtual" \
	    "environment with 'make VENV=/path/to/venv'"; \
	fi; \
	check "$(BIN)/python" "remove '$(VENV)', or name another with 'make VENV=/path/to/venv'"; \
	rm -f "$(STAMP)"; \
	torch=$$(sed -n 's/^\(torch==[^ ;]*\).*/\1/p' constraints.txt); \
	[ -n "$$torch" ] || fail "constraints.txt has no line 'torch==VERSION': add it"; \
	echo "installing $$torch and the rest into $(VENV) (the first time takes minutes)"; \
	$(PIP) $(TORCH_ARGS) "$$torch"; \
	$(PIP) -e ".[$(EXTRAS)]"; \
	touch "$(STAMP)"

demo: install ## mine hard negatives from a small corpus and show the result
	"$(BIN)/hf-hardneg" demo $(ARGS)

inspect: install ## open the mined set of the demo in the browser (ARGS="another-set --port 7861")
	@[ -n '$(ARGS)' ] || [ -d demo-output ] || "$(BIN)/hf-hardneg" demo >/dev/null
	"$(BIN)/hf-hardneg" inspect $(if $(ARGS),$(ARGS),demo-output)

screenshots: install ## take the pictures of the docs anew (needs Chromium)
	"$(BIN)/python" -m docs.screenshots.take

test: install ## run the tests, without the slow ones (ARGS="-k name" picks some)
	"$(BIN)/python" -m pytest -n 2 $(ARGS)

test-slow: install ## run the slow tests only
	"$(BIN)/python" -m pytest -n 2 -m slow $(ARGS)

test-lucene: ## run the tests that need Pyserini and Java (makes an environment of their own)
	@$(MAKE) --no-print-directory install VENV="$(LUCENE_VENV)" EXTRAS=dev,lucene \
	  CONSTRAINTS="constraints.txt constraints-lucene.txt"
	"$(LUCENE_VENV)/bin/python" -m pytest -m lucene $(ARGS)

lint: install ## check style and formatting
	"$(BIN)/python" -m ruff check
	"$(BIN)/python" -m ruff format --check

types: install ## check types
	"$(BIN)/python" -m mypy

fix: install ## repair style and formatting where that can be done by itself
	"$(BIN)/python" -m ruff check --fix
	"$(BIN)/python" -m ruff format

stages: install ## write docs/stages.md anew from the code
	"$(BIN)/python" -c "from hf_hardneg.catalogue import markdown; print(markdown(), end='')" > docs/stages.md

bench: install ## run the benchmarks
	"$(BIN)/python" -m benchmarks.run $(ARGS)

clean: ## remove caches and build output (the environment stays)
	rm -rf build dist demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis ./*.egg-info
	find . -name __pycache__ -type d -not -path './.venv*/*' -prune -exec rm -rf {} +

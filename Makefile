# make demo: the main job, small. make test: everything CI checks. GNU make, Python >= 3.11, nothing else.
# Everything is installed into .venv; a stamp there is newer than pyproject.toml when it is current.

# $(1): commands; the first of them that is Python 3.12 or newer, runs and can make environments.
first_newer = $(firstword $(foreach p,$(1),$(shell $(p) -c "import ensurepip, sys; \
  sys.exit(sys.version_info < (3, 12))" 2>/dev/null && echo $(p))))
NEWER := python3.13 python3.12

# From Python 3.12 on pip takes a newer jax, whose update is faster; PyTorch is as large either way.
PYTHON ?= $(or $(call first_newer,$(NEWER)),python3)
# For test-newest also one that pyenv has, which need not be on PATH.
NEWEST ?= $(NEWER) $(foreach v,3.13 3.12,$(wildcard $(HOME)/.pyenv/versions/$(v).*/bin/python))
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.stamp-run
SERVE_STAMP := $(VENV)/.stamp-serve
TEST_STAMP := $(VENV)/.stamp-test
DEV_STAMP := $(VENV)/.stamp-dev
WORKDIR ?= runs/demo
REGIME_W ?= runs/regime_w
SEED ?= 0

WORKERS := --numprocesses=2 --dist=loadfile --no-loadscope-reorder
# Rooms whole, so that a new test there is in; of what compiles, one each.
QUICK := tests/core tests/config tests/data tests/rlvr tests/support tests/test_architecture.py \
  tests/model/test_transformer.py tests/engine/test_scheduler.py tests/engine/test_readme.py \
  tests/training/test_optimizer.py "tests/training/test_step.py::test_microbatches_change_nothing"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv dev demo serve rlvr regime-w-demo test check quick test-newest slow-test \
  mutations format clean

help: ## show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "  PYTHON=...         the interpreter to build .venv with, 3.11 or newer (now: $(PYTHON))"

venv: $(RUN_STAMP) ## create .venv and install waltzjax

dev: $(DEV_STAMP) ## the same, with what tests and checks need (torch, ruff, mypy)

# A CPU's steps take their memory in huge pages, which are cleared faster; glibc alone reads this.
demo rlvr regime-w-demo: export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

demo: $(RUN_STAMP) ## train two small agents end to end (minutes), into runs/demo
	@$(BIN)/python -m waltzjax.train --config=configs/stage2.py:tiny --workdir=$(WORKDIR)

serve: $(SERVE_STAMP) ## answer over HTTP with the agents that make demo has trained, on this machine alone
	@$(BIN)/python -m waltzjax.serve --config=configs/serve.py:tiny --workdir=$(WORKDIR)

rlvr: $(RUN_STAMP) ## train a small policy on verified maths end to end (minutes), into runs/rlvr
	@$(BIN)/python -m waltzjax.train --config=configs/rlvr_multisignal.py:tiny --workdir=runs/rlvr

regime-w-demo: $(RUN_STAMP) ## collect answers, learn from preferences of them, check (minutes), into runs/regime_w
	@$(BIN)/python -m waltzjax.collect --config=configs/regime_w_collect.py:tiny --config.seed=$(SEED) --workdir=$(REGIME_W)_collect
	@$(BIN)/python -m waltzjax.train --config=configs/regime_w_dpo.py:tiny --config.seed=$(SEED) --workdir=$(REGIME_W) \
	  --config.model.base=$(REGIME_W)_collect/base --config.dpo.data=$(REGIME_W)_collect/pairs.jsonl \
	  --config.problems.validation=$(REGIME_W)_collect/data/validation.jsonl
	@$(BIN)/python -m waltzjax.checklist --collected=$(REGIME_W)_collect --run=$(REGIME_W)

test: $(DEV_STAMP) ## format, lint, types, tests: exactly what CI runs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest $(WORKERS)

check: test ## the same as test

quick: $(DEV_STAMP) ## a minute or two of them, while you write: text, maths, one small model, update and engine
	@$(BIN)/python -m pytest $(WORKERS) --ignore-glob='*/test_torch_*' $(QUICK)

# Without PyTorch, which is the same there: what depends on jax is compared with numpy too.
test-newest: ## the tests on Python 3.12 or newer, its jax and flax, in .venv-newest
	@python="$(call first_newer,$(NEWEST))"; \
	[ -n "$$python" ] || { echo "make: no Python 3.12 or 3.13 at hand: make test-newest NEWEST=/path/to/python3.13" >&2; exit 1; }; \
	$(MAKE) --no-print-directory VENV=.venv-newest PYTHON="$$python" .venv-newest/.stamp-test
	@.venv-newest/bin/python -m pytest $(WORKERS)

slow-test: $(DEV_STAMP) ## the tests marked slow; those of numbers again, compiled as users compile
	@$(BIN)/python -m pytest -m slow
	@TEST_OPTIMIZATION=3 $(BIN)/python -m pytest --numprocesses=2 tests/core tests/model tests/engine tests/stages tests/training

mutations: $(DEV_STAMP) ## put faults into a copy of the code: tests must see each; goes on where it stopped
	@$(BIN)/python scripts/check_mutations.py

format: $(DEV_STAMP) ## rewrite the code in its one format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## remove environments, caches and build outputs; never runs/
	rm -rf $(VENV) .venv-newest build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find waltzjax tests configs scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- installation ---------------------------------------------------------------------------

# Of two makes at once the second waits, where flock exists (Linux), then finds the stamp written.
FLOCK := $(if $(shell command -v flock 2>/dev/null),flock -o pyproject.toml)

# $(1): what pip installs; $(2): the words for it. The stamp is removed first and put in place last,
# so that an install which failed or was interrupted is done again; it bears the time of the start,
# so that an edit of pyproject.toml during the install counts.
define install
@$(FLOCK) sh -eu -c ' \
  newer() { [ -e "$@" ] && [ -z "$$(find pyproject.toml -newer "$@")" ]; }; \
  if newer; then touch "$@"; exit 0; fi; \
  rm -f "$@"; \
  start=$$(date +%s); \
  if ! $(BIN)/python -c "import pip, sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; then \
    version=$$($(PYTHON) -c "import platform; print(platform.python_version())" 2>/dev/null) || version=; \
    if [ -z "$$version" ]; then \
      echo "make: PYTHON=$(PYTHON) does not run. waltzjax needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
    if ! $(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))"; then \
      echo "make: PYTHON=$(PYTHON) is Python $$version. waltzjax needs 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
    echo "Creating $(VENV) with Python $$version ..."; \
    $(PYTHON) -m venv --clear $(VENV) || { \
      echo "make: $(PYTHON) cannot create environments; on Debian and Ubuntu install python3-venv." >&2; exit 1; }; \
  fi; \
  : > "$@.new"; \
  echo "Installing $(2) into $(VENV), minutes the first time ..."; \
  ( while sleep 20 >/dev/null 2>&1 && kill -0 $$$$ 2>/dev/null; do echo "  ... $$(($$(date +%s) - start)) s"; done ) & \
  trap "kill $$! 2>/dev/null || :" EXIT; trap "exit 130" INT TERM; \
  $(BIN)/python -m pip install -q -q --progress-bar off --disable-pip-version-check --log $(VENV)/pip.log -e "$(1)" || { \
    echo "make: the installation failed after $$(($$(date +%s) - start)) s; the whole record: $(VENV)/pip.log" >&2; exit 1; }; \
  mv "$@.new" "$@"; \
  echo "Installed in $$(($$(date +%s) - start)) s." '
endef

$(RUN_STAMP): pyproject.toml
	$(call install,.,waltzjax and its dependencies)

$(SERVE_STAMP): pyproject.toml
	$(call install,.[serve],waltzjax and what serving needs)

$(TEST_STAMP): pyproject.toml
	$(call install,.[test],waltzjax and what its tests need)

$(DEV_STAMP): pyproject.toml $(RUN_STAMP)
	$(call install,.[dev],what the tests and checks need)

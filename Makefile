# One command each: demo, test, bench, check, clean. Every target prepares .venv by itself; nothing needs root.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet install

.PHONY: help demo lab test check bench bench-short lock clean

help:
	@echo "make demo         start the lab and play the story (about a minute once installed)"
	@echo "make lab          start the lab and leave it running in the foreground"
	@echo "make test         the whole test suite"
	@echo "make check        lint, types and import directions"
	@echo "make bench        the benchmarks: table, JSON and plots in bench/"
	@echo "make bench-short  the short form that CI runs, and the gate"
	@echo "make lock         pin the dependencies anew"
	@echo "make clean        remove .venv and caches"

demo: $(VENV)/.runtime
	@$(BIN)/tunneld lab demo

lab: $(VENV)/.runtime
	@$(BIN)/tunneld lab up

test: $(VENV)/.test $(VENV)/.foreign
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench
	$(BIN)/python -m bench

bench-short: $(VENV)/.bench
	$(BIN)/python -m bench --short --gate

# The stamps are written last, so that an interrupted installation is done again.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "tunneld needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
	  || { echo "Python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "preparing $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.python requirements.lock pyproject.toml
	@echo "installing tunneld and its pinned dependencies (once)"
	@$(PIP) -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test: $(VENV)/.runtime requirements-test.lock
	@echo "installing the test dependencies (once)"
	@$(PIP) -r requirements-test.lock
	@touch $@

# Programs of others for Node, which only tests start. Without npm those tests say so and are skipped.
$(VENV)/.foreign: $(VENV)/.python tests/foreign/package.json
	@if command -v npm >/dev/null; then \
	  echo "installing the foreign programs that tests talk to (once)"; \
	  cd tests/foreign && npm install --silent --no-audit --no-fund --package-lock=false; \
	else echo "npm is missing: tests with foreign programs will be skipped"; fi
	@touch $@

$(VENV)/.bench: $(VENV)/.runtime requirements-bench.lock
	@echo "installing the benchmark's dependencies and the peers it measures against (once)"
	@$(PIP) -r requirements-bench.lock
	@touch $@

lock: $(VENV)/.python
	@$(PIP) 'pip-tools>=7.5'
	@for extra in "" test bench; do \
	  $(BIN)/pip-compile --quiet --upgrade --no-header --no-annotate --strip-extras --allow-unsafe \
	    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	    --build-deps-for editable $${extra:+--extra $$extra -c requirements.lock} \
	    --output-file requirements$${extra:+-$$extra}.lock pyproject.toml; \
	done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist ./*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

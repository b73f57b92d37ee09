# Needs only Python 3.11+ and make. Every recipe is one readable line; the stamps make re-runs free.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
PINS := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q

.PHONY: demo test lint slow newcomer setup pins bench clean

demo: $(VENV)/.run            ## close a loop on the simulator and measure its effect
	$(BIN)/ranloop demo
	@echo 'Now `. $(BIN)/activate` puts ranloop on your path.'

test: $(VENV)/.dev            ## the test suite
	$(BIN)/pytest -n auto

slow: $(VENV)/.dev            ## the tests that take minutes
	$(BIN)/pytest -n auto -m slow

lint: $(VENV)/.dev            ## style, types, and the direction of imports
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

bench: $(VENV)/.dev           ## speed, each beside its peer or floor in one run
	$(BIN)/python -m benchmarks

newcomer:                     ## both commands in a clean clone of HEAD with a clean environment
	$(PYTHON) tools/newcomer.py

setup: $(VENV)/.dev

$(VENV)/.run: requirements/run.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/run.txt
	$(PIP) install --no-deps --no-build-isolation -e . && touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(PIP) install --require-hashes -r requirements/dev.txt && touch $@

pins:                         ## renew the hashed requirements (needs uv)
	$(PINS) --group build --all-extras --group dev -o requirements/dev.txt
	$(PINS) --group build --extra sim -c requirements/dev.txt -o requirements/run.txt
	$(PINS) --extra models -c requirements/dev.txt -o requirements/xapp-models.txt
	$(PINS) -c requirements/dev.txt -o requirements/xapp.txt

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Needs only Python 3.11+ and make. Every recipe is one readable line; the stamps make re-runs free.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
PINS := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q

COMPOSE ?= docker compose
SECRETS ?= $(CURDIR)/docker/run/secrets
STACK := RANLOOP_SECRETS=$(SECRETS) $(COMPOSE) -f docker/compose.yaml $(if $(NATS),-f docker/compose.nats.yaml)

.PHONY: install demo test lint slow containers newcomer setup pins bench images up down clean

install: $(VENV)/.run         ## ranloop and its simulator

demo: $(VENV)/.run            ## close a loop on the simulator and measure its effect
	$(BIN)/ranloop demo
	@echo 'Now `. $(BIN)/activate` puts ranloop on your path.'

test: $(VENV)/.dev            ## the test suite
	$(BIN)/pytest -n auto --dist loadfile --reruns 1 -r aR  # by file: what its tests share is made once; see CONTRIBUTING

slow: $(VENV)/.dev            ## the tests that take minutes
	$(BIN)/pytest -n auto --reruns 1 -r aR -m slow

containers: $(VENV)/.containers   ## the tests in containers; docker/ci/prepare.sh installs and builds what they need
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pytest -s -m containers tests/docker

lint: $(VENV)/.dev            ## style, types, and the direction of imports
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

bench: $(VENV)/.dev           ## speed, each beside its peer or floor in one run
	$(BIN)/python -m benchmarks

images: $(VENV)/.run          ## container images of the node host and the bundled xApps
	RANLOOP=$(BIN)/ranloop docker/images.sh

up: $(SECRETS)                ## broker, node host and two xApps in containers (COMPOSE=podman-compose, NATS=1)
	$(STACK) up -d

down:                         ## end them
	$(STACK) down

$(SECRETS): | $(VENV)/.run
	RANLOOP=$(BIN)/ranloop docker/secrets.sh $@ xapps/qos_scheduler xapps/kpm_monitor

newcomer:                     ## the commands of README in clean clones of HEAD with a clean environment
	$(PYTHON) tools/newcomer.py

setup: $(VENV)/.dev

$(VENV)/.run: requirements/run.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/run.txt
	$(PIP) install --no-deps --no-build-isolation -e . && touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(PIP) install --require-hashes -r requirements/dev.txt && touch $@

$(VENV)/.containers: requirements/containers.txt $(VENV)/.dev
	$(PIP) install --require-hashes -r requirements/containers.txt && touch $@

pins:                         ## renew the hashed requirements (needs uv)
	$(PINS) --group build --all-extras --group dev -o requirements/dev.txt
	$(PINS) --group build --extra sim --extra metrics --extra trust -c requirements/dev.txt -o requirements/run.txt
	$(PINS) --group containers -c requirements/dev.txt -o requirements/containers.txt
	$(PINS) --extra models --extra metrics --extra trust -c requirements/dev.txt -o requirements/xapp-models.txt
	$(PINS) --extra metrics -c requirements/dev.txt -o requirements/xapp.txt

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

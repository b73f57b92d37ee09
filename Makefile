# Needs only Python 3.11+ and make. Every recipe is one readable line; the stamps make re-runs free.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
PINS := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q

COMPOSE ?= docker compose
SECRETS ?= $(CURDIR)/docker/run/secrets
STACK := RANLOOP_SECRETS=$(SECRETS) $(COMPOSE) -f docker/compose.yaml $(if $(NATS),-f docker/compose.nats.yaml) $(if $(ORDERS),-f docker/compose.orders.yaml)

.PHONY: install demo test lint slow soak containers newcomer setup pins bench images up down clean

install: $(VENV)/.run         ## ranloop and its simulator

demo: $(VENV)/.run            ## close a loop on the simulator and measure its effect
	$(BIN)/ranloop demo
	@echo 'Now `. $(BIN)/activate` puts ranloop on your path.'

test: $(VENV)/.dev            ## the test suite
	$(BIN)/pytest -n auto --dist loadfile --reruns 1 -r aR  # by file: what its tests share is made once; see CONTRIBUTING

slow: $(VENV)/.dev            ## the tests that take minutes, and laws on many examples
	$(BIN)/pytest -n auto --reruns 1 -r aR -m "slow or hypothesis" --hypothesis-profile thorough

soak: $(VENV)/.dev            ## a live loop under faults for 15 minutes; RANLOOP_SOAK_S=120 shortens it
	$(BIN)/pytest -s -m soak tests/ranloop/test_soak.py

containers: $(VENV)/.containers   ## the tests in containers; docker/ci/prepare.sh installs and builds what they need
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pytest -s -m containers tests/docker

lint: $(VENV)/.dev            ## style, types, and the direction of imports
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

bench: $(VENV)/.dev           ## speed, each beside its peer or floor in one run
	$(BIN)/python -m benchmarks

images: $(VENV)/.run          ## container images of the node host, the live page and the bundled xApps
	RANLOOP=$(BIN)/ranloop docker/images.sh

up: $(SECRETS)/page/tls.crt   ## broker, node host, two xApps, page and Prometheus in containers (COMPOSE=podman-compose, NATS=1, ORDERS=1)
	$(STACK) up -d

down:                         ## end them
	$(STACK) down

$(SECRETS)/page/tls.crt: | $(VENV)/.run  # none yet, or made before there was a page
	RANLOOP=$(BIN)/ranloop docker/secrets.sh $(SECRETS) xapps/qos_scheduler xapps/kpm_monitor

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
	$(PINS) --extra page --extra metrics -c requirements/dev.txt -o requirements/page.txt

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

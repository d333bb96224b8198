# Two commands on a fresh machine: `make demo` and `make test`. Each sets up .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Byte code is compiled at once: a start that has to do it takes seconds instead of a moment.
INSTALL := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python
.DEFAULT_GOAL := help

.PHONY: help demo test check bench bench-all fuzz soak format lock image-test clean

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "token-proxy needs Python 3.11 or newer; try: make PYTHON=python3.13 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.run: pyproject.toml | $(BIN)/uv
	@$(INSTALL) --editable .
	@$(BIN)/python -m compileall -q proxy
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/uv
	@$(INSTALL) --editable . --group test
	@touch $@ $(VENV)/.run

$(VENV)/.check: pyproject.toml | $(BIN)/uv
	@$(INSTALL) --editable . --group test --group check
	@touch $@ $(VENV)/.test $(VENV)/.run

$(VENV)/.bench: pyproject.toml | $(BIN)/uv
	@$(INSTALL) --editable . --group bench
	@touch $@ $(VENV)/.run

tests/integration/servers/node_modules: tests/integration/servers/package-lock.json
	@if command -v npm >/dev/null; then cd $(@D) && npm ci --silent --no-audit --no-fund && touch node_modules; \
	elif [ "$$CI" = true ]; then echo "npm is missing: install Node.js"; exit 1; \
	else echo "npm is missing: tests with oidc-provider will be skipped"; fi

demo: $(VENV)/.run ## An authorization server, an upstream and the proxy on this machine (ARGS=--once ends by itself)
	@$(BIN)/token-proxy demo $(ARGS)

test: $(VENV)/.test tests/integration/servers/node_modules ## All tests, with line coverage of proxy/
	@$(BIN)/python tests/run.py $(ARGS)

check: $(VENV)/.check ## Lint, format, types, layers, dependencies, docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/repository

format: $(VENV)/.check ## Rewrite the code as `make check` wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

fuzz: $(VENV)/.test ## Broken and odd bytes from upstreams and from callers, a minute each
	@$(BIN)/python tests/fuzz/upstream_connection.py --seconds 60 $(ARGS)
	@$(BIN)/python tests/fuzz/caller_connection.py --seconds 60 $(ARGS)

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock"

lock: | $(BIN)/uv ## Write the image's locks anew (ARGS=--upgrade takes the newest versions)
	@$(LOCK) $(ARGS) pyproject.toml --extra otel -o requirements.lock
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], "uv", sep="\n")' \
	  | $(LOCK) $(ARGS) - -o requirements-build.lock

image-test: $(VENV)/.test ## Build the image and run it without Docker (as root; buildah and runc)
	@$(BIN)/python -m pytest -p no:cacheprovider -n 0 tests/deployment/image_runs.py $(ARGS)

soak: $(VENV)/.test ## The endurance tests in full: aborted requests, connections, 1 GiB streams, ten minutes of servers that die and return
	@ENDURANCE=full $(BIN)/python -m pytest -p no:cacheprovider tests/endurance $(ARGS)

bench: $(VENV)/.bench ## CPU per request beside nginx, Envoy and Go (needs nginx and wrk from the distribution)
	@$(BIN)/python benchmarks/compare.py $(ARGS)

bench-all: $(VENV)/.bench ## The same, and throughput, latency at a fixed rate, and growth with the number of upstreams
	@$(BIN)/python benchmarks/compare.py
	@$(BIN)/python benchmarks/throughput.py
	@$(BIN)/python benchmarks/latency.py
	@$(BIN)/python benchmarks/growth.py

clean: ## Remove what the other targets made
	rm -rf $(VENV) $(VENV)-* tests/integration/servers/node_modules build dist

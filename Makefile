.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export PYTHON ?= python3
BIN := .venv/bin
NEED := @tools/need.sh
NPM := npm --prefix frontend
WEB_SOURCES := $(shell find frontend -name node_modules -prune -o -type f -print)

.PHONY: help
help: ## list these targets
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# --- use it ---------------------------------------------------------------------------------------------------------

.PHONY: run
run: .venv/installed-demo app/http/static/.built ## the service with a live demonstration
	$(BIN)/python -m demo

.PHONY: serve
serve: .venv/installed-run app/http/static/.built ## the service alone, in the foreground
	$(BIN)/python -m app

# --- work on it -----------------------------------------------------------------------------------------------------

.PHONY: install
install: .venv/installed-dev ## the Python environment with everything the tests use

.PHONY: web
web: app/http/static/.built ## the explorer's assets

.PHONY: check
check: .venv/installed-dev .interop/codegen/installed frontend/node_modules/.package-lock.json ## format, lint, types, architecture, schema file, compose file
	$(NEED) compose
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@# the exported graph is read under 3.11 or later alone
	for version in 3.10 3.13; do $(BIN)/mypy --python-version $$version --follow-imports silent --exclude headwater/offline.py clients/python/headwater || exit 1; done
	.interop/codegen/bin/python tools/client_types.py --check
	$(NPM) run check
	$(BIN)/pytest --quiet tests/test_architecture.py
	$(BIN)/python -m app schema --check
	HEADWATER_NEO4J_PASSWORD=unused $(shell command -v docker-compose || echo docker compose) config --quiet

.PHONY: test
test: .venv/installed-dev .neo4j/fetched app/http/static/.built ## the tests, with a real Neo4j and a real browser; the long ones are in interop
	$(NEED) java chromium
	HEADWATER_TEST_REQUIRE_ALL=1 $(BIN)/pytest --numprocesses auto --dist loadgroup --ignore tests/interop -m "not long" $(ARGS)
	$(NPM) run test:browser

.PHONY: interop
interop: .venv/installed-dev .interop/alibi/installed .interop/dbt/installed .interop/feast/installed .interop/mlflow/installed .interop/openlineage/installed .interop/otel/installed .neo4j/fetched tests/interop/node/node_modules/.package-lock.json tests/interop/mermaid/node_modules/.package-lock.json ## tests against clients that others wrote, and the long tests and fault runs
	$(NEED) java
	HEADWATER_TEST_REQUIRE_ALL=1 $(BIN)/pytest tests/interop $(ARGS)
	HEADWATER_TEST_REQUIRE_ALL=1 HEADWATER_TEST_CRASHES=8 HYPOTHESIS_PROFILE=deep \
		$(BIN)/pytest --numprocesses auto --dist loadgroup --ignore tests/interop -m long $(ARGS)

.PHONY: bench
bench: .venv/installed-dev .interop/mlflow/installed .neo4j/fetched ## measure beside what else there is (ARGS=--help)
	$(NEED) java compiler
	$(BIN)/python -m tests.bench $(ARGS)

.PHONY: neo4j
neo4j: .venv/installed-dev .neo4j/fetched ## a Neo4j in the foreground, for test runs to share
	$(NEED) java
	$(BIN)/python -m tests.neo4j_server

.PHONY: format
format: .venv/installed-dev frontend/node_modules/.package-lock.json ## rewrite the sources in the one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(NPM) run format

.PHONY: client-types
client-types: .interop/codegen/installed ## generate what the Python client sends and reads, of the schema and clients/python/queries
	.interop/codegen/bin/python tools/client_types.py

LOCK := UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links $(ARGS)

.PHONY: lock
lock: .venv/bin/uv ## resolve requirements/*.txt anew (ARGS=--upgrade for newer versions)
	$(LOCK) requirements/uv.in -o requirements/uv.txt
	$(LOCK) pyproject.toml --extra dev -o requirements/dev.txt
	$(LOCK) pyproject.toml --extra demo -c requirements/dev.txt -o requirements/demo.txt
	$(LOCK) pyproject.toml -c requirements/dev.txt -o requirements/run.txt
	$(LOCK) pyproject.toml --extra alibi -o requirements/alibi.txt
	$(LOCK) requirements/dbt.in -o requirements/dbt.txt
	$(LOCK) requirements/mlflow.in -o requirements/mlflow.txt
	$(LOCK) requirements/feast.in -o requirements/feast.txt
	$(LOCK) requirements/openlineage.in -o requirements/openlineage.txt
	$(LOCK) requirements/otel.in -o requirements/otel.txt
	$(LOCK) requirements/codegen.in -o requirements/codegen.txt

.PHONY: clean
clean: ## remove everything that make made
	rm -rf .venv .interop .neo4j .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf frontend/node_modules tests/interop/node/node_modules tests/interop/mermaid/node_modules app/http/static
	find . -name __pycache__ -prune -exec rm -rf {} +

# --- files ----------------------------------------------------------------------------------------------------------

.venv/bin/uv: requirements/uv.txt
	$(NEED) python
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

# Its dependencies are in the lock files, and so is what builds it.
INSTALL_CLIENT = VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --offline --editable clients/python

# Each set holds the smaller ones at the same versions, so an environment only ever grows.
.venv/installed-run: requirements/run.txt .venv/bin/uv
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements/run.txt
	@touch $@

.venv/installed-demo: requirements/demo.txt clients/python/pyproject.toml .venv/bin/uv
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements/demo.txt
	$(INSTALL_CLIENT)
	@touch $@ .venv/installed-run

.venv/installed-dev: requirements/dev.txt clients/python/pyproject.toml .venv/bin/uv
	VIRTUAL_ENV=.venv $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements/uv.txt requirements/dev.txt
	$(INSTALL_CLIENT)
	@touch $@ .venv/installed-demo .venv/installed-run

# Each of its own: alibi needs an older numpy (1.2 GB), dbt other versions of much, MLflow and codegen an older graphql-core.
.interop/%/installed: requirements/%.txt .venv/bin/uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .interop/$*
	VIRTUAL_ENV=.interop/$* $(BIN)/uv pip install --quiet --require-hashes -r requirements/$*.txt
	@touch $@

%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	$(NEED) node
	npm --prefix $* ci --no-audit --no-fund
	@touch $@

app/http/static/.built: frontend/node_modules/.package-lock.json $(WEB_SOURCES)
	$(NPM) run build
	@touch $@

.neo4j/fetched: tools/neo4j/pom.xml
	$(NEED) java maven
	rm -rf .neo4j/lib
	mvn --batch-mode --quiet --strict-checksums -Dstyle.color=never -f tools/neo4j/pom.xml \
		dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/.neo4j/lib
	@touch $@

# Everything a developer does; `make help` lists it. Needs Python 3.11 and make, fetches the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed
PEERS_STAMP := .venv-peers/.installed
# Where `make upgrade` comes from: the newest release. Until one is out, the last commit before the schema got what the audit API asks by.
OLD ?= f1cea79d48d1041fac35cf34a229b64999d3a8c8
PACKAGES := auditlog publishers consumers doctors settings devstack helm tests bench
# How many pytest processes share the tests, each with a PostgreSQL and a Kafka of its own.
WORKERS ?= 2
PRODUCTION := DJANGO_SETTINGS_MODULE=settings.production DJANGO_ALLOWED_HOSTS=example.org \
	DJANGO_SECRET_KEY=a-key-for-the-check-only-0123456789-abcdefghijklmnopqrstuvwxyz \
	DATABASE_URL=postgres://check@127.0.0.1/check KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9092

.PHONY: help run test checks postgres-versions lint typecheck format lock mutations upgrade fuzz faults bench bench-api export-proof capacity openapi chart sbom image clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(STAMP): requirements/dev.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed and $(PYTHON) was not found: install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Making .venv and installing the locked requirements …"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
	@$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --progress-bar on -r requirements/dev.txt \
		|| { echo "The requirements could not be installed: check the network or the proxy, then run make again." >&2; exit 1; }
	@touch $@

run: $(STAMP)  ## start everything: PostgreSQL, Kafka, API, worker, relay, consumer, demo data
	@exec $(BIN)/python manage.py devstack up

test: checks postgres-versions $(PEERS_STAMP)  ## every check, on a real PostgreSQL and a real Kafka; WORKERS=number of them
	$(BIN)/python -m pytest -n $(WORKERS)

checks: lint typecheck
	$(BIN)/lint-imports
	DATABASE_URL=postgres://check@127.0.0.1:1/check $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(PRODUCTION) $(BIN)/python manage.py check --deploy --fail-level WARNING
	@fresh=$$(mktemp); trap 'rm -f "$$fresh"' EXIT; \
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file "$$fresh"; \
	diff -u docs/reference/openapi.yaml "$$fresh" || { echo "docs/reference/openapi.yaml is not what the code says: run make openapi." >&2; exit 1; }

postgres-versions: $(STAMP)
	@if [ -x /usr/lib/postgresql/15/bin/postgres ]; then \
		TEST_POSTGRES=15 $(BIN)/python -m pytest -n $(WORKERS) -m postgres_versions; \
	elif [ -n "$${REQUIRE_EXTRAS:-}" ]; then \
		echo "PostgreSQL 15 is not installed (postgresql-15), and REQUIRE_EXTRAS is set." >&2; exit 1; \
	else \
		echo "NOT RUN: the tests marked postgres_versions on PostgreSQL 15 (install postgresql-15 to run them)."; \
	fi

lint: $(STAMP)  ## ruff: format and rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

typecheck: $(STAMP)  ## mypy strict
	$(BIN)/mypy $(PACKAGES)

format: $(STAMP)  ## rewrite in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(STAMP)  ## resolve requirements/*.in anew, with hashes
	$(BIN)/python -m uv pip compile -q --generate-hashes --python-version 3.11 requirements/base.in -o requirements/base.txt
	$(BIN)/python -m uv pip compile -q --generate-hashes --python-version 3.11 -c requirements/base.txt requirements/base.in requirements/otel.in -o requirements/otel.txt
	$(BIN)/python -m uv pip compile -q --generate-hashes --python-version 3.11 requirements/dev.in -o requirements/dev.txt
	$(BIN)/python -m uv pip compile -q --generate-hashes --python-version 3.11 requirements/peers.in -o requirements/peers.txt

mutations: $(STAMP)  ## switch mechanisms off, and see the tests of invariants fail
	$(BIN)/python -m tests.mutations

fuzz: $(STAMP)  ## make up requests for every operation of the API, EXAMPLES=500 of each kind; ONLY="GET .*/feed/": some operations
	FUZZ_EXAMPLES=$(or $(EXAMPLES),500) FUZZ_ONLY='$(ONLY)' $(BIN)/python -m pytest tests/integration/auditlog_api/test_fuzz.py

faults: $(STAMP)  ## make everything fail on three brokers, and count what is lost; ONLY="8 9": some scenarios; SCALE=0.05: a smaller load
	$(BIN)/python -m tests.faults $(if $(SCALE),--scale $(SCALE)) $(ONLY)

upgrade: $(STAMP)  ## upgrade from an older version (OLD=tag or commit) to this one; TESTS="…": what runs both ways
	$(BIN)/python -m tests.upgrade $(OLD) $(TESTS)

# The libraries that the bench compares with, apart: one of them is called auditlog too.
$(PEERS_STAMP): requirements/peers.txt $(STAMP)
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers || { rm -rf .venv-peers; exit 1; }
	@.venv-peers/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/peers.txt
	@touch $@

bench: $(STAMP) $(PEERS_STAMP)  ## measure on the local stack
	$(BIN)/python -m bench

bench-api: $(STAMP)  ## ask the audit API over ten million rows (half an hour, 35 GB; ROWS=number)
	$(BIN)/python -m bench --only api $(if $(ROWS),--rows $(ROWS))

export-proof: $(STAMP)  ## export five million events in constant memory (half an hour, 20 GB; ROWS=number)
	$(BIN)/python -m bench --only export $(if $(ROWS),--rows $(ROWS))

capacity: $(STAMP)  ## measure what an event costs each process and the disks
	$(BIN)/python -m bench --only capacity

openapi: $(STAMP)  ## write docs/reference/openapi.yaml
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file docs/reference/openapi.yaml

chart: $(STAMP)  ## write the chart's values.schema.json and README.md
	$(BIN)/python -m helm.generate

sbom: $(STAMP)  ## write dist/sbom.cdx.json: what the image holds, in CycloneDX
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-format JSON -o dist/sbom.cdx.json requirements/base.txt

image:  ## build the container image, with bill of materials and provenance (needs Docker with buildx)
	docker buildx build --sbom=true --provenance=mode=max --tag auditlog:$$(sed -n 's/^appVersion: //p' helm/auditlog/Chart.yaml) .

clean:  ## remove the local stack's data and the virtual environment
	@# Without a finished installation nothing was ever started from here.
	@if [ -f $(STAMP) ]; then $(BIN)/python manage.py devstack down; fi
	rm -rf .devstack .venv .venv-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache staticfiles build dist

# `make run` serves a demonstration, `make test` runs the tests, `make check` runs everything that CI runs.
# All packages are installed into .venv, from requirements.txt. pip checks their hashes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The file with the packages, their versions and their hashes: make test-oldest names another one.
LOCK := requirements.txt
READY := $(VENV)/.ready
PORT ?= 8443
PLAIN_PORT ?= 8080
# Clients that are written for Node. Without npm, the tests that need them are skipped.
CLIENTS := $(if $(shell command -v npm),tests/clients/node_modules/.package-lock.json)

# A process that must not keep its byte code compiles all of livefeed at its start, which takes a quarter of the start:
# the tests start many hundreds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run certs docs-run test-docs chaos churn kills ferretdb test test-integration test-runbook test-browsers test-sources test-workers test-twisted test-unit test-unit-debian test-oldest audit sbom wheel bench bench-quick bench-there bench-quick-there bench-peers bench-build bench-patches bench-load check format lint types docs reference wheel-test coverage soak recorded-hour mutants lock pictures clean help

help:
	@echo "make run      serve the demo feed on http://localhost:$(PLAIN_PORT)/ and https://localhost:$(PORT)/"
	@echo "make test     run the test suite"
	@echo "make test-docs  run every command and every block of code of the documentation; docs-run counts them"
	@echo "make check    format, lint, types, docs, all tests, and the integration tests on Twisted's transport and with workers: what CI runs"
	@echo "make test-runbook  set off the alarms of the runbook with a real Prometheus, in a quarter of an hour"
	@echo "make test-workers  run the integration tests with two workers"
	@echo "make bench    compare with nginx, h2o, nchan, Go, Rust; bench-quick in three minutes, bench-peers and bench-build for what to install; bench-patches HISTORY=FILE"
	@echo "make ferretdb build a server with MongoDB's protocol for the tests, with Go, in two minutes"
	@echo "make test-oldest run the unit tests with the oldest packages that pyproject.toml allows"
	@echo "make audit    ask the index of Python packages for vulnerabilities of those in requirements.txt"
	@echo "make wheel    build the wheel and the sdist of a release, in the folder dist"
	@echo "make wheel-test  build the wheel, install it into an environment of its own and try it; part of make test"
	@echo "make coverage measure the branch coverage of each module by its own test file, and compare it with tests/coverage.toml"
	@echo "make chaos    reload, restart and kill livefeed while it is watched, and show what the watchers notice; CHAOS=OPTIONS"
	@echo "make churn    reload a parent a thousand times, and kill one of its workers two hundred times, and show what grows; CHURN=OPTIONS"
	@echo "make kills    kill livefeed ten times while documents are stored, and look for each that was answered; KILLS=OPTIONS"
	@echo "make soak     run every kind of watcher for an hour, and a source that hangs, and show what grows"
	@echo "make recorded-hour  play a recorded hour of the demo at the speed 60, and compare what a watcher receives"
	@echo "make mutants  break the core in sixty places, one at a time, and show which of them the unit tests do not notice"
	@echo "make docs     build the documentation, and say where it is; OPEN=1 opens it in a browser"
	@echo "make reference  make the tables of the documentation anew that are made of the code"
	@echo "make format   rewrite the sources as the formatter wants them"
	@echo "make pictures take the pictures of the page for README and docs, with Chromium"
	@echo "make lock     resolve requirements.txt and requirements-oldest.txt anew"
	@echo "make sbom     write livefeed.cdx.json, the bill of materials of the wheel, anew"
	@echo "make clean    remove what these targets made"

$(READY): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "livefeed needs Python 3.11 or newer: make PYTHON=python3.12")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) has no venv: on Debian, apt install python3-venv"; exit 1; }
	@echo "Installing what livefeed needs into $(VENV), once. This takes a minute or more, and says nothing meanwhile."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

tests/clients/node_modules/.package-lock.json: tests/clients/package.json tests/clients/package-lock.json
	npm --prefix tests/clients ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# The server for the tests of mongodb://. Without it they are skipped. The build needs Go, and takes two minutes.
build/bin/ferretdb: tests/integration/build_ferretdb
	$<
	@touch $@

ferretdb: build/bin/ferretdb

certs: $(READY)
	@$(BIN)/livefeed certs --directory certs

run: certs
	@echo
	@echo "  open    http://localhost:$(PLAIN_PORT)/            (for this machine alone)"
	@echo "  or      https://localhost:$(PORT)/           (the certificate is a development one: accept it)"
	@echo "  poll    curl http://localhost:$(PLAIN_PORT)/feed"
	@echo "          curl --cacert certs/ca.pem https://localhost:$(PORT)/feed"
	@echo "  follow  $(BIN)/livefeed watch http://localhost:$(PLAIN_PORT)/"
	@echo
	$(BIN)/twistd --nodaemon --pidfile= livefeed --listen tcp:$(PLAIN_PORT):interface=127.0.0.1 \
	    --listen tls:$(PORT) --cert certs/cert.pem --key certs/key.pem

test: test-unit test-integration test-browsers test-sources

# The tests with real processes and proxies, except those of the sources and of pages, on the fast transport. The runs with
# Twisted's transport and with workers leave out the tests of what does not differ: tests/integration/runs.py has the rule.
test-integration: $(READY) $(CLIENTS)
	$(BIN)/python -m pytest --quiet tests/integration -m "not sources" $(addprefix --ignore=,$(PAGES) $(RUNBOOK))

# They wait for alarms for a quarter of an hour, so CI does not run them.
RUNBOOK = tests/integration/test_runbook.py

test-runbook: $(READY)
	$(BIN)/python -m pytest --quiet $(RUNBOOK)

# They wait for browsers most of the time, so they run beside the others.
PAGES = $(wildcard tests/integration/test_javascript*.py) tests/integration/test_page.py $(addprefix tests/integration/test_example_,pages.py react.py dashboard.py) $(wildcard tests/integration/test_desk_*.py) tests/integration/test_pictures.py

test-browsers: $(READY) $(CLIENTS)
	$(BIN)/python -m pytest --quiet $(PAGES)

test-sources: $(READY)
	$(BIN)/python -m pytest --quiet tests/integration -m sources

test-twisted: $(READY) $(CLIENTS)
	LIVEFEED_TEST_TRANSPORT=twisted $(BIN)/python -m pytest --quiet tests/integration

test-workers: $(READY) $(CLIENTS)
	LIVEFEED_TEST_WORKERS=2 $(BIN)/python -m pytest --quiet tests/integration

wheel: $(READY)
	rm -rf dist
	$(BIN)/python -m build --no-isolation .

# Builds the wheel and the sdist, installs the wheel into an environment of its own, and runs its commands there.
wheel-test: $(READY)
	$(BIN)/python -m pytest --quiet tests/test_packaging.py tests/test_installing.py

# The target is not a part of `check`, because CI would take longer than it may.
# To raise the entries of the table: .venv/bin/python -m tests.coverage_by_module --write
coverage: $(READY)
	nice $(BIN)/python -m tests.coverage_by_module

format: $(READY)
	$(BIN)/ruff format livefeed tests twisted examples
	$(BIN)/ruff check --fix livefeed tests twisted examples

lint: $(READY)
	$(BIN)/ruff format --check livefeed tests twisted examples
	$(BIN)/ruff check livefeed tests twisted examples

types: $(READY)
	$(BIN)/mypy

# The tables of the documentation that are made of the code. A test fails if a page has others.
reference: $(READY)
	$(BIN)/python -m tests.reference

# Each page runs in namespaces of its own, so ports and paths are those of the text.
test-docs: $(READY) $(CLIENTS)
	$(BIN)/python -m pytest --quiet -p no:python -p tests.docs.plugin $$($(BIN)/python -m tests.docs --pages)

docs-run: $(READY)
	@$(BIN)/python -m tests.docs

# `make docs OPEN=1` also shows them in a browser.
docs: $(READY)
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs build/docs
	@echo "The documentation is built: file://$(CURDIR)/build/docs/index.html"
	@$(if $(OPEN),$(BIN)/python -m webbrowser -t "file://$(CURDIR)/build/docs/index.html")

# The load is a program in Go. All options: make chaos CHAOS=--help
chaos: $(READY)
	$(BIN)/python -m tests.chaos $(CHAOS)

# All options: make kills KILLS=--help
kills: $(READY)
	$(BIN)/python -m tests.integration.killing --kills 10 $(KILLS)

# This takes ten minutes on a machine that has nothing else to do. All options: make churn CHURN=--help
churn: $(READY)
	$(BIN)/python -m tests.churn $(CHURN)

soak: $(READY)
	$(BIN)/python -m tests.soak

# An hour of the demonstration, recorded, played at the speed 60, and recorded again: this takes two minutes.
recorded-hour: $(READY)
	LIVEFEED_TEST_RECORDED_S=3600 $(BIN)/python -m pytest --quiet tests/integration/test_recording.py

# This takes five to twenty minutes. All mutants of one module: .venv/bin/python -m tests.mutants --module feed/feed
mutants: $(READY)
	nice $(BIN)/python -m tests.mutants --require 85

# The tests that talk to no other process. With another Python: make test-unit VENV=build/3.13 PYTHON=python3.13
test-unit: $(READY)
	$(BIN)/python -m pytest --quiet --ignore tests/integration $(UNIT_OPTIONS)

# CI runs these tests with Debian's Python, too, in an environment of its own.
test-unit-debian:
	@$(MAKE) --no-print-directory test-unit VENV=build/debian PYTHON=/usr/bin/python3

# The oldest versions that pyproject.toml names: an operator may have them, because of another package in the same
# environment. Their own dependencies, and the tools of the tests, are the newest that fit. The tests of the archives
# install the newest ones themselves.
test-oldest:
	@$(MAKE) --no-print-directory test-unit VENV=build/oldest LOCK=requirements-oldest.txt \
	    UNIT_OPTIONS="--ignore tests/test_packaging.py --ignore tests/test_installing.py"

# A vulnerability fails. A database that cannot be reached is told, and does not.
audit: $(READY)
	$(BIN)/python -m tests.audit

sbom: $(READY)
	$(BIN)/python -m tests.sbom

# The servers for comparison are Debian's packages, so livefeed runs there with Debian's Python, if that is new enough.
# `--only claims` compares it with that of .venv, which may be one that was compiled without profiles.
BENCH_PYTHON = $(shell /usr/bin/python3 -c 'import ensurepip, sys; sys.version_info >= (3, 11) and print(sys.executable)' 2>/dev/null)
bench bench-quick:
	@$(MAKE) --no-print-directory VENV=build/bench PYTHON=$(or $(BENCH_PYTHON),$(PYTHON)) $@-there

# All options: make bench BENCH=--help
bench-there: $(READY)
	$(BIN)/python -m tests.bench --write $(BENCH) $(addprefix --python=,$(wildcard .venv/bin/python))

bench-quick-there: $(READY)
	$(BIN)/python -m tests.bench --quick

# The load tester beside wrk, and all ways to watch: ten minutes on a machine that has nothing else to do.
bench-load: $(READY)
	$(BIN)/python -m tests.bench.load_testers --write $(BENCH)
	$(BIN)/python -m tests.bench.transports --write

bench-patches: $(READY)
	$(BIN)/python -m tests.bench.patches $(HISTORY)

# Servers that no package of Debian has, for the comparisons of the bench. The first build takes ten minutes.
build/bin/centrifugo build/bin/caddy: build/bin/%: tests/bench/peers/build_go
	$< $*

build/bin/axum-peer: $(wildcard tests/bench/peers/rust/src/*.rs tests/bench/peers/rust/Cargo.*)
	cargo build --quiet --locked --release --manifest-path tests/bench/peers/rust/Cargo.toml --target-dir build/rust
	@mkdir -p $(@D)
	cp build/rust/release/axum-peer $@

build/openssl3/bin/python: tests/bench/peers/build_openssl3 $(READY)
	$< $(BIN)/python

bench-build: build/bin/centrifugo build/bin/caddy build/bin/axum-peer
	@$(MAKE) --no-print-directory VENV=build/bench PYTHON=$(or $(BENCH_PYTHON),$(PYTHON)) build/openssl3/bin/python

bench-peers:
	@echo "The servers that livefeed is compared with, and the load generator, are Debian's packages:"
	@echo "  apt install nginx libnginx-mod-nchan h2o varnish hitch wrk golang-go"
	@echo "Stop those that Debian starts by itself: systemctl disable --now nginx h2o varnish hitch"
	@echo "make bench-build builds the others, of which Debian has none: Centrifugo and Caddy with Go, axum with cargo."
	@echo "Servers that are missing are left out, and named."

# The longest of them first: with --jobs, no other is left to run beside the last one.
check: lint test-integration test-workers test-twisted test-browsers test-sources test-docs test-unit types docs

# The documents are always the same ones, so a picture only changes with the page.
pictures: $(READY)
	LIVEFEED_PICTURES=$(CURDIR)/docs/pictures $(BIN)/python -m pytest --quiet tests/integration/test_pictures.py tests/integration/test_desk_page.py tests/integration/test_desk_forms.py tests/integration/test_zeros.py

# The dependency group "dev" of pyproject.toml is the only list of the development tools.
lock: $(READY)
	@mkdir -p build
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"], sep="\n")' > build/dev.in
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras \
	    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-annotate \
	    --output-file requirements.txt pyproject.toml build/dev.in
	$(UV_COMPILE) --resolution lowest-direct --output-file build/oldest.in pyproject.toml
	$(UV_COMPILE) --generate-hashes --constraint build/oldest.in --output-file requirements-oldest.txt \
	    pyproject.toml build/dev.in

# pip-compile cannot choose the oldest versions.
UV_COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --upgrade --all-extras --no-annotate \
    --python-version 3.11

clean:
	rm -rf $(VENV) build dist tests/clients/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis certs/*.pem certs/*.key twisted/plugins/dropin.cache

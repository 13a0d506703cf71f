# make demo   set up and score sample_logs/
# make test   set up and run the checks and tests that need no root
# make pictures   draw the pictures of the dashboard and of a report in docs/ anew (needs chromium)
# make fix    format, and mend what can be mended
# make lint   format, types, order of imports, container files
# make fuzz   damage logs at random, MUTATIONS times (100,000), and check what must hold
# make ci     tests with nothing skipped and their coverage, the fuzzer, then the built wheel in a clean environment

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_OUT ?= demo_out
MUTATIONS ?= 100000

.DEFAULT_GOAL := help
.PHONY: help demo pictures test fix lint fuzz ci wheel-test clean

help:
	@sed -n 's/^# make/make/p' Makefile

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "zeekml needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

# the stamps stand for "installed with these dependencies"
$(VENV)/.installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/zeekml score sample_logs --out $(DEMO_OUT)

pictures: $(VENV)/.installed
	$(BIN)/zeekml score sample_logs/zeek_tsv --out $(DEMO_OUT) --no-progress
	$(BIN)/zeekml dashboard --out $(DEMO_OUT) --svg docs/dashboard.svg
	$(BIN)/zeekml score sample_logs/zeek_tsv sample_logs/suricata --out $(DEMO_OUT) \
		--report $(DEMO_OUT)/report.html --no-progress
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1100,1500 \
		--screenshot=docs/report.png "file://$(CURDIR)/$(DEMO_OUT)/report.html"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml

fix: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: lint
	$(BIN)/python -m pytest

fuzz: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/fuzz.py --mutations $(MUTATIONS)

ci: lint
	.ci/install-suricata
	.ci/install-systemd
	.ci/install-tmux
	.ci/install-chromium
	$(BIN)/python -m pytest --fail-on-skip -n auto --dist loadfile \
		--cov=zeekml --cov-report=term:skip-covered --cov-fail-under=85
	$(MAKE) fuzz
	$(MAKE) wheel-test

wheel-test: $(VENV)/.installed-dev
	.ci/test-wheel $(BIN)/python

clean:
	rm -rf $(VENV) $(DEMO_OUT) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find zeekml tests -name __pycache__ -type d -exec rm -rf {} +

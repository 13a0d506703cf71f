# make demo   set up and score sample_logs/
# make test   set up and run the checks and tests that need no root
# make pictures   draw the pictures of the dashboard and of a report in docs/ anew (needs chromium)
# make fix    format, and mend what can be mended
# make lint   format, types, order of imports, container files
# make fuzz   damage logs at random, MUTATIONS times (60,000), and check what must hold
# make wheel  build a wheel for other machines and try it in a clean environment without a compiler
# make sanitize  fuzz and test the compiled code under AddressSanitizer and UndefinedBehaviorSanitizer
# make coverage  which lines the tests do not reach; takes more than twice as long as they do
# make ci     tests with nothing skipped, the fuzzer, sanitizers, then the built wheel in a clean environment

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_OUT ?= demo_out
MUTATIONS ?= 60000

.DEFAULT_GOAL := help
.PHONY: help compiler demo pictures test fix lint coverage fuzz packages sanitize ci wheel clean

help:
	@sed -n 's/^# make/make/p' Makefile

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "zeekml needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

COMPILED := $(shell find zeekml -name '*.pyx' -o -name '*.pxd')

compiler:
	@command -v $${CC:-cc} >/dev/null || { echo "zeekml is compiled when it is built, and there is no" \
		"C compiler here: apt install gcc libc6-dev (or dnf install gcc)" >&2; exit 1; }

# the stamps stand for "installed with these dependencies, and this compiled code"
$(VENV)/.installed: $(BIN)/python pyproject.toml hatch_build.py $(COMPILED) | compiler
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml hatch_build.py $(COMPILED) | compiler
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
	PATH="$(abspath $(BIN)):$$PATH" cython-lint zeekml
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml

fix: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: lint
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

coverage: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder \
		--cov=zeekml --cov-report=term:skip-covered --cov-fail-under=85

fuzz: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/fuzz.py --mutations $(MUTATIONS)

packages:
	.ci/install-packages

# what waits for the network or runs on one core goes beside what computes
ci:
	$(MAKE) -j2 --output-sync=target packages lint
	$(BIN)/python -m pytest --fail-on-skip -n auto --dist loadfile --no-loadscope-reorder
	$(MAKE) fuzz
	$(MAKE) -j2 --output-sync=target sanitize wheel

sanitize: $(VENV)/.installed-dev
	.ci/sanitize $(BIN)/python

wheel: $(VENV)/.installed-dev
	.ci/make-wheel $(BIN)/python dist

clean:
	rm -rf $(VENV) $(DEMO_OUT) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find zeekml tests -name __pycache__ -type d -exec rm -rf {} +
	find zeekml -name '*.so' -delete

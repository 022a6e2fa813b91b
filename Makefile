# Everything runs in .venv, with the versions of constraints.txt, which were tested together.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
BENCH := .venv-bench
NEWEST := .venv-newest
TORCHREC := .venv-torchrec

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo test lint format docs bench serving test-torchrec mutate clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## compile and draw every spec, then train Shared-Bottom, MMoE and PLE, and DIN + PLE from a Parquet file (build/)
	@$(BIN)/python examples/demo.py

# One torch thread for each of the two workers: more threads would only wait for each other.
test: lint $(NEWEST)/.installed ## lint, then all tests with branch coverage
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --cov --cov-report=term

lint: $(STAMP) ## ruff, mypy, and the layers of the package
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo

format: $(STAMP) ## apply ruff's fixes and formatting
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

# A warning of Sphinx, such as a link that leads nowhere, is an error. CI builds it in tests/docs/test_site.py.
docs: $(STAMP) ## build the documentation as a site without a server (build/site/index.html)
	@$(BIN)/python -m docs.site

# Its own environment: nobody else needs the other libraries. QUICK=1 takes three minutes instead of twelve.
bench: $(BENCH)/.installed ## measure against other libraries, on an idle machine (benchmarks/results.md)
	@$(BENCH)/bin/python -m benchmarks.run $(if $(QUICK),--quick)

# AOTInductor compiles each spec for a minute or more.
serving: $(STAMP) ## export every spec in every format, and compare (docs/serving.md)
	@$(BIN)/python -m benchmarks.serving

# Its own environment, since torchrec needs an old torchmetrics. Where its wheels cannot be installed, nothing is tested.
test-torchrec: ## tests of archspec.torchrec, in an environment with TorchRec (docs/scaling.md)
	@if $(MAKE) $(TORCHREC)/.installed; then \
	  OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(TORCHREC)/bin/python -m pytest -q tests/torchrec; \
	else echo "make: TorchRec cannot be installed here: tests/torchrec is skipped"; fi

# Not part of CI, since it takes half an hour. Each mutant runs against the tests that reach it, in a copy of the tree.
mutate: $(BIN)/mutmut ## change the sources at random, and list the changes that no test notices (SAMPLE=150 SEED=0 ONLY='archspec.graph.*')
	@$(BIN)/python -m tests.mutate $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only '$(ONLY)')

clean: ## remove the environments, build/ and all caches
	rm -rf .venv $(BENCH) $(NEWEST) $(TORCHREC) build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find archspec tests examples plugins -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: no '$(PYTHON)' here: install Python 3.11 or newer, or run make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: '$(PYTHON)' is $$($(PYTHON) --version 2>&1); archspec needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "make: '$(PYTHON)' has no venv module: install it (Debian and Ubuntu: the package python3-venv)" >&2; exit 1; }
	@echo "make: installing into .venv (the first time takes some minutes)" >&2
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# If this machine has a newer Python than that of .venv, tests/test_wheel.py also tests the wheel with the newest one.
# All dependencies are installed except torch, which is large, and not needed for checking, drawing and building.
$(NEWEST)/.installed: $(STAMP)
	@mkdir -p $(NEWEST)
	@for minor in $$(seq 30 -1 $$($(BIN)/python -c 'import sys; print(sys.version_info.minor + 1)')); do \
	  for python in python3.$$minor $$HOME/.pyenv/versions/3.$$minor.*/bin/python; do \
	    "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info.releaselevel != "final")' 2>/dev/null || continue; \
	    echo "make: installing into $(NEWEST), with $$python" >&2; \
	    "$$python" -m venv $(NEWEST) || exit 1; \
	    $(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $$($(BIN)/python -c 'import tomllib; \
	      print(*(each for each in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] if each[:5] != "torch"))') || exit 1; \
	    break 2; \
	  done; \
	done
	@touch $@

$(BIN)/mutmut: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,mutate]'
	@touch $@

# constraints.txt pins torch here, too, since the other libraries allow an open range.
$(BENCH)/.installed: $(STAMP) benchmarks/requirements.txt
	@echo "make: installing into $(BENCH) (the first time takes some minutes)" >&2
	@$(BIN)/python -m venv $(BENCH)
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[serve]' -r benchmarks/requirements.txt
	@touch $@

# torchrec 1.8 asks for a fbgemm-gpu that needs CUDA, so it is installed without its dependencies.
$(TORCHREC)/.installed: $(STAMP)
	@echo "make: installing TorchRec into $(TORCHREC) (the first time takes some minutes)" >&2
	@$(BIN)/python -m venv $(TORCHREC)
	@grep -v '^torchmetrics' constraints.txt > $(TORCHREC)/constraints.txt
	@$(TORCHREC)/bin/python -m pip install --quiet --disable-pip-version-check -c $(TORCHREC)/constraints.txt -e . pytest hypothesis \
	  fbgemm-gpu-cpu==1.8.0 tensordict==0.15.3 pyre-extensions==0.0.32 tqdm torchmetrics==1.0.3
	@$(TORCHREC)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps torchrec==1.8.0
	@touch $@

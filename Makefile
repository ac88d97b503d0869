PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Nothing that these targets do needs the Hub: data, model and metric are made or kept here.
export HF_HUB_OFFLINE ?= 1
export HF_HUB_DISABLE_TELEMETRY ?= 1
LAUNCH := $(BIN)/accelerate launch --quiet --config_file accelerate_config.yaml

.PHONY: help setup demo real reproduce docs space test test-all test-oldest lint audit clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 13

setup: $(VENV)/.complete ## Make the virtual environment .venv with all requirements

$(VENV)/.complete: requirements.txt requirements-extra.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11; name another: make setup PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements-dev.txt
	touch $@

demo: setup ## Synthetic data sets -> self-training -> embeddings and reports, in runs/demo/
	rm -rf runs/demo
	$(BIN)/python -m dataset_builder --source synthetic --train_per_class 8000 --output_dir data/demo
	$(BIN)/python -m dataset_builder --source synthetic --train_per_class 8000 --whole_genes --output_dir data/demo-genes
	$(LAUNCH) train.py recipes/demo.yaml
	$(BIN)/python probe.py --model_name_or_path runs/demo/checkpoint --dataset_name data/demo --max_train_samples 5400 \
		--output_dir runs/demo
	$(BIN)/python embed.py --model_name_or_path runs/demo/checkpoint --dataset_name data/demo --dataset_split test \
		--output runs/demo/test_windows.parquet

real: setup ## The same on your own coding sequences: make real NT_CDS_DIR=folder, in runs/real/
	@test -d "$(NT_CDS_DIR)" || { echo "make real needs NT_CDS_DIR=folder with a FASTA file of each species" >&2; exit 2; }
	rm -rf runs/real
	$(BIN)/python -m dataset_builder --source "$(NT_CDS_DIR)" --output_dir data/real
	$(LAUNCH) train.py recipes/real_tiny.yaml
	$(BIN)/python probe.py --model_name_or_path runs/real/checkpoint --dataset_name data/real --output_dir runs/real
	$(BIN)/python embed.py --model_name_or_path runs/real/checkpoint --input "$(NT_CDS_DIR)"/Mus_musculus* --output runs/real/mouse.h5ad

reproduce: setup ## Every figure of README.md and docs/results.md made again: make reproduce NT_CDS_DIR=folder
	@test -d "$(NT_CDS_DIR)" || { echo "make reproduce needs NT_CDS_DIR=folder with a FASTA file of each species" >&2; exit 2; }
	$(BIN)/python benchmarks/reproduce.py --source "$(NT_CDS_DIR)"

docs: setup ## The documentation site, in site/; after make demo, whose results its tutorial shows
	@test -f runs/demo/checkpoint/config.json || { echo "make docs needs runs/demo: run make demo first" >&2; exit 2; }
	$(BIN)/pip install --quiet --requirement requirements-docs.txt
	PYTHONWARNINGS=ignore $(BIN)/jupytext --quiet --to ipynb --execute --run-path . --output docs/tutorial.ipynb docs/tutorial.py
	$(BIN)/jupyter nbconvert --log-level WARN --to markdown docs/tutorial.ipynb
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

space: setup ## A page for the model of make demo, on http://127.0.0.1:7860
	$(BIN)/pip install --quiet --requirement requirements-space.txt
	$(BIN)/python app.py --model runs/demo/checkpoint --map runs/demo/test_windows.parquet

# A file of tests to one worker, for its fixtures; a worker on each core.
PYTEST := $(BIN)/python -m pytest --quiet --numprocesses auto --maxprocesses 8 --dist loadfile

test: setup ## The quick tier of the tests: all but those marked slow
	$(PYTEST) -m "not slow"
	@echo "This was the quick tier; make test-all runs the whole suite."

test-all: setup ## All tests; those on real sequences run when NT_CDS_DIR names a folder of them
	$(PYTEST)

# The older packages stand before those of .venv, which serve for all others.
OLDEST := .venv-oldest
test-oldest: setup ## A checkpoint on its own, with the oldest versions of transformers and its kin
	$(PYTHON) -m venv --clear $(OLDEST)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$($(OLDEST)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/venv.pth"
	$(OLDEST)/bin/pip install --quiet --requirement requirements-oldest.txt
	$(OLDEST)/bin/python -m pytest --quiet --numprocesses auto --maxprocesses 8 --dist loadfile tests/hub_code

lint: setup ## Style of the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

PIP_AUDIT := $(BIN)/pip-audit --strict --progress-spinner off --no-deps --disable-pip --requirement
# An old version, of which the service must know something: mirrors of PyPI answer, but know nothing.
PROBE := import json, urllib.request as u; json.load(u.urlopen('https://pypi.org/pypi/jinja2/2.4.1/json', timeout=20))['vulnerabilities'][0]

audit: setup ## Search the code and the pinned packages for known weaknesses (pip install -r requirements-tools.txt)
	@test -x $(BIN)/bandit || { echo "make audit needs $(BIN)/pip install -r requirements-tools.txt" >&2; exit 2; }
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive dnahub dataset_builder benchmarks *.py
	@if $(BIN)/python -c "$(PROBE)" 2>/dev/null; \
		then grep == requirements.txt | $(PIP_AUDIT) /dev/stdin; \
		else echo "pip-audit was not run: pypi.org cannot be reached, or does not list vulnerabilities" >&2; fi

clean: ## Remove what demo and real made (the virtual environment stays)
	rm -rf data/demo data/demo-genes data/real runs/demo runs/real

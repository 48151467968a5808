# The only entry point: every target works from a fresh clone and sets up what it needs.
#
#   PYTHON=python3.12   the Python that .venv is made from (3.11 or newer)
#   PIP_ARGS=...        more arguments for pip, for example where your torch build comes from
#   PYTEST_ARGS=...     more arguments for pytest, for example -k scan
#   TEST_JOBS=1         tests at a time; by default one for each core, at most four
#   BENCH_ARGS=...      more arguments for bioptimus bench scan, for example --ripgrep FILE
#   SCREENSHOTS=        make browser keeps no pictures of the pages
#   SOLUTIONS=0         make pdf leaves out solutions, and the pages for instructors
#   KEEP="08-1 12-2"    make student keeps the solutions of these exercises
#   LIVE_ARGS=...       more arguments for make live, for example 05 for one chapter
#   BIOPTIMUS_MIRROR=   a folder with real data; without it the tests on real data are skipped

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP_ARGS ?=
PYTEST_ARGS ?=
TEST_JOBS ?= logical
BENCH_ARGS ?=
SCREENSHOTS ?= _build/screenshots
LIVE_ARGS ?=

export BIOPTIMUS_PROFILE ?= pocket
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export TOKENIZERS_PARALLELISM := false
export PYTHONWARNINGS ?= ignore::DeprecationWarning,ignore::UserWarning:zmq

.DEFAULT_GOAL := help
.PHONY: help setup book test lint bench notebooks browser live colab pdf slides student adopt clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

# Made again when the packages asked for have changed; an existing .venv is brought up to date.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is older than 3.11: say make PYTHON=/path/to/a/newer/python" >&2; exit 1; }
	@echo "Setting up $(VENV): some minutes the first time, seconds when it is there"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python book/_tools/install.py $(PIP_ARGS) -c constraints.txt -e '.[dev,book]'
	@touch $@

setup: $(READY) ## make .venv with everything; runs by itself when needed

# --all: outputs can be new where a source is not, after a change of the library or of the ledger.
book: $(READY) ## execute the chapters and build the book into _build/html
	@$(BIN)/python book/_tools/execute.py notebooks/*.ipynb
	@$(BIN)/jupyter-book build --all -n -W --keep-going .

# As many at a time as there are cores, so each with one thread; tests/conftest.py groups them.
test: export OMP_NUM_THREADS ?= 1
test: export BIOPTIMUS_CORES ?= 1
test: export BIOPTIMUS_PROFILE := glance
test: $(READY) ## unit tests, doctests and every notebook cell
	@$(BIN)/python -m pytest -n $(TEST_JOBS) --maxprocesses 4 --dist loadfile \
	  --nbval-lax --nbval-current-env --nbval-cell-timeout=300 $(PYTEST_ARGS)

lint: $(READY) ## ruff on everything, and mypy, which checks the types of the library
	@$(BIN)/ruff check .
	@$(BIN)/mypy

bench: $(READY) ## quick speed comparisons; BENCH_ARGS="--full --megabytes 400" for more
	@$(BIN)/bioptimus bench scan --megabytes 50 --rounds 3 --quiet $(BENCH_ARGS)

notebooks: $(READY) ## normalise the notebooks; EXECUTE=1 runs them and keeps checked outputs
	@$(BIN)/python book/_tools/tidy.py $(if $(EXECUTE),--execute) notebooks/*.ipynb

browser: $(READY) ## weigh the built pages, follow their links, open each in a headless Chromium
	@$(BIN)/python tests/browser/pages.py _build/html
	@$(BIN)/python tests/browser/check.py _build/html $(if $(SCREENSHOTS),--screenshots $(SCREENSHOTS))

pdf: $(READY) ## the book of the last `make book` as one PDF; SOLUTIONS=0 makes it for students
	@$(BIN)/python book/_tools/pdf.py $(if $(filter 0,$(SOLUTIONS)),--without-solutions)

colab: $(READY) ## run the chapters with the packages of Colab, from their set-up cells
	@$(BIN)/python tests/colab/colab.py notebooks/*.ipynb

live: $(READY) ## use every widget of the chapters in JupyterLab, in a headless Chromium
	@$(BIN)/python tests/browser/live.py --screenshots _build/live $(LIVE_ARGS)

slides: $(READY) ## slides of all chapters, from the outputs of the last `make book`
	@$(BIN)/python book/_tools/slides.py notebooks/*.ipynb

student: $(READY) ## the chapters without solutions, in _build/student; KEEP="08-1 12-2" keeps some
	@$(BIN)/python book/_tools/student.py notebooks/*.ipynb --keep $(KEEP)

adopt: $(READY) ## put your repository's address in all places: make adopt URL=https://github.com/you/yours
	@$(BIN)/python book/_tools/adopt.py "$(URL)"

clean: ## remove what was built; .venv stays (remove it by hand)
	@rm -rf _build .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

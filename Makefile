# Everything below works in a virtual environment that the first target makes.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_FLAGS ?=
BENCH ?= data agents evaluation embeddings
KERNELS ?=
PIP := $(BIN)/pip install --quiet --constraint constraints.txt $(PIP_FLAGS)

.PHONY: help demo lint test notebooks docs site-check bench clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BIN)/recnn: setup.py settings.ini constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(BIN)/nbdev_export: $(BIN)/recnn
	$(PIP) --editable '.[dev]'
	@touch $@

$(BIN)/smalldocs: $(BIN)/nbdev_export
	$(PIP) --editable '.[docs]'
	@touch $@

$(VENV)/bench: $(BIN)/nbdev_export
	$(PIP) --editable '.[dev,bench]'
	@touch $@

demo: $(BIN)/recnn ## the whole path on the bundled sample, ending in titles and report/index.html
	$(BIN)/recnn demo

lint: $(BIN)/nbdev_export ## ruff, and the rules of structure: order of imports, sizes, names, line length
	$(BIN)/ruff check recnn bench tools setup.py
	$(BIN)/python tools/structure.py

test: lint ## lint, then run every notebook as a test; KERNELS=1 runs those that train on slower CPU kernels as well
	$(BIN)/python tools/run_notebooks.py $(if $(KERNELS),--kernels)

notebooks: $(BIN)/nbdev_export ## execute the notebooks and store their outputs
	$(BIN)/python tools/run_notebooks.py --store
	$(BIN)/nbdev_clean

site-check: docs ## look at the site in Chromium: search, themes, phones, the demo, accessibility
	$(BIN)/python tools/site_check.py
	$(BIN)/python tools/browser.py
	$(BIN)/python tools/site_check.py --lighthouse

docs: $(BIN)/smalldocs ## build the site into docs/ and write README.md; needs Node.js; fails on a broken link
	$(BIN)/python tools/docs.py

bench: $(VENV)/bench ## measure; BENCH=data selects one script of bench/; results go to bench/results
	for b in $(BENCH); do $(BIN)/python bench/$$b.py || exit 1; done

clean: ## remove what the targets made, but not the environment
	rm -rf demo report _proc build *.egg-info

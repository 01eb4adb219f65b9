# Everything below works in a virtual environment that the first target makes.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_FLAGS ?=
BENCH ?= data agents evaluation embeddings

.PHONY: help demo test notebooks docs bench clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BIN)/recnn: setup.py settings.ini constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt $(PIP_FLAGS) --editable .
	@touch $@

$(BIN)/nbdev_export: $(BIN)/recnn
	$(BIN)/pip install --quiet --constraint constraints.txt $(PIP_FLAGS) --editable '.[dev]'
	@touch $@

$(BIN)/smalldocs: $(BIN)/nbdev_export
	$(BIN)/pip install --quiet --constraint constraints.txt $(PIP_FLAGS) --editable '.[docs]'
	@touch $@

demo: $(BIN)/recnn ## the whole way on the bundled sample, ending in titles and report/index.html
	$(BIN)/recnn demo

test: $(BIN)/nbdev_export ## run every notebook as a test
	$(BIN)/python tools/run_notebooks.py

notebooks: $(BIN)/nbdev_export ## execute the notebooks and store their outputs
	$(BIN)/python tools/run_notebooks.py --store
	$(BIN)/nbdev_clean

docs: $(BIN)/smalldocs ## build the site into docs/ and write README.md; needs Node.js; fails on a broken link
	$(BIN)/python tools/docs.py

bench: $(BIN)/nbdev_export ## measure; BENCH=data or another script of bench/ for one; results go to bench/results
	for b in $(BENCH); do $(BIN)/python bench/$$b.py || exit 1; done

clean: ## remove what the targets made, but not the environment
	rm -rf demo report _proc build *.egg-info

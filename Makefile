# make all:  from annotated reports to a wheel.   make test:  tests, linters, type check.
# make docs: README and docs/ as pages, in build/docs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORPUS ?= maccrobat
# The shell takes it from the environment unchanged, with spaces and quotes.
override CORPUS := $(value CORPUS)
export CORPUS

.PHONY: all test docs clean

all: $(VENV)/.installed
	@case "$$CORPUS" in *'$$'*) echo 'CORPUS contains a $$, which spaCy takes for a variable: link to the folder' >&2; exit 1;; esac
	$(BIN)/python -m spacy project run all . --vars.corpus "$$(printf %s "$$CORPUS" | sed 's/["\\]/\\\\\\&/g')"
	$(BIN)/python -m spacy btl show metrics/metrics.json packages

test: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell
	$(BIN)/pytest -n auto --dist worksteal

docs: $(VENV)/.installed
	$(BIN)/python -m sphinx -q -W --keep-going -c docs -d build/doctrees . build/docs
	@echo "build/docs/index.html"

# The exact versions of constraints.txt, so that a run today is a run tomorrow.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11, 5) and "The versions of constraints.txt need Python 3.11.5 or newer: make PYTHON=python3.11 ... (the package alone takes 3.10)")'
	@echo "Making $(VENV) and installing the package with the tested versions (minutes, once)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check -c constraints.txt -e '.[project,dev]'
	@touch $@

clean:
	rm -rf $(VENV) build corpus training metrics packages project.lock

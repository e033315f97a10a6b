# `make course` and `make test` need python3 (3.11 or newer), make and a package index; all else is installed here.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup course test quick week seeds times lab sync check gpu doctor constraints clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WEEK ?= 1
# What `make week` has just run, and tests that take seconds.
ALREADY := test_the_lecture_runs or test_a_submission_scores
QUICK := $(addprefix tests/lib/,data losses models methods exercises)
# nbgrader calls alembic by name, and finds templates beside the environment's own programs.
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## list the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

setup: $(STAMP) ## make .venv with the pinned packages (the other commands do it by themselves)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"Python 3.11 or newer is needed, $(PYTHON) is {v.major}.{v.minor}: try make PYTHON=python3.11 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "python3 could not make an environment. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing the pinned packages into $(VENV) (about 6 GB; a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[course,cluster,postgres,test]'
	@touch $@

course: $(STAMP) ## run every notebook, release and grade every lab, write build/report/index.html
	@$(BIN)/course run

test: $(STAMP) ## lint, types, import contracts, notebooks, labs, unit tests
	@$(BIN)/course doctor
	@$(MAKE) --no-print-directory check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup --cov --cov-report=term:skip-covered --durations=20

quick: $(STAMP) ## before every commit: the checks and the quick unit tests, under three minutes
	@$(MAKE) --no-print-directory check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 tests/test_project.py $(QUICK)

week: $(STAMP) ## one week: lecture, lab, samples and its tests (WEEK=3)
	@$(BIN)/course run --only week$(WEEK)_ lab$(WEEK)_
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 -k '(week$(WEEK) or lab$(WEEK)) and not ($(ALREADY))'

seeds: $(STAMP) ## a lecture with three seeds; what its text claims goes to benchmarks/results (WEEK=3)
	@$(BIN)/course seeds $(WEEK)

times: $(STAMP) ## what each part of the last run took, beside its budget
	@$(BIN)/course times

check: $(STAMP) ## the quick half of the tests: lint, types, import contracts, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/course sync --check

lab: $(STAMP) ## JupyterLab in the environment
	@$(BIN)/jupyter lab

sync: $(STAMP) ## regenerate notebooks and student labs from their .py sources
	@$(BIN)/course sync

gpu: $(STAMP) ## what only a GPU can show, in eight minutes (PHOTOGRAPHS=folder: on real images)
	@$(BIN)/python -m benchmarks.gpu $(if $(PHOTOGRAPHS),--photographs $(PHOTOGRAPHS))

doctor: $(STAMP) ## what this machine has and lacks, each line with its cure
	@$(BIN)/course doctor

# With the oldest Python that people have (Debian 12: 3.11.2): packages may ask for a newer 3.11 than that.
constraints: ## resolve the newest packages and pin them in constraints.txt
	@rm -rf build/resolve && $(PYTHON) -m venv build/resolve
	@build/resolve/bin/python -m pip install --quiet --disable-pip-version-check -e '.[course,cluster,postgres,test]'
	@{ head -1 constraints.txt; build/resolve/bin/python -m pip freeze --all --exclude-editable --exclude pip --exclude wheel; } > build/constraints.txt
	@mv build/constraints.txt constraints.txt && rm -rf build/resolve

clean: ## remove what the commands made, except the environment, downloads, students' work and grades
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage*

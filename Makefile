# `make report` and `make test` work alone in a fresh clone: each sets up .venv first.
# PYTHON chooses the interpreter (3.11 to 3.13); PIP_FLAGS is passed to pip, for instance the index of CPU builds.
PYTHON ?= python3
PIP_FLAGS ?=
ARGS ?=

bin := .venv/bin
ready := .venv/.ready

# Waiting threads sleep, as on the command line; spinning would take the cores from other programs.
export OMP_WAIT_POLICY ?= PASSIVE
# Bytecode is cached, also in containers that turn this off: tests start dozens of processes.
export PYTHONDONTWRITEBYTECODE =

.PHONY: setup app report test slow test-all lint format types derived docs docs-check wheel-test bench clean

# pip need not compile every module of torch and the others: what is imported is compiled then.
setup: $(ready)

$(ready): pyproject.toml constraints.txt
	test -x $(bin)/python || $(PYTHON) -m venv .venv
	$(bin)/python -m pip install --quiet --no-compile $(PIP_FLAGS) -c constraints.txt -e '.[app,collections,dev]'
	touch $@

# The live page on the bundled network and the sample photos, until Ctrl-C.
app: $(ready)
	$(bin)/triscope app $(ARGS)

report: $(ready)
	$(bin)/triscope report -o report.html --force $(ARGS)

test: $(ready)
	$(bin)/python -m pytest -n 2 --dist worksteal $(ARGS)

slow: $(ready)
	$(bin)/python -m pytest -m slow $(ARGS)

# All tests, and the networks of packages that `make setup` does not install; writes docs/matrix.md. The result of a
# network is kept in .matrix.jsonl: an interrupted run resumes from there, as long as the code is the same.
test-all: $(ready)
	$(bin)/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt -e '.[collections,dev,test-all]'
	TRISCOPE_MATRIX=.matrix.jsonl $(bin)/python -m pytest -n 2 --dist worksteal -m "slow or not slow" tests/matrix
	$(bin)/python scripts/matrix.py .matrix.jsonl
	$(bin)/python -m pytest -n 2 --dist worksteal --ignore tests/matrix $(ARGS)
	$(bin)/python -m pytest -m slow --ignore tests/matrix $(ARGS)

lint: $(ready)
	$(bin)/ruff check
	$(bin)/ruff format --check

format: $(ready)
	$(bin)/ruff check --fix
	$(bin)/ruff format

types: $(ready)
	$(bin)/mypy
	$(bin)/python scripts/script_types.py

# The type stubs of the public API and the tables of the docs, generated from the catalogue and the methods' signatures.
derived: $(ready)
	$(bin)/python scripts/derived.py

# The documentation as a site, build/docs/index.html; a warning is an error. Then the site itself is tested.
docs: $(bin)/.docs
	$(bin)/python -m sphinx -W --keep-going -q -c docs/site -b html . build/docs
	TRISCOPE_SITE=build/docs $(bin)/python -m pytest -q -m slow tests/docs/test_site.py $(ARGS)

$(bin)/.docs: $(ready)
	$(bin)/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt -e '.[docs]'
	touch $@

# Links and names; runs the first hour and the notebook. The code of the other pages is run by
# `make test`, those that take minutes by `make slow`.
docs-check: $(bin)/.docs
	$(bin)/python -m pytest -q -m "slow or not slow" tests/test_docs.py tests/docs/test_first_hour.py \
		tests/docs/test_tour.py $(ARGS)

# A wheel, installed into an empty environment; README's commands are run by it.
wheel-test: $(ready)
	$(bin)/python -m pytest -q -m slow tests/docs/test_wheel.py $(ARGS)

bench: $(ready)
	$(bin)/python -m benchmarks.speed $(ARGS)

clean:
	rm -rf .venv build docs/gallery docs/lecture docs/first-path docs/reference/names report.html .mypy_cache .pytest_cache .ruff_cache

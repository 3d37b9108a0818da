# setup: install everything.  run: start Orthanc with the plugin and derive a sample series.  stop: end it.
# test: format, lint, types, tests.  test-quick: the tests that need no server and are not slow.  test-recipes: docs/recipes.md.  bench: measure.  soak: an hour of load.  format: rewrite the sources as `test` wants them.
# docs: the documents and the reference of the API as a site, in .run/site.
# ohif: fetch the OHIF viewer from npm; the plugin serves it under /derived-series-ohif/ from the next start on.
.PHONY: wheel ohif setup run stop test test-quick test-recipes docs test-crash test-machines test-postgresql test-readers test-bookworm test-trixie test-sid test-install lint format fuzz bench soak clean

# Every server and worker that a test starts would compile all sources again.
unexport PYTHONDONTWRITEBYTECODE

PYTHON := .venv/bin/python
SOURCES := plugin blueprints compat scripts benchmarks tests
# In the order of their names: the files with browsers and servers, which take longest, begin, and short ones fill the end.
FOUR_FILES := -n 4 --dist loadfile --no-loadscope-reorder

setup:
	@scripts/setup.sh

run:
	@scripts/setup.sh --run
	@$(PYTHON) scripts/server.py start
	@PYTHONPATH=tests $(PYTHON) scripts/sample.py

ohif: setup
	@$(PYTHON) scripts/ohif.py

stop:
	@if [ -x $(PYTHON) ]; then $(PYTHON) scripts/server.py stop; else echo "server: was not running"; fi

lint: setup
	$(PYTHON) -m ruff format --check $(SOURCES)
	$(PYTHON) -m ruff check $(SOURCES)
	$(PYTHON) -m mypy
	@PATH="$(CURDIR)/.venv/bin:$$PATH" npm --prefix tooling run --silent lint
	@PATH="$(CURDIR)/.venv/bin:$$PATH" npm --prefix tooling run --silent types

format: setup
	$(PYTHON) -m ruff check --fix $(SOURCES)
	$(PYTHON) -m ruff format $(SOURCES)

# A broken link or docstring is an error.
docs: setup
	@NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --quiet

# More files of tests at a time than there are processors: those of servers wait more than they compute.
# TESTS are pytest's arguments, such as TESTS="-n 8".
test: lint docs
	$(PYTHON) -m slipcover --source plugin/derived_series --json --out .run/coverage.json -m pytest $(FOUR_FILES) $(TESTS)

# While you work: the tests that need no Orthanc and no browser, without the slow ones (see CONTRIBUTING.md).
test-quick:
	$(PYTHON) -m pytest -n 3 --dist loadfile -m "not server and not slow" --hypothesis-profile quick $(TESTS)

# The recipes of docs/recipes.md that need more than .venv: it installs that, 2 GB, into .run/recipes.
test-recipes:
	@scripts/setup.sh --recipes
	@$(PYTHON) scripts/recipes.py
	CI=true $(PYTHON) -m pytest -m recipe tests/unit/pipelines tests/server

# `make run` and `make test` on another release of Debian, in a root with nothing else in it (needs root rights).
test-bookworm test-trixie test-sid:
	@scripts/debian.sh $(@:test-%=%)

# 100 kills over 200 jobs, at other moments each time: it prints its seed, which CRASH_SEED sets. Then as many of two
# Orthancs and their PostgreSQL.
test-crash: setup
	@CRASH_KILLS=100 CRASH_JOBS=200 NODE_KILLS=100 NODE_JOBS=200 CRASH_SEED=$${CRASH_SEED:-$$(date +%s)} \
		$(PYTHON) -m pytest tests/server/test_crash.py tests/server/test_crash_nodes.py tests/server/test_server_outputs.py::test_all_are_there_or_none_whatever_is_killed

# The server tests with Orthanc's index, its files and the plugin's jobs in a PostgreSQL, which they start.
test-postgresql: setup
	OVER_POSTGRESQL=1 CI=true $(PYTHON) -m pytest -n 2 --dist loadfile -m "server and not sqlite" tests/server $(TESTS)

# Two Orthancs over one PostgreSQL and two boxes, each a host in namespaces (needs root rights), while each of them is
# killed, frozen and cut off: MACHINES_SEED sets which and when, and is printed.
test-machines: setup
	@MACHINES_JOBS=$${MACHINES_JOBS:-200} MACHINES_BREAKS=$${MACHINES_BREAKS:-100} MACHINES_CANCELS=$${MACHINES_CANCELS:-50} \
		MACHINES_SEED=$${MACHINES_SEED:-$$(date +%s)} $(PYTHON) -m pytest -s tests/server/test_remote_workers.py tests/server/test_machines.py

# What others' programs read of our objects: plastimatch, dcmrtstruct2nii and dcmqi, installed first.
test-readers: setup
	@scripts/readers.sh
	DERIVED_SERIES_READERS=required $(PYTHON) -m pytest -m readers

# 5,000 damaged DICOM, NIfTI and .npy inputs, others each time: it prints its seed, which FUZZ_SEED sets.
fuzz: setup
	@PYTHONPATH=plugin:tests $(PYTHON) scripts/fuzz.py
	@$(PYTHON) -m pytest -q -n 2 --hypothesis-profile thorough tests/unit/dicom/test_pixels.py tests/unit/dicom/test_nifti.py \
		tests/unit/dicom/test_encoding.py tests/unit/dicom/test_contours.py tests/unit/dicom/test_any_image.py

# What an environment's Python installs, and what stands in for a package without a wheel: see docs/install.md
wheel:
	@scripts/setup.sh --run
	@$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist . ./compat/pyjpegls

# The commands of docs/install.md in roots of three releases of Debian that have nothing in them (needs root rights), and
# the container's set-up script.
test-install: setup
	@for release in $${RELEASES:-bookworm trixie sid}; do scripts/install_test.sh $$release || exit 1; done
	@scripts/install_test.sh trixie container

bench: setup
	@PYTHONPATH=tests $(PYTHON) benchmarks/bench.py

# 1,500 studies in an hour, a day of the heavy case. SOAK_MINUTES says for how long studies come, SOAK_SEED what is done with each.
soak: setup
	@PYTHONPATH=tests:tests/server $(PYTHON) benchmarks/soak.py

# Not .run/storage: it holds what was stored in Orthanc.
clean: stop
	rm -rf .venv tooling/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	find plugin blueprints scripts benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Every target does what it says; `make help` lists them.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
STAMP := $(VENV)/.installed

.PHONY: help demo demo-redis test check format bench drafts faults fuzz mutants dressings capabilities deps lock clean

help: ## list the targets
	@sed -n 's/^\([a-z.-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  %-12s %s\n' "$$name" "$$text"; done

.venv: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || { \
	  echo "Python 3.11 to 3.14 is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "venv is missing; on Debian or Ubuntu: sudo apt-get install -y python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## everything in one process, told as a story of twelve mails (DEMO_ARGS=--once ends after it)
	@$(BIN)/gatepost demo $(DEMO_ARGS)

demo-redis: $(STAMP) ## this very Procfile under honcho with Redis and PostgreSQL: a mail reaches its unit
	@$(BIN)/python -m tests.rigs.procfile

test: $(STAMP) ## the whole suite (CI=true installs the services it needs, and fails without them)
	@if [ "$$CI" = true ]; then $(MAKE) deps; fi
	@$(BIN)/python -m compileall -q parsers worker tests  # the suite starts hundreds of processes; some set-ups keep no bytecode
	$(BIN)/pytest -n auto --dist loadgroup $(TEST_ARGS)

check: $(STAMP) ## format, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(STAMP) ## format and mend what can be mended
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: $(STAMP) ## speed and memory of receiving and applying, as ratios in one run (needs smtp-source)
	$(BIN)/python -m bench.smtp
	$(BIN)/python -m bench.apply
	$(BIN)/python -m bench.rules

drafts: $(STAMP) ## how good drafts of rules are, with every pack set aside in turn
	$(BIN)/python -m bench.drafts

faults: $(STAMP) ## long runs: kills and outages under load, on SQLite and PostgreSQL
	GATEPOST_TEST_KILLS=100 $(BIN)/pytest -n 0 -s tests/smtp/test_faults.py -k kill_9
	GATEPOST_TEST_MAILS=$${GATEPOST_TEST_MAILS:-10000} GATEPOST_TEST_KILLS=$${GATEPOST_TEST_KILLS:-100} \
	  $(BIN)/pytest -n 0 -s tests/faults
	GATEPOST_TEST_EXAMPLES=4000 $(BIN)/pytest -n 0 tests/worker/test_drain.py tests/line/test_processes.py

mutants: $(STAMP) ## 100,000 changed mails of all fixtures, none of them misread (GATEPOST_TEST_MUTANTS says how many)
	$(BIN)/python -m tests.mutants

fuzz: $(STAMP) ## long runs: many examples of every law
	GATEPOST_TEST_EXAMPLES=20000 $(BIN)/pytest -n auto -m law

dressings: $(STAMP) ## long run: every fixture in every dressing
	GATEPOST_TEST_DRESSINGS=all $(BIN)/pytest -n auto tests/fixtures/test_dressings.py

capabilities: $(STAMP) ## write docs/capabilities.md anew: pack by fact by destination
	$(BIN)/python -m worker.capability_page docs/capabilities.md

deps: ## the services that the suite needs (apt; root or sudo)
	@tests/rigs/install-services

lock: ## write requirements.lock anew
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --all-extras --group dev --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

clean: ## remove what was made here
	rm -rf $(VENV) .gatepost .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist build *.egg-info

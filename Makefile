# Every target sets up what it needs: a fresh machine wants only Python 3.11 or later, git and make.
PY := .venv/bin/python
CONFIG ?= config
STATE ?= .state
TESTS ?= tests
WORKERS ?= 2
KILLS ?= 1000

.DEFAULT_GOAL := help
.PHONY: help cloud setup demo test test-compiled test-aws soak up check format compiled synth deploy lock image-check bench clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## create .venv with everything pinned (every other target does this first)
	@tools/setup.sh

demo: setup ## the whole story in a minute: real psql against a contained database
	@$(PY) -m demo

test: setup ## run the tests (TESTS=tests/rig for a part, WORKERS=1 for one at a time)
	@tools/browser.sh
	$(PY) -m pytest -n $(WORKERS) --dist loadfile $(TESTS)

test-aws: setup ## test a deployment in a real account: BLASTWALL_TEST_ACCOUNT and _REGION name it (docs/real-account.md)
	$(PY) -m pytest tests_aws

soak: setup ## kill recorders and gateways under load, KILLS=1000 times (a test run does it 50 times)
	KILLS=$(KILLS) $(PY) -m pytest tests/kills

up: setup ## start a local gateway with its targets and keep it running (Ctrl-C stops it)
	@$(PY) -m cli up --config $(CONFIG) --state $(STATE)

cloud: setup ## the AWS stacks themselves in an emulated account, with two gateway tasks (docs/rig.md)
	@$(PY) -m cli up --cloud --config $(CONFIG) --state $(STATE)

check: setup ## format, lint, types, import rules and architecture tests
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PY) -m pytest tests/architecture

format: setup ## let ruff rewrite what it can
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

test-compiled: setup ## the tests of the hot modules, and sessions, on the compiled build
	@tools/test_compiled.sh -n $(WORKERS) --dist loadfile

compiled: setup ## the package with its hot modules compiled, in .cache/compiled (as the image has it)
	@tools/compile.sh

synth: setup ## make the AWS templates in cdk.out, and show which of the committed ones change
	@$(PY) app.py && $(PY) -m stacks.snapshot cdk.out tests/stacks/snapshots

deploy: setup ## cdk deploy --all (CONTEXT="-c topology=dev"), after asking the account (DOCTOR="--keys ssh=ARN")
	@$(PY) -m cli doctor --aws --config $(CONFIG) $(DOCTOR)
	npx --yes aws-cdk@2.1148.1 deploy --all $(CONTEXT)

lock: setup ## after a change of pins: which very files pip may install in what ships (*.lock)
	@$(PY) tools/lock.py

image-check: setup ## everything the image does, without Docker: build, install, start as nobody
	@tools/image_check.sh

bench: setup compiled ## benchmarks, each a ratio against a peer measured in the same run
	@$(PY) -m bench
	@$(PY) -m bench.floor
	@$(PY) -m bench.trail
	@$(PY) -m bench.approvals
	@$(PY) -m bench.vending
	@$(PY) -m bench.recording

clean: ## remove what the other targets made: .venv, state, caches, builds
	rm -rf .venv .state .setup .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf build dist *.egg-info cdk.out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.DEFAULT_GOAL := help
.PHONY: help check machine up down clean test bench drills lock golden screenshot node-image

PYTHON := .venv/bin/python

help: ## show the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

check: ## format, lint, types, unit tests; no root, no lab
	@lab/bootstrap venv
	@.venv/bin/ruff format --check --quiet . || { echo "run .venv/bin/ruff format ."; exit 1; }
	@.venv/bin/ruff check --quiet .
	@# Types beside the tests, and a worker more than there are processors: some tests wait.
	@.venv/bin/mypy & types=$$!; .venv/bin/pytest --quiet --numprocesses=$$(($$(nproc) + 1)); tests=$$?; wait $$types && exit $$tests

machine:
	@lab/bootstrap machine

up: machine ## the lab: hypervisor, headquarters and the site oslo on this machine; root
	@$(PYTHON) -m lab up

down: ## end the lab and remove what it made, caches aside
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m lab down; fi

clean: down ## `down`, and remove the caches too
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m lab clean; fi
	@rm -rf .venv policy/.venv .cache

test: machine check up ## everything: `check`, `up`, and the tests in the lab, which end at the third failure
	@.venv/bin/pytest --verbose --maxfail=3 --durations=40 -m "not long" tests/e2e

drills: up ## the long tests in the lab, each harm under load three times, ten power cuts: four hours; root
	@.venv/bin/pytest --quiet -m long tests/e2e
	@$(PYTHON) -m lab drills

bench: machine ## figures of docs/benchmarks.md; PART=registry, plan, pipeline or alarms wants a machine at rest, PART=preview, boot, goodput, recovery or traffic `make up` before
	@$(PYTHON) -m lab bench $(PART)

screenshot: machine ## docs/page.png anew, of a farm that runs natively; root
	@SCREENSHOT=docs/page.png .venv/bin/pytest --quiet tests/e2e/test_browser.py

node-image: machine ## the node image, for production as for the lab; root
	@$(PYTHON) -m node_image.build

lock: ## resolve the pyproject.toml files anew into the four lock files
	@.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header pyproject.toml --group dev -o requirements-dev.txt
	@.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header pyproject.toml -c requirements-dev.txt -o requirements.txt
	@.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --group pyproject.toml:services -c requirements-dev.txt -o services/requirements.txt
	@.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header policy/pyproject.toml -o policy/requirements.txt

golden: ## write the golden files, the JSON Schema, the reference and CODEOWNERS anew, for review
	@$(PYTHON) -m config.schema
	@$(PYTHON) -m config.reference
	@$(PYTHON) -m config.codeowners
	@GOLDEN=write .venv/bin/pytest --quiet tests/test_golden.py

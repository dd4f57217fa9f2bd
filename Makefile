# Everything here works on a machine that has only Python 3.11+ and make.
PYTHON ?= python3
VENV   ?= .venv
CODEX_VERSIONS ?= 0.171.0 0.169.0
AIMOCK_VERSION ?= 1.43.0
PYRIGHT_VERSION ?= 1.1.414
OPENAI_OAUTH_VERSION ?= 2.0.0
BIN    := $(VENV)/bin

ALONE  := aider bench-peers relays release schemathesis sdks siwc-peer strangers # environments that share no version with ours

.DEFAULT_GOAL := help
.PHONY: help demo test unit coverage check interop clients frameworks fuzz mutate newest oldest pythons docs release bench speed picture screenshot constraints clean

# $(call install,FOLDER,ARGUMENTS): pip with a dot for each package, so that a long run is seen to be at work. What it
# has to say about a failure goes to stderr as ever; its exit status is kept in a file, for a pipe would lose it.
define install
@{ $(1)/bin/python -m pip install --disable-pip-version-check --progress-bar off $(2); echo $$? >$(1)/.status; } \
  | awk '/^(Collecting|Obtaining|Processing) / { printf "."; fflush() } \
         /^Installing collected/ { printf " installing"; fflush() } END { print "" }'; \
  read -r status <$(1)/.status; exit $$status
endef
# $(call environment,FOLDER,TARGET,OPTIONS): an empty environment in FOLDER for what `make TARGET` needs. Not --clear
# for $(VENV) itself, which holds the others.
define environment
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "onplan needs Python 3.11 or newer: make PYTHON=python3.12")'
@printf 'Installing what `make %s` needs into %s, once ' '$(2)' '$(1)'
@$(PYTHON) -m venv $(3) $(1)
endef

help:           ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST)

demo: $(VENV)/demo/.installed   ## sign in, ask, stream, call a tool, refresh: against the built-in emulator
	@PYTHONPATH=src $(VENV)/demo/bin/python -m onplan demo

test: $(VENV)/.installed        ## the test suite, in four processes: most of them wait for servers of their own
	$(BIN)/pytest -m 'not interop' -n 4 --dist worksteal

# The tests of what decides: no server, no file; tests/conftest.py sees that they open no connection. Without those that
# generate thousands of cases or count work, which take longer than all others together. Each half of them in a process
# of its own: that costs less than handing out 9,000 tests one by one.
unit: $(VENV)/.installed        ## the tests of the modules that do no input or output, alone (15 seconds)
	@$(MAKE) --no-print-directory --keep-going -j2 --output-sync=target unit-1 unit-2
unit-1 unit-2: $(VENV)/.installed
	$(BIN)/pytest -m 'not hypothesis' -p no:cacheprovider -p no:logging @tests/$@.txt

coverage: $(VENV)/.installed    ## how much of each module its own tests run; fails below 95 % of the lines of one
	$(BIN)/python tools/cover.py

check: $(VENV)/.installed       ## lint, format, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict tests/typing
	$(BIN)/lint-imports

CODEX_INSTALLED  := $(CODEX_VERSIONS:%=$(VENV)/codex-%/.installed)
AIMOCK_INSTALLED := $(VENV)/aimock-$(AIMOCK_VERSION)/.installed
PYRIGHT_INSTALLED := $(VENV)/pyright-$(PYRIGHT_VERSION)/.installed
NODE_SDKS := $(VENV)/node-sdks/.installed
AGENTS    := $(VENV)/agents/.installed
INTEROP := $(VENV)/.installed $(VENV)/.bench $(VENV)/.interop $(VENV)/.system \
  $(VENV)/siwc-peer/.installed $(VENV)/strangers/.installed $(VENV)/sdks/.installed $(VENV)/schemathesis/.installed $(NODE_SDKS) \
  $(CODEX_INSTALLED) $(AIMOCK_INSTALLED) $(PYRIGHT_INSTALLED)
interop: $(INTEROP)  ## other people's programs: Codex clients, SDKs, a mock server, a browser, a keyring, two hosts
	CODEX_FOLDER="$(CURDIR)/$(VENV)" CODEX_VERSIONS="$(CODEX_VERSIONS)" \
	OPENAI_SDK_PYTHON="$(CURDIR)/$(BIN)/python" \
	SIWC_PEER_PYTHON="$(CURDIR)/$(VENV)/siwc-peer/bin/python" \
	STRANGERS_PYTHON="$(CURDIR)/$(VENV)/strangers/bin/python" \
	SDKS_PYTHON="$(CURDIR)/$(VENV)/sdks/bin/python" \
	SCHEMATHESIS="$(CURDIR)/$(VENV)/schemathesis/bin/st" \
	NODE_SDKS="$(CURDIR)/$(dir $(NODE_SDKS))" \
	AIMOCK="$(CURDIR)/$(dir $(AIMOCK_INSTALLED))node_modules/.bin/llmock" \
	PYRIGHT="$(CURDIR)/$(dir $(PYRIGHT_INSTALLED))node_modules/.bin/pyright" \
	$(BIN)/pytest -m 'interop and not agents' -n 2 --dist loadfile tests/interop

clients: $(VENV)/.installed $(VENV)/aider/.installed $(AGENTS)  ## coding agents on `onplan run`: opencode, Cline, Continue, Qwen Code, aider (1 GB; Python 3.12 at most)
	AGENTS="$(CURDIR)/$(dir $(AGENTS))" AIDER="$(CURDIR)/$(VENV)/aider/bin/aider" \
	$(BIN)/pytest -m agents tests/interop

# Each adapter in an environment of its own, for frameworks need versions that exclude each other. LIGHT=1: what is
# installed within seconds. FRAMEWORKS='openai langchain' chooses.
LIGHT_FRAMEWORKS := agents haystack langchain llm mcp-1 openai openai-2 pydantic-ai smolagents
FRAMEWORKS ?= $(if $(LIGHT),$(LIGHT_FRAMEWORKS),$(patsubst requirements/frameworks/%.txt,%,$(wildcard requirements/frameworks/*.txt)))
frameworks: $(VENV)/.installed  ## the adapters, each with its framework: a table of versions and cases
	@$(MAKE) --no-print-directory --keep-going $(FRAMEWORKS:%=$(VENV)/frameworks/%/.installed) \
	  || echo 'make frameworks: an environment could not be installed; the table says which'
	$(BIN)/python tools/frameworks.py $(FRAMEWORKS)

fuzz: $(VENV)/.installed        ## 200,000 damaged streams, frames, bodies, token responses and files, always the same (2 minutes)
	ONPLAN_FUZZ_CASES=200000 $(BIN)/pytest -n 2 tests/fuzz

MUTATE ?= --count 500
mutate: $(VENV)/.installed      ## change the code in small places and see that a test fails; MUTATE='oauth tokens' chooses
	$(BIN)/python tools/mutate.py $(MUTATE)

newest:         ## the tests with the newest release of every dependency that pyproject.toml allows, unpinned
	$(call environment,$(VENV)/newest,newest,--clear)
	$(call install,$(VENV)/newest,-e '.[all]' -r requirements/development.in)
	@sed -n 's/^\([A-Za-z0-9._-]*==[^ ]*\).*/\1/p' constraints.txt >$(VENV)/newest/pinned
	@echo 'Other versions than in constraints.txt:'
	@$(VENV)/newest/bin/pip freeze --exclude-editable | awk -F== '{ gsub("[._]", "-", $$1); print tolower($$1) FS $$2 }' \
	  | grep -vxF -f $(VENV)/newest/pinned || echo none
	$(VENV)/newest/bin/pytest -m 'not interop' -n 4

oldest:         ## the tests with the oldest release of every direct dependency that pyproject.toml allows
	$(call environment,$(VENV)/oldest,oldest,--clear)
	$(call install,$(VENV)/oldest,-r requirements/oldest.txt)
	@$(VENV)/oldest/bin/pip install --quiet --disable-pip-version-check -r requirements/development.in -c requirements/oldest.txt
	@$(VENV)/oldest/bin/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	$(VENV)/oldest/bin/pytest -m 'not interop' -n 4

pythons:        ## the tests on fresh machines with Python 3.13 and the newest, by a user who is not root (needs root, Debian)
	.ci/pythons

docs: $(VENV)/docs/.installed   ## the documentation as a site in build/site, with a reference made from the docstrings
	@rm -rf build/site
	PYTHONPATH=src $(VENV)/docs/bin/python tools/docs/assemble.py build/docs
	LC_ALL=C PYTHONPATH=src $(VENV)/docs/bin/sphinx-build --quiet --fail-on-warning --keep-going -b html build/docs build/site
	@echo 'See build/site/index.html.'

release: $(VENV)/release/.installed  ## sdist and wheel in dist/ and the thin ones in dist/thin, checked; the demo runs from the wheel in a fresh environment
	rm -rf dist
	$(VENV)/release/bin/python -m build --no-isolation
	$(VENV)/release/bin/twine check --strict dist/*
	$(VENV)/release/bin/check-wheel-contents dist/*.whl
	$(PYTHON) tools/check_release.py dist
	for each in packages/*/; do $(VENV)/release/bin/python -m build --no-isolation --outdir dist/thin $$each || exit; done
	$(VENV)/release/bin/twine check --strict dist/thin/*
	$(call environment,$(VENV)/wheel,release,--clear)
	$(call install,$(VENV)/wheel,--require-hashes -r requirements/demo.txt)
	$(VENV)/wheel/bin/pip install --quiet --disable-pip-version-check --no-deps --no-index dist/*.whl
	cd $(VENV)/wheel && bin/onplan demo
	ls -l dist dist/thin

bench: $(VENV)/.installed $(VENV)/.bench $(VENV)/bench-peers/.installed $(VENV)/.relays  ## speed, as ratios against others in the same run (16 minutes; adapters where `make frameworks` was)
	$(BIN)/python -m bench

speed: $(VENV)/.installed $(VENV)/.bench $(VENV)/bench-peers/.installed $(VENV)/.relays  ## the same, into docs/speed.md and docs/speed.svg
	$(BIN)/python -m bench --markdown --picture docs/speed.svg > $(VENV)/speed.md
	mv $(VENV)/speed.md docs/speed.md

picture: $(VENV)/.installed     ## draw the terminals in docs/ anew: demo.svg, usage.svg, ask.svg, batch.svg, chat.svg
	$(BIN)/python -m docs.picture

screenshot: $(VENV)/.installed $(VENV)/.interop $(VENV)/.system  ## and docs/signed-in-with-chatgpt.png
	ONPLAN_SCREENSHOT="$(CURDIR)/docs/signed-in-with-chatgpt.png" $(BIN)/pytest -m interop tests/interop/test_siwc.py -k browser

PIN := uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet
constraints:    ## pin every dependency again, with hashes (needs uv)
	$(PIN) --extra all pyproject.toml requirements/development.in -o constraints.txt
	$(PIN) --extra emulator pyproject.toml -c constraints.txt -o requirements/demo.txt
	$(PIN) --extra all pyproject.toml requirements/docs.in -c constraints.txt -o requirements/docs.txt
	$(PIN) requirements/bench.in -c constraints.txt -o requirements/bench.txt
	$(PIN) requirements/interop.in -c constraints.txt -o requirements/interop.txt
	$(filter-out --generate-hashes,$(PIN)) --resolution lowest-direct --extra all pyproject.toml -o requirements/oldest.txt
	for each in requirements/frameworks/*.in; do $(PIN) --extra emulator --extra fast pyproject.toml $$each -o $${each%.in}.txt || exit; done
	for name in $(ALONE); do $(PIN) requirements/$$name.in -o requirements/$$name.txt || exit; done

clean:          ## forget the virtual environment
	rm -rf $(VENV)

$(VENV)/.installed: constraints.txt pyproject.toml
	$(call environment,$(VENV),test)
	$(call install,$(VENV),--require-hashes -r constraints.txt)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

# One pip at a time in one environment: each of these waits for the one before it.
$(VENV)/.bench: requirements/bench.txt $(VENV)/.installed
	$(call install,$(VENV),--require-hashes -r requirements/bench.txt)
	@touch $@

$(VENV)/.interop: requirements/interop.txt $(VENV)/.bench
	$(call install,$(VENV),--require-hashes -r requirements/interop.txt)
	@touch $@

# An environment of its own: what needs fewer packages than the tests, or other versions of them.
$(VENV)/%/.installed: requirements/%.txt
	$(call environment,$(@D),$*,--clear)
	$(call install,$(@D),--require-hashes -r $<)
	@touch $@

# What is no Python package. Without the right to install it the tests that need it say so and are skipped.
SYSTEM_PACKAGES := gnome-keyring dbus iproute2 chromium fonts-dejavu-core bindfs
$(VENV)/.system: $(VENV)/.installed
	@if command -v gnome-keyring-daemon >/dev/null && command -v dbus-run-session >/dev/null \
	  && command -v ip >/dev/null && command -v chromium >/dev/null && command -v bindfs >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SYSTEM_PACKAGES); \
	else echo "make interop: $(SYSTEM_PACKAGES) are missing; what needs them is skipped"; fi
	@touch $@

# Packages for Node.js that stand in one list, with a Node.js of their own where it is in the list.
$(NODE_SDKS) $(AGENTS): $(VENV)/%/.installed: requirements/%.json
	@command -v npm >/dev/null || { echo "npm (Node.js 20.15 or newer) is needed to install $<"; exit 1; }
	rm -rf $(@D) && mkdir -p $(@D) && cp $< $(@D)/package.json
	npm install --loglevel=error --no-fund --no-audit --no-package-lock --prefix $(@D)
	@touch $@

# npm keeps these out of the repository; only their versions are ours: of the CLI the newest, and an older one.
OPENAI_OAUTH_INSTALLED := $(VENV)/openai-oauth-$(OPENAI_OAUTH_VERSION)/.installed
$(CODEX_INSTALLED): PACKAGE = @openai/codex
$(AIMOCK_INSTALLED): PACKAGE = @copilotkit/aimock
$(PYRIGHT_INSTALLED): PACKAGE = pyright
$(OPENAI_OAUTH_INSTALLED): PACKAGE = openai-oauth
$(CODEX_INSTALLED) $(AIMOCK_INSTALLED) $(PYRIGHT_INSTALLED) $(OPENAI_OAUTH_INSTALLED):
	@command -v npm >/dev/null || { echo "npm (Node.js 20.15 or newer) is needed to install $(PACKAGE)"; exit 1; }
	mkdir -p $(@D)
	npm install --loglevel=error --no-fund --no-audit --no-save --prefix $(@D) \
	  $(PACKAGE)@$(lastword $(subst -, ,$(notdir $(@D))))
	@touch $@

# Servers that are compared with ours and are no Python packages. The tables say what is missing.
$(VENV)/.relays: $(VENV)/relays/.installed
	@if command -v nginx >/dev/null || [ -x /usr/sbin/nginx ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light; \
	else echo "make bench: nginx is missing and is left out"; fi
	@$(MAKE) --no-print-directory $(OPENAI_OAUTH_INSTALLED) || echo "make bench: openai-oauth is left out"
	@touch $@

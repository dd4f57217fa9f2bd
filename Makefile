# Everything here works on a machine that has only Python 3.11+ and make.
PYTHON ?= python3
VENV   ?= .venv
CODEX_VERSIONS ?= 0.171.0 0.169.0
AIMOCK_VERSION ?= 1.43.0
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test check interop fuzz pythons bench speed picture screenshot constraints clean

help:           ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST)

demo: $(VENV)/.installed        ## sign in, ask, stream, call a tool, refresh: against the built-in emulator
	@$(BIN)/onplan demo

test: $(VENV)/.installed        ## the test suite, in four processes: most of them wait for servers of their own
	$(BIN)/pytest -m 'not interop' -n 4

check: $(VENV)/.installed       ## lint, format, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict tests/typing
	$(BIN)/lint-imports

CODEX_INSTALLED  := $(CODEX_VERSIONS:%=$(VENV)/codex-%/.installed)
AIMOCK_INSTALLED := $(VENV)/aimock-$(AIMOCK_VERSION)/.installed
INTEROP := $(VENV)/.installed $(VENV)/.bench $(VENV)/.interop $(VENV)/.system \
  $(VENV)/siwc-peer/.installed $(VENV)/strangers/.installed $(CODEX_INSTALLED) $(AIMOCK_INSTALLED)
interop: $(INTEROP)  ## other people's programs: Codex clients, SDKs, a mock server, a browser, a keyring, two hosts
	CODEX_FOLDER="$(CURDIR)/$(VENV)" CODEX_VERSIONS="$(CODEX_VERSIONS)" \
	OPENAI_SDK_PYTHON="$(CURDIR)/$(BIN)/python" \
	SIWC_PEER_PYTHON="$(CURDIR)/$(VENV)/siwc-peer/bin/python" \
	STRANGERS_PYTHON="$(CURDIR)/$(VENV)/strangers/bin/python" \
	AIMOCK="$(CURDIR)/$(dir $(AIMOCK_INSTALLED))node_modules/.bin/llmock" \
	$(BIN)/pytest -m interop -n 2 --dist loadfile tests/interop

fuzz: $(VENV)/.installed        ## 200,000 damaged streams, frames, bodies, token responses and files, always the same (2 minutes)
	ONPLAN_FUZZ_CASES=200000 $(BIN)/pytest -n 2 tests/fuzz

pythons:        ## the tests on fresh machines with Python 3.13 and the newest, by a user who is not root (needs root, Debian)
	.ci/pythons

bench: $(VENV)/.installed $(VENV)/.bench $(VENV)/bench-peers/.installed  ## speed, as ratios against others in the same run (8 minutes)
	$(BIN)/python -m bench

speed: $(VENV)/.installed $(VENV)/.bench $(VENV)/bench-peers/.installed  ## the same, into docs/speed.md and docs/speed.svg
	$(BIN)/python -m bench --markdown --picture docs/speed.svg > $(VENV)/speed.md
	mv $(VENV)/speed.md docs/speed.md

picture: $(VENV)/.installed     ## draw docs/demo.svg anew
	$(BIN)/python docs/picture.py

screenshot: $(VENV)/.installed $(VENV)/.interop $(VENV)/.system  ## and docs/signed-in-with-chatgpt.png
	ONPLAN_SCREENSHOT="$(CURDIR)/docs/signed-in-with-chatgpt.png" $(BIN)/pytest -m interop tests/interop/test_siwc.py -k browser

constraints:    ## pin every dependency again, with hashes (needs uv)
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet \
	  requirements/runtime.in requirements/development.in -o constraints.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet \
	  -c constraints.txt requirements/bench.in -o requirements/bench.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet \
	  requirements/bench-peers.in -o requirements/bench-peers.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet \
	  -c constraints.txt requirements/interop.in -o requirements/interop.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet \
	  requirements/siwc-peer.in -o requirements/siwc-peer.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet \
	  requirements/strangers.in -o requirements/strangers.txt

clean:          ## forget the virtual environment
	rm -rf $(VENV)

$(VENV)/.installed: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "onplan needs Python 3.11 or newer: make PYTHON=python3.12")'
	@echo 'Installing onplan into $(VENV), once; this takes a minute.'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.bench: requirements/bench.txt $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

$(VENV)/.interop: requirements/interop.txt $(VENV)/.bench  # one pip at a time
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/interop.txt
	@touch $@

# Other people's clients that need other versions of our libraries, each in an environment of its own.
$(VENV)/%/.installed: requirements/%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
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

# npm keeps these out of the repository; only their versions are ours: of the CLI the newest, and an older one.
$(CODEX_INSTALLED): PACKAGE = @openai/codex
$(AIMOCK_INSTALLED): PACKAGE = @copilotkit/aimock
$(CODEX_INSTALLED) $(AIMOCK_INSTALLED):
	@command -v npm >/dev/null || { echo "make interop needs npm (Node.js 20.15 or newer) to install $(PACKAGE)"; exit 1; }
	mkdir -p $(@D)
	npm install --loglevel=error --no-fund --no-audit --no-save --prefix $(@D) \
	  $(PACKAGE)@$(lastword $(subst -, ,$(notdir $(@D))))
	@touch $@

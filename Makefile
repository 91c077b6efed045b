# Tollgate, one word a job. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint unit doc deny lab bench compare figures abuse soak felt web guest-test fuzz build install clean prerequisites

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 600
IS_ROOT := $(filter 0,$(shell id -u))

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## the main job, live: namespaces, web server, firewall script, metrics (without root: a replay)
	@bench/lab/demo.sh $(TARGET)/release/tollgate

test: prerequisites lint unit doc deny ## everything a change must pass; as root with the live tests
	@.ci/sum-tests $(TARGET)/test.log

lint: ## formatting and clippy, no warning allowed
	@echo "==> format"
	@$(CARGO) fmt --all --check
	@echo "==> clippy"
	@$(CARGO) clippy --quiet --locked --workspace --all-targets -- -D warnings

unit:
	@echo "==> tests$(if $(IS_ROOT),, (not root: the live ones are skipped))"
	@mkdir -p $(TARGET)
	@$(CARGO) test --locked --workspace --no-fail-fast 2>&1 | tee $(TARGET)/test.log

doc: ## the crates' documentation, no warning allowed
	@echo "==> documentation"
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --locked --workspace --no-deps

deny: ## licences and advisories, if cargo-deny is installed
	@echo "==> licences and sources of dependencies"
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		$(CARGO) deny --log-level error check licenses bans sources; \
	else echo "    cargo-deny is not installed: skipped (cargo install cargo-deny)"; fi

lab: build ## a shell in a fresh lab, with Tollgate between client and server
	@bench/lab/shell.sh $(TARGET)/release/tollgate

bench: build ## the engine alone, then the lab beside a bridge and a bare forwarder; records in bench/record
	@bench/engine.sh
	@bench/lab/compare.sh $(TARGET)/release/tollgate

compare: build ## the lab alone, Suricata too if it can be had; QUICK=1 for one short round, kept beneath the build folder
	@bench/lab/compare.sh $(if $(QUICK),--quick) $(TARGET)/release/tollgate

figures: ## the tables of the README from the newest records
	@$(CARGO) run --quiet --release --locked -p tollgate-bench --bin figures -- readme

abuse: build ## hostile traffic: what it costs, what is left for the honest; records in bench/record
	@bench/abuse.sh
	@bench/steady.sh
	@$(if $(IS_ROOT),bench/lab/flood.sh $(TARGET)/release/tollgate,echo "    not root: no attack on a real wire")

soak: ## ten thousand connections over bad roads, byte by byte, with two workers; needs root
	@TOLLGATE_SOAK=$(or $(TOLLGATE_SOAK),10000) $(CARGO) test --locked -p tollgate --test live soak -- --nocapture

felt: ## what others feel of rules that loop, leak, fail, or are loaded a thousand times again; needs root
	@TOLLGATE_RELOADS=$(or $(TOLLGATE_RELOADS),1000) $(CARGO) test --locked -p tollgate --test live -- \
		--nocapture --test-threads 1 misrule nothing_is_lost_when_rules

web: ## a hundred thousand pages, rewritten by rules, for wrk, Chromium and curl; needs root
	@bench/lab/prerequisites.sh build lab web
	@bench/web.sh

guest-test: build ## zero-copy on virtio-net and Intel igb, in a guest of QEMU's own emulation (no KVM)
	@bench/guest/guest.sh "$(abspath $(TARGET))/guest" $(TARGET)/release/tollgate

fuzz: prerequisites ## every fuzz target for FUZZ_SECONDS (600) each; needs nightly and cargo-fuzz
	@CARGO=$(CARGO) FUZZ_SECONDS=$(FUZZ_SECONDS) fuzz/run.sh

build: prerequisites
	@echo "==> release build"
	@$(CARGO) build --release --locked -p tollgate

install: build ## the program to PREFIX/bin (/usr/local), the systemd unit beside it
	install -D -m 755 $(TARGET)/release/tollgate $(DESTDIR)$(PREFIX)/bin/tollgate
	install -D -m 644 deploy/tollgate.service $(DESTDIR)$(PREFIX)/lib/systemd/system/tollgate.service

clean: ## build results, and labs left behind
	$(CARGO) clean
	$(if $(IS_ROOT),bench/lab/lab.sh sweep)

prerequisites:
	@bench/lab/prerequisites.sh

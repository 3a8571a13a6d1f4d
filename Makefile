# The project's commands. `make help` lists them; each can be repeated and says little when there is nothing to do.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# `cargo` itself decides where this is (CARGO_TARGET_DIR, .cargo/config.toml), so ask it.
TARGET = $(shell cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

.PHONY: run
run: ## one gateway on config/dev.toml in the foreground; open the address it prints, Ctrl-C stops it
	@scripts/setup build
	@cargo build --quiet --release -p tidegate-gateway
	@exec scripts/run-dev "$(TARGET)/release/tidegate-gateway"

.PHONY: cluster-demo
cluster-demo: ## three gateways, a control plane, Redis, NATS and a balancer, with a list of things to try; Ctrl-C stops them
	@scripts/setup build servers
	@cargo build --quiet --release -p tidegate-gateway -p tidegate-control-plane -p tidegate-loadtest
	@exec scripts/cluster-demo "$(TARGET)/release"

.PHONY: test
test: ## everything that proves the product; installs what it needs
	@scripts/setup build js browser conformance servers chart
	@scripts/test all

.PHONY: test-rust
test-rust: ## unit, property, corpus-replay and system tests only
	@scripts/setup build servers
	@scripts/test rust

.PHONY: test-js
test-js: ## the TypeScript client: by itself, and against the gateway in Node.js and in a real browser
	@scripts/setup build js
	@scripts/test js js-gateway

.PHONY: test-browser
test-browser: ## the demo page and the dashboard in a real browser
	@scripts/setup build browser
	@scripts/test browser

.PHONY: conformance
conformance: ## all 517 Autobahn cases against a release build
	@scripts/setup build conformance
	@scripts/test conformance

.PHONY: test-chart
test-chart: ## the Helm chart, without a cluster: rendered, checked against Kubernetes' API, alerts tried out
	@scripts/setup build chart
	@scripts/test chart

.PHONY: e2e
e2e: ## the chart on a real Kubernetes of three nodes on this machine; as root; the first time it takes a quarter of an hour longer
	@scripts/setup build
	@cargo build --quiet --release -p tidegate-gateway -p tidegate-control-plane -p tidegate-loadtest
	@exec k8s/e2e/run --programs "$(TARGET)/release"

.PHONY: bundle
bundle: ## builds clients/js into the one file that the demo page loads
	@scripts/setup js
	@npm --prefix clients/js run bundle --silent
	@cp clients/js/dist/tidegate.min.js gateway/src/http/demo/tidegate.min.js

.PHONY: bench
bench: ## measures gateway and floor in turn and rewrites the table in docs/performance.md
	@scripts/setup build
	@cargo build --quiet --release -p tidegate-gateway -p tidegate-loadtest
	@"$(TARGET)/release/tidegate-loadtest" compare --gateway "$(TARGET)/release/tidegate-gateway" --markdown docs/performance.md

.PHONY: lint
lint: ## formatting, clippy, and the project's own rules
	@scripts/setup build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo xtask tidy

.PHONY: audit
audit: ## known vulnerabilities in dependencies; needs cargo-deny and a network that reaches its database
	@scripts/setup audit
	cargo deny check

.PHONY: docs
docs: ## rewrites the generated pages under docs/
	@scripts/setup build
	UPDATE_DOCS=1 cargo test --quiet --package tidegate-gateway --bins the_documented_
	UPDATE_DOCS=1 cargo test --quiet --package tidegate-protocol --lib the_documented_
	UPDATE_DOCS=1 cargo test --quiet --package tidegate-control-plane --lib the_documented_
	@scripts/setup chart
	scripts/chart generate

.PHONY: clean
clean: ## removes what was built; installed tools stay
	cargo clean
	rm -rf tests/browser/node_modules clients/js/node_modules clients/js/dist clients/js/build

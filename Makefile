# SPDX-License-Identifier: MIT OR Apache-2.0
# A façade: every recipe is one call. `make help` lists them.

VM := tests/vm/vm.py
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/snet
KERNEL ?= all
SCENARIO ?=
ARGS ?=
SECONDS ?= 300
TARGET ?=
export CARGO_TERM_COLOR ?= auto

.DEFAULT_GOAL := help
.PHONY: help setup build generate format check deb install uninstall test unit-test fuzz vm-selftest vm-test dkms-test install-test installed-test packaged-test power-test soak demo demo-vm bench bench-kernel \
	vm-shell clean

help: ## List the commands
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what the other commands need (apt packages; Rust must be there)
	@tests/setup

build: setup ## Build snetd, snet-tool and the examples
	cargo build --release --locked --workspace --bins --examples

generate: setup ## Write what restates kernel/snet.yaml: uapi header, C policies, constants
	kernel/generate.py

format: setup ## Format the Rust code
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml

check: setup ## Generated files, format, clippy, docs, sparse on the module, shipped configuration
	tests/check

deb: build ## Debian packages of it, in target/deb: snet, and snet-dkms for the module
	@packaging/deb

install: ## Install what `make build` made: make install [DESTDIR=] [PREFIX=/usr/local]
	@packaging/install install

uninstall: ## Take it away again; rules and configuration are kept
	@packaging/install uninstall

test: ## Run the tests: in VMs all on Debian 12's kernel and samples on newer ones; not the debug kernel, cuts of the power, Debian 13
	$(MAKE) unit-test
	$(MAKE) deb
	$(MAKE) --jobs=2 --output-sync vm-selftest dkms-test
	$(MAKE) vm-test
	$(MAKE) install-test

unit-test: setup ## Run the tests that need no module, and fuzz for a minute
	cargo build --locked --workspace --bins --examples --quiet
	SNET_TEST_PYTHON=$(CACHE)/python/bin/python SNETD=$(CURDIR)/target/debug/snetd cargo test --locked --workspace --quiet
	tests/fuzz smoke

fuzz: setup ## Fuzz the parsers of what others write, and keep what was found: make fuzz [SECONDS=300] [TARGET=netlink]
	tests/fuzz $(SECONDS) $(TARGET)

vm-selftest: setup ## Check that the VM harness notices guests that warn, hang, leak or fall silent
	$(VM) selftest --kernel 6.1

vm-test: $(if $(findstring systemd,$(KERNEL)),deb,build) ## Run the module's tests in VMs: make vm-test [KERNEL=6.1] [SCENARIO='ticket*'], or the packages': [KERNEL=debian13-systemd], or with KASAN, lockdep and kmemleak (hours): [KERNEL=debug]
	$(VM) run --kernel $(KERNEL) $(foreach name,$(SCENARIO),--scenario '$(name)') $(ARGS)

dkms-test: deb ## Check that the package has DKMS build, sign, install and remove the module, also for a kernel that comes later: make dkms-test [KERNEL=6.12]
	$(VM) dkms --kernel $(KERNEL)

install-test: deb ## Boot systems with systemd: one with `make install`, one with the packages: make install-test [KERNEL=6.12]
	$(MAKE) --jobs=2 --output-sync installed-test packaged-test

installed-test:
	$(VM) installed $(if $(filter-out all,$(KERNEL)),--kernel $(KERNEL))

packaged-test:
	$(VM) packaged --kernel $(if $(filter-out all,$(KERNEL)),$(KERNEL),debian12-systemd)

power-test: deb ## Cut the power of a system on a disk while rules are changed, 20 times: make power-test [KERNEL=6.12] [ARGS='--cuts 100 --seed 1']
	$(VM) power $(if $(filter-out all,$(KERNEL)),--kernel $(KERNEL)) $(ARGS)

demo: build ## The main job on this machine, without module or root, as a transcript of real commands
	@tests/native/demo.sh target/release

bench: build ## What deciding costs, and `snet-tool run` beside no supervision and strace
	@target/release/examples/policy_cost
	@tests/native/bench.py target/release

soak: build ## A million decisions of one daemon, whose memory must not grow with them (a quarter of an hour)
	SNET_SOAK=1000000 SNETD=$(CURDIR)/target/release/snetd cargo test --release --locked -p snet-tool --test run soak -- --nocapture

demo-vm: build ## The main job with the kernel module, in a VM
	@$(VM) demo $(if $(filter-out all,$(KERNEL)),--kernel $(KERNEL)) $(ARGS)

bench-kernel: build ## What the module costs, in instructions: make bench-kernel [KERNEL=6.12]
	$(VM) bench $(if $(filter-out all,$(KERNEL)),--kernel $(KERNEL)) $(ARGS)

vm-shell: build ## A shell in a VM with module and daemon running: make vm-shell [KERNEL=6.12]
	$(VM) shell $(if $(filter-out all,$(KERNEL)),--kernel $(KERNEL)) $(ARGS)

clean: ## Remove what was built here (the cache of kernels stays)
	cargo clean

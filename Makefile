# Everything that one does with this tree. `make` alone lists the targets. Every target fails when something in it fails.
#
# There is one build profile, so that RocksDB's C++ is compiled once. CARGO_TARGET_DIR is respected.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(HOME)/.cargo/bin:$(PATH)

# For cluster, status, stop and clean-data: DATA, STORES, PD_PORT, STORE_PORT. Make hands them on.
SEEDS ?= 0..200
ROUNDS ?= 20
OUT ?=

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z][a-z%-]*\):.* ## \(.*\)/\1\t\2/p' Makefile | while IFS=$$'\t' read -r name text; do printf '  make %-16s %s\n' "$$name" "$$text"; done

.PHONY: setup
setup: ## install what the machine lacks (Debian, Ubuntu)
	@bash scripts/setup.sh

.PHONY: build
build: setup ## compile everything
	@bash scripts/build.sh

# ---- a cluster on this machine ----

.PHONY: cluster
cluster: ## set up, build, start a cluster (STORES=3 DATA=.cluster PD_PORT=2379 STORE_PORT=20160)
	@bash scripts/cluster.sh start

.PHONY: status
status: ## show what runs
	@bash scripts/cluster.sh status

.PHONY: stop
stop: ## stop the cluster; the data stays
	@bash scripts/cluster.sh stop

.PHONY: clean-data
clean-data: ## remove the data of a stopped cluster
	@bash scripts/cluster.sh clean-data

# ---- tests ----

.PHONY: test
test: build ## run all tests
	cargo test --workspace
	cargo test --manifest-path raft-peer/Cargo.toml

test-project%: setup ## run the graded tests of one project of the lab, as in test-project1 (SEEDS=0..50, DRIVER=threads, ENGINE=rocksdb)
	@cargo run -q -p xtask -- test-project $*

.PHONY: replay-test
replay-test: setup ## run one graded test again, with the seeds that failed (TEST=basic_2b SEEDS=7)
	@cargo run -q -p xtask -- replay-test $(or $(TEST),$(error which one? make replay-test TEST=basic_2b SEEDS=7))

.PHONY: blank
blank: setup ## a copy of the tree without what students write in a project (PROJECT=3b OUT=folder, LATER=1: nor in later ones)
	@cargo run -q -p xtask -- blank --project $(or $(PROJECT),$(error which one? make blank PROJECT=3b OUT=folder)) $(if $(LATER),--and-later) --out $(or $(OUT),$(error where to? make blank PROJECT=3b OUT=folder))

.PHONY: check-blanks
check-blanks: setup ## see that what is missing in such a copy makes the graded tests of the project fail, and no earlier ones (PROJECTS="2b 3b" EARLIER=2b,2c)
	@cargo run -q -p xtask -- check-blanks $(PROJECTS) $(if $(EARLIER),--earlier $(EARLIER))

.PHONY: sim
sim: setup ## run simulated clusters under faults (SEEDS=0..200)
	cargo run -p test-raftstore --bin sim -- --seeds $(SEEDS)

.PHONY: replay
replay: setup ## run one simulated seed again, twice (SEED=7 ONLY=fault:3,... TRACE=file)
	cargo run -p test-raftstore --bin sim -- --replay $(or $(SEED),$(error which one? make replay SEED=7)) $(if $(ONLY),--only $(ONLY)) $(if $(TRACE),--trace $(TRACE))

.PHONY: shrink
shrink: setup ## drop from a failing simulated seed all that it does not need to fail (SEED=7)
	cargo run -p test-raftstore --bin sim -- --shrink $(or $(SEED),$(error which one? make shrink SEED=7))

.PHONY: crash-points
crash-points: setup ## crash simulated stores at every change of their disks (SCENARIO=split), at one again (AT=split:1:17-after), or list them (AT=split:1)
	$(if $(SCENARIO),SCENARIO=$(SCENARIO)) $(if $(AT),AT=$(AT)) cargo test -q -p test-raftstore --test crash_at_every_write a_crash -- --nocapture

.PHONY: sim-raft
sim-raft: setup ## run raft groups under faults (SEEDS=0..5000), or one seed again step by step (REPLAY=7)
	cargo run -p test-raft --bin sim-raft -- $(if $(REPLAY),--replay $(REPLAY) --trace,--seeds $(if $(filter file,$(origin SEEDS)),0..5000,$(SEEDS)))

.PHONY: interop
interop: setup ## run groups of raft-core and raft crate members under faults (SEEDS=0..200)
	cargo run --manifest-path raft-peer/Cargo.toml --bin interop -- --seeds $(SEEDS)

.PHONY: interop-replay
interop-replay: setup ## run one seed of these again, twice, and print every event (SEED=7)
	cargo run --manifest-path raft-peer/Cargo.toml --bin interop -- --replay $(or $(SEED),$(error which one? make interop-replay SEED=7))

.PHONY: check-raft
check-raft: setup ## walk through every order of events of a small raft group
	cargo run -p test-raft --bin check-raft -- --terms 2 --wire 4 --states 1000000
	cargo run -p test-raft --bin check-raft -- --crashes 0 --wire 3
	cargo run -p test-raft --bin check-raft -- --terms 2 --crashes 0 --wire 3 --delays 1
	cargo run -p test-raft --bin check-raft -- --terms 2 --wire 3 --delays 1 --proposals 0
	cargo run -p test-raft --bin check-raft -- --terms 2 --wire 3 --changes 1 --states 1000000
	cargo run -p test-raft --bin check-raft -- --terms 2 --wire 3 --reads 1 --states 1000000
	cargo run -p test-raft --bin check-raft

.PHONY: mutants
mutants: setup ## put known bugs into a copy of the tree and see that each is named by its rule (OF=test-raft BUGS="name ..." QUICK=1)
	cargo run -p xtask -- mutants $(if $(OF),--of $(OF)) $(if $(QUICK),--quick) $(BUGS)

.PHONY: test-crash
test-crash: build ## kill and restart real processes under load (ROUNDS=20)
	TINYKV_CRASH_ROUNDS=$(ROUNDS) cargo test --workspace --test processes crash:: -- --nocapture

.PHONY: soak
soak: build ## memory of the stores, idle and under load (SECONDS=600 OUT=folder)
	OUT=$(if $(OUT),$(abspath $(OUT))) cargo bench --profile dev --workspace --bench soak

.PHONY: bench-etcd
bench-etcd: build ## compare with etcd on this machine (OUT=folder for etcd.json)
	OUT=$(if $(OUT),$(abspath $(OUT))) cargo bench --profile dev --workspace --bench etcd

.PHONY: bench-raftstore
bench-raftstore: build ## many regions in numbers (PARTS=simulated,regions,splits,snapshot OUT=folder for raftstore.json)
	OUT=$(if $(OUT),$(abspath $(OUT))) cargo bench --profile dev --workspace --bench raftstore

.PHONY: bench-raft
bench-raft: setup ## compare raft-core with the `raft` crate (OUT=folder for raft.json)
	OUT=$(if $(OUT),$(abspath $(OUT))) cargo bench --manifest-path raft-peer/Cargo.toml --bench raft -- --output-format bencher

# ---- the tree ----

.PHONY: proto
proto: setup ## generate the protobuf code again
	cargo x proto

.PHONY: fmt
fmt: ## format the code
	cargo fmt --all

.PHONY: lint
lint: setup ## check format, lints, docs, generated code and dependencies
	@bash scripts/lint.sh

.PHONY: loc
loc: ## count the lines of each crate
	@bash scripts/loc.sh

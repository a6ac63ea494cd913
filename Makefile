# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# `make` prints the targets. Everything lives in .venv, .collections and .run; `make clean` removes all three.

.DEFAULT_GOAL := help
.PHONY: help docs setup setup-check setup-test link demo stop clean lint format types unit check test guest bench-core bench chaos

BIN := .venv/bin
PYTHON := $(BIN)/python
# A user who has just joined the group libvirt is not in it before the next login.
AS := tools/with_libvirt_group.sh

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what running needs and is missing: apt packages, .venv, the collection link
	@tools/setup.sh run

setup-check: ## Install also linter, types and pytest; check, lint, types and unit call it
	@tools/setup.sh check

setup-test: ## Install all: also Ansible's own checks and the simulator of a vCenter; test calls it
	@tools/setup.sh test

link: ## Show this checkout to Ansible as the collection millwright.virt
	@tools/link_collection.sh

demo: setup ## Deploy three real VMs through API, broker, runner and libvirt
	@$(AS) $(PYTHON) -m tools.demo up

stop: ## Stop the demo: its guests are powered off, no process stays
	@if [ -x $(PYTHON) ]; then $(AS) $(PYTHON) -m tools.demo stop; fi

clean: ## Remove the demo's VMs, disks and data, and all that make has made here
	@if [ -x $(PYTHON) ]; then $(AS) $(PYTHON) -m tools.demo clean && $(PYTHON) -m tools.services remove .run/test && for place in .run/bench .run/chaos/job-*; do $(PYTHON) -m tools.services remove $$place/servers; done; fi
	@rm -rf .run .venv .collections .pytest_cache .mypy_cache .ruff_cache .hypothesis .ansible build dist instance *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

guest: setup ## Build the small bootable disk of demo and tests, and print its path
	@$(PYTHON) -m tools.guest.build

lint: setup-check ## Check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: setup-check ## Put the formatting right
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: setup-check ## Check types
	$(BIN)/mypy

unit: setup-check ## Run the tests that need neither services nor guests nor simulators
	$(PYTHON) -m pytest -m 'not services and not qemu and not vcsim and not slow'

check: lint types unit ## What to run before a commit: under a minute, no services

docs: setup-check ## Write a page for each module, role and plugin of the collection to docs/collection/
	@tools/collection_docs.sh docs/collection

bench-core: setup ## Measure the core: transitions, memory, one decision; writes build/bench-core.json and .svg
	$(PYTHON) -m tools.bench_core

# A part: make bench ARGS="--case zero-cost --rounds 3".
ARGS :=

bench: setup ## Measure Millwright beside raw libvirt and community.libvirt: ARGS="--case one-vm"; writes build/bench.json and .svg
	@$(AS) $(PYTHON) -m tools.bench_all $(ARGS)

# Three at once on two cores, as much of the time goes by waiting; a process that has run out of tests takes another's.
test: setup-test lint types ## All of it, with real MariaDB, RabbitMQ, libvirt and QEMU
	$(AS) $(PYTHON) -m pytest -n 3 --dist worksteal

SEEDS := 100
FIRST := 1
# So many at once, each with servers of its own: much of a seed is waiting.
JOBS := 2

chaos: setup ## Kill processes at random while VMs are deployed: SEEDS=100 FIRST=1 JOBS=2; writes build/chaos.json
	@$(AS) $(PYTHON) -m tools.chaos --seeds $(SEEDS) --first $(FIRST) --jobs $(JOBS)

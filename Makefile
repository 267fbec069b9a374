# The one door. `make help` lists what it can do; `make run` needs nothing done before it.

ifeq ($(filter oneshell,$(.FEATURES)),)
$(error this needs GNU make 4 or newer; it is called gmake where make is something else)
endif

MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

# What a person may set: make run SCENARIO=hello, make test ARGS="-k hello", make PYTHON=python3.12.
# Without SCENARIO, `make run` shows two real systems where they can be had, else a demo of small guests.
SCENARIO ?=
ARGS     ?=
PYTHON   ?= python3
DEBUGGER :=
WANTED    = $(if $(filter skip,$(PACKAGES)),--skip-packages) $(DEBUGGER)

# The images are for x86-64 whatever this machine is: anything else needs a cross compiler.
ifndef CROSS_COMPILE
    HOST := $(shell uname -sm)
    ifeq ($(filter Darwin,$(HOST)),Darwin)
        CROSS_COMPILE := x86_64-elf-
    else ifeq ($(filter x86_64 amd64 i686,$(HOST)),)
        CROSS_COMPILE := x86_64-linux-gnu-
    endif
endif
export CROSS_COMPILE

# Programs that outlive one recipe line must not inherit this make's job server.
ALONE := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL
VENV  := .venv/bin

include hv/hv.mk

# Setting up comes before anything is built, whatever -j says: hence a make of its own for the build.
# Without -j from the command line, all processors build. V=1 shows the commands.
# One build of this checkout at a time, where flock is at hand: two would remove each other's files.
LOCK  := $(if $(shell command -v flock),flock Makefile)
BUILD = +@$(MAKE) -q --no-print-directory build/vanderpool.elf 2>/dev/null || echo 'build: hv/ into build/'; \
	$(LOCK) $(MAKE) --no-print-directory $(if $(V),,-s) $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$$(getconf _NPROCESSORS_ONLN)) hv

.PHONY: all run test test-guests test-kvm check bench bench-check guests appliance coverage debug setup clean help

all: setup  ## Set up what is missing and build the hypervisor, its guests and .venv/bin/hv
	$(BUILD)

run: setup  ## Boot Linux and GNU Mach side by side on the best engine there is (SCENARIO=name boots another)
	@$(if $(SCENARIO),:,$(ALONE) $(VENV)/python -m harness.guest_images --if-possible linux mach)
	$(BUILD)
	@scenario='$(or $(SCENARIO),linux-and-mach)'; \
	if [ -z '$(SCENARIO)' ] && ! { [ -e build/guests/linux ] && [ -e build/guests/mach ]; }; then \
		echo 'run: a demo of small guests instead'; scenario=demo; fi; \
	$(ALONE) $(VENV)/hv run "$$scenario" $(ARGS)

test: setup  ## Run every test but the slow ones (ARGS="-k word" picks some, ARGS="--require vmx" forbids skips)
	$(BUILD)
	@$(ALONE) $(VENV)/python -m pytest -n auto --dist worksteal $(ARGS)

# One after the other: the appliance has one processor. -m takes in the appliance's own tests.
# Left out: processors that only Bochs has, and guests that look for what KVM does otherwise.
KVM_TESTS := tests/scenarios $(wildcard tests/boot/test_appliance.py tests/boot/test_nested_kvm*.py) \
	$(patsubst %,tests/boot/test_%.py,events hypervisor mmio modes selftest) \
	-k 'not (lynnfield or ivy_bridge or haswell or icelake or tigerlake or without_unrestricted or arrive_where_a_processor)'

# At most two at a time: each machine has some 200 MiB, and a limit of its own.
test-guests: setup  ## Run the slow tests: real systems as guests, on Intel and AMD: some five minutes (Debian)
	@$(ALONE) $(VENV)/python -m harness.guest_images --if-possible
	$(BUILD)
	@$(ALONE) $(VENV)/python -m pytest -n 2 -m slow tests/scenarios tests/boot/test_real_systems.py tests/boot/test_linux_shell.py tests/boot/test_page_sizes.py $(ARGS)

test-kvm: setup  ## Run what fits on QEMU with nested KVM, in the appliance: some fifteen minutes (Debian)
	$(BUILD)
	@$(ALONE) $(VENV)/python -m pytest $(KVM_TESTS) --engine qemu-kvm-in-bochs -m 'not slow' $(ARGS)

check: setup  ## Look without running: ruff, mypy --strict, C warnings as errors, clang-format
	@echo 'check: ruff';         $(VENV)/ruff check .
	@echo 'check: ruff format';  $(VENV)/ruff format --check .
	@echo 'check: mypy';         $(VENV)/mypy
	@echo 'check: C warnings';   $(MAKE) --no-print-directory hv-warnings
	@echo 'check: clang-format'; $(MAKE) --no-print-directory hv-format-check
	@$(VENV)/clang-format --dry-run -Werror harness/appliance/inside/*.[ch] tests/unit/*.c tests/unit/hv/*.[ch]

bench: setup  ## Measure what exits, boots, tests and many guests cost (ARGS="exits scale" picks parts)
	$(BUILD)
	@$(ALONE) $(VENV)/hv bench $(ARGS)

bench-check: setup  ## Fail if an exit costs more instructions than tests/budgets.toml grants it
	$(BUILD)
	@$(ALONE) $(VENV)/hv bench --check $(ARGS)

guests: setup  ## Fetch the real systems that run as guests: Linux, GNU Mach, memtest86+ (Debian; downloads 28 MB)
	@$(ALONE) $(VENV)/python -m harness.guest_images
	$(BUILD)

appliance: setup  ## Assemble the small Linux in which QEMU has nested KVM anywhere (Debian; downloads 27 MB)
	@$(ALONE) $(VENV)/python -m harness.appliance

# Images of their own, which count, beside those of `make`: tests of the harness itself want these.
# A failed test is no failure here.
coverage: export VANDERPOOL_COVERAGE := build/coverage
coverage: setup  ## Show which lines and branches of the hypervisor the boot tests reach
	$(BUILD)
	+@$(LOCK) $(MAKE) --no-print-directory $(if $(V),,-s) OUT=build/coverage COVERAGE=1 hv
	@rm -rf build/coverage/counters
	-@$(ALONE) $(VENV)/python -m pytest -n auto --dist worksteal -q tests/boot tests/scenarios $(ARGS)
	@$(VENV)/python -m harness.coverage

debug: setup  ## Boot SCENARIO under gdb, on QEMU, or on Bochs where no QEMU will do
	$(BUILD)
	@$(ALONE) $(VENV)/hv run $(or $(SCENARIO),demo) --gdb $(ARGS)

test coverage debug: DEBUGGER := --debugger

# A fast look first (some 50 ms); the full set-up only when something is missing or has changed.
setup:  ## Only set up: packages, .venv (PACKAGES=skip leaves the system's packages alone)
	@$(VENV)/python -ES -m harness.bootstrap --ready $(WANTED) 2>/dev/null || { \
		command -v $(PYTHON) >/dev/null || \
			{ echo 'setup: needs Python 3.11 or newer, and there is no $(PYTHON)' >&2; exit 1; }; \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
			{ echo "setup: needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
				"name a newer one: make PYTHON=python3.12" >&2; exit 1; }; \
		$(PYTHON) -ES -m harness.bootstrap $(WANTED); }

clean:  ## Remove what was built; .venv, the appliance and downloads of packages stay
	@find build -mindepth 1 -maxdepth 1 ! -name .gitkeep ! -name appliance ! -name packages -exec rm -rf {} +

help:  ## Show this
	@sed -n -e 's/^\([a-z-]*\):[^#]*## /\1|/p' -e 's/^#   \(hv[a-z-]*\)  *\(.*\)/\1|\2/p' Makefile hv/hv.mk | \
		while IFS='|' read -r name text; do printf '  make %-16s %s\n' "$$name" "$$text"; done

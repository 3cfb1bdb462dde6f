# SPDX-License-Identifier: MIT
# The whole workflow; `make help` lists the verbs.
#
#   build/bin/tm                     the command line
#   build/lib/libtm.so               the engine, as the debugger scripts load it
#   build/lib/libtm-preload.so       what `tm run` puts before the traced program
#   build/lib/python/tm/             the Python package, with one _tm.<ABI>.so for each interpreter of PYTHONS
#   build/obj/, build/tests/         objects, C unit tests
#
# The tools find one another by these relative places, so that a build can be moved or installed anywhere.

PYTHONS ?= python3
BUILD ?= build
PREFIX ?= /usr/local
# GDB looks here, and nowhere else, for what belongs to a library; its own prefix counts, not ours.
GDB_AUTOLOAD ?= $(PREFIX)/share/gdb/auto-load
FUZZ_S ?= 60
STORM_N ?= 1000
WERROR ?= -Werror
SANITIZE ?=
ifeq ($(origin CC),default)
CC := gcc
endif

# Verbs that build on the way use all cores, unless the caller chose with -j.
JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
# Tests on all processors (pytest-xdist).  Each file of them stays in one process, which makes what they share once.
PARALLEL = --numprocesses=$(shell nproc) --dist=loadfile
# Short lines unless V=1.
Q := $(if $(V),,@)

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

# ---- what is built from what -----------------------------------------------------------------------------------

PACKAGES := libelf libdw json-c libzstd liblz4 liblzma zlib smartcols libprotobuf-c
ENGINE_SOURCES := $(filter-out reader/main.c,$(wildcard reader/*.c))
RUNTIME_SOURCES := $(filter-out runtime/preload.c,$(wildcard runtime/*.c))
BINDING_SOURCES := $(wildcard runtime/python/engine/*.c)
PACKAGE_FILES := $(shell find runtime/python/tm -name '*.py' -o -name '*.pyi' -o -name py.typed 2>/dev/null)
# What tm.Snapshot needs of the engine is linked into its extension: no library has to be found, no libelf to be there.
SNAPSHOT_SOURCES := $(patsubst %,reader/%.c,cache capture differences error filters layout_chunk layout_decoder \
    layout_map layout_root layout_totals model statistics string_table target text wildcard windows)
UNIT_SOURCES := $(wildcard tests/*/test_*.c)
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz_*.c)

WARNINGS := -Wall -Wextra $(WERROR)
COMMON := -std=gnu11 -O2 -g -fPIC -fvisibility=hidden $(WARNINGS) -I. -iquote $(BUILD)/gen $(SANITIZE)
ENGINE_FLAGS = $(COMMON) $(PACKAGE_CFLAGS)
ENGINE_LIBS = $(PACKAGE_LIBS) -pthread -ldl -lm
RUNTIME_FLAGS := $(COMMON) -ftls-model=initial-exec
RUNTIME_LIBS := -pthread -ldl

# Made by `make web`, taken if it is there: the engine builds without npm.  Tests of what is put into the page do with the
# bare one.
PAGE := $(or $(wildcard build/web/page.html),$(if $(SANITIZE),web/page.html))
PAGE_FLAGS := $(if $(PAGE),-DTM_HTML_PAGE='"$(PAGE)"')

OBJ := $(BUILD)/obj
LIB := $(BUILD)/lib
ENGINE_OBJECTS := $(ENGINE_SOURCES:%.c=$(OBJ)/%.o) $(OBJ)/gen/profile.pb-c.o
UNITS := $(UNIT_SOURCES:%.c=$(BUILD)/%)
PACKAGE := $(PACKAGE_FILES:runtime/python/%=$(LIB)/python/%)

# Interpreters and libraries are asked only for verbs that compile here: the others must work where neither exists.
LIGHT := help demo test test-browser web bench storm fuzz test-newest test-machine test-free-threaded sanitize lint format check clean needs
ifneq ($(filter-out $(LIGHT),$(or $(MAKECMDGOALS),all)),)
FACTS := $(shell tools/python-facts $(PYTHONS))
ifneq ($(.SHELLSTATUS),0)
$(error $(FACTS))
endif
MISSING := $(shell tools/needs --check build)
ifneq ($(MISSING),)
$(error not installed: $(MISSING).  `make needs` installs what a build needs)
endif
PACKAGE_CFLAGS := $(shell pkg-config --cflags $(PACKAGES))
PACKAGE_LIBS := $(shell pkg-config --libs $(PACKAGES))
endif

# ---- verbs -----------------------------------------------------------------------------------------------------

.PHONY: all
all: $(BUILD)/bin/tm $(LIB)/libtm.so $(LIB)/libtm-preload.so $(PACKAGE) ## build for PYTHONS (names or paths; default python3) into build/

.PHONY: help
help: ## list the verbs
	@echo 'make [VERB] [PYTHONS="python3.11 /opt/py/bin/python3.12"] [CC=clang]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: needs
needs: ## install what a build needs (Debian, Ubuntu); says what before it does
	@tools/needs build

.PHONY: demo
demo: ## a leaking service, its core, and the leaking line: command line, GDB, LLDB
	@tools/needs build demo
	@$(MAKE) --no-print-directory $(JOBS) all PYTHONS='$(PYTHONS)'
	@core-samples/demo.sh $(firstword $(PYTHONS))

.PHONY: test
test: ## all tests, on every CPython that is found (TEST_PYTHONS names others, ARGS goes to pytest)
	@tools/needs build test
	@! command -v npm >/dev/null || tools/web || echo 'no page for tm export --format html: npm did not work'
	@$(MAKE) --no-print-directory $(JOBS) all units PYTHONS="$${TEST_PYTHONS:-$$(tools/python-facts --found | paste -s -d ' ')} $$(tools/python-with pytest)"
	@$(MAKE) --no-print-directory $(JOBS) build-sanitize
	@tools/pytest $(PARALLEL) $(ARGS)

.PHONY: test-browser
test-browser: ## the page of tm export in a headless Chromium (installs it, and npm, if they are missing: minutes)
	@tools/needs build test web browser
	@tools/web
	@$(MAKE) --no-print-directory $(JOBS) all PYTHONS='$(PYTHONS)'
	@$(MAKE) --no-print-directory $(JOBS) build-sanitize
	@tools/pytest tests/export $(ARGS)

.PHONY: units
units: $(UNITS) ## compile the C unit tests into build/tests/

.PHONY: sanitize
sanitize: ## compile engine and unit tests with ASan and UBSan into build/sanitize/, and run the unit tests
	@tools/needs build test
	@$(MAKE) --no-print-directory $(JOBS) build-sanitize
	@tools/pytest tests/test_units.py -k sanitize $(ARGS)

# The sanitised engine comes with its own command line, for tests that want to feed it broken files.
.PHONY: build-sanitize
build-sanitize:
	@$(MAKE) --no-print-directory BUILD=build/sanitize units build/sanitize/bin/tm build/sanitize/lib/libtm.so \
	    SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer'

.PHONY: web
web: ## make the page of `tm export --format html` (needs npm), and the engine with it
	@tools/needs build web
	@tools/web
	@$(MAKE) --no-print-directory $(JOBS) all PYTHONS='$(PYTHONS)'

.PHONY: bench
bench: ## slowdown and memory, against untraced and against tracemalloc
	@tools/needs build
	@$(MAKE) --no-print-directory $(JOBS) all PYTHONS='$(PYTHONS)'
	@$(firstword $(PYTHONS)) bench/bench.py $(ARGS)

.PHONY: bench-reader
bench-reader: all ## how fast the reader answers on a big table
	@$(firstword $(PYTHONS)) bench/bench_reader.py $(ARGS)

.PHONY: bench-debuggers
bench-debuggers: all ## how fast tm answers in GDB and LLDB on a big core
	@$(firstword $(PYTHONS)) bench/bench_debuggers.py $(ARGS)

.PHONY: storm
storm: ## crash a traced storm STORM_N times (default 1000), cut and bend what is left; all long forms, with their numbers
	@tools/needs build test
	@$(MAKE) --no-print-directory $(JOBS) all PYTHONS='$(PYTHONS)'
	@$(MAKE) --no-print-directory $(JOBS) build-sanitize
	@STORM_N=$(STORM_N) TM_LONG=1 PYTEST_TIMEOUT=3600 tools/pytest -rPs tests/storm tests/runtime $(ARGS)

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZ_S seconds (default 60) under ASan and UBSan, on all processors
	@tools/needs build fuzz
	@$(MAKE) --no-print-directory $(JOBS) BUILD=build/fuzz CC=clang WERROR= fuzz-targets \
	    SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer'
	@tools/fuzz $(FUZZ_S)

.PHONY: fuzz-targets
fuzz-targets: $(FUZZ_SOURCES:%.c=$(BUILD)/%)

.PHONY: test-newest
test-newest: ## the tests on the newest CPythons, in a chroot of Debian sid (needs root)
	@tools/test-newest $(ARGS)

.PHONY: test-machine
test-machine: ## systemd, OOM killer, Docker and Kubernetes, on a Debian in QEMU (needs root; half an hour and more)
	@tools/test-machine $(ARGS)

.PHONY: test-free-threaded
test-free-threaded: ## the tests of the runtime on free-threaded CPythons, built from Debian's sources (needs no root)
	@tools/test-free-threaded $(ARGS)

.PHONY: lint
lint: ## clang-format, clang-tidy, cppcheck, shellcheck, pyflakes: silent when all is well
	@tools/needs build lint
	@$(MAKE) --no-print-directory build/gen/profile.pb-c.c
	@tools/lint

.PHONY: format
format: ## let clang-format write the C files
	@clang-format -i $$(find runtime reader tests bench -name '*.[ch]')

.PHONY: check
check: ## lint, sanitize and test: what to run before a commit
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory sanitize
	@$(MAKE) --no-print-directory test

.PHONY: install
install: all ## install below PREFIX (default /usr/local); honours DESTDIR; can be moved later
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/python/tm
	install -d $(DESTDIR)$(PREFIX)/share/tm/gdb $(DESTDIR)$(PREFIX)/share/tm/lldb
	install $(BUILD)/bin/tm $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(LIB)/libtm.so $(LIB)/libtm-preload.so $(DESTDIR)$(PREFIX)/lib/
	cd $(LIB)/python && find tm -type f ! -name '*.pyc' -exec install -m 644 -D '{}' '$(abspath $(DESTDIR)$(PREFIX))/lib/python/{}' ';'
	install -m 644 reader/*.py $(DESTDIR)$(PREFIX)/share/tm/
	install -m 644 gdb/*.py $(DESTDIR)$(PREFIX)/share/tm/gdb/
	install -m 644 lldb/*.py $(DESTDIR)$(PREFIX)/share/tm/lldb/
	install gdb/tm-gdb lldb/tm-lldb $(DESTDIR)$(PREFIX)/bin/
	for library in libtm-preload.so $$(cd $(LIB) && echo python/tm/_tm.*.so); do \
	    install -m 644 -D gdb/autoload.py "$(DESTDIR)$(GDB_AUTOLOAD)$(PREFIX)/lib/$$library-gdb.py"; done

.PHONY: clean
clean: ## remove build/
	rm -rf $(BUILD)

# ---- rules -----------------------------------------------------------------------------------------------------

# Another compiler or other flags: compile anew.  The files change only when their content does.
.PHONY: FORCE
$(OBJ)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(CC) $(ENGINE_FLAGS) $(RUNTIME_FLAGS)' | cmp -s - $@ || printf '%s\n' '$(CC) $(ENGINE_FLAGS) $(RUNTIME_FLAGS)' >$@

$(OBJ)/reader/%.o: reader/%.c $(OBJ)/flags
	@mkdir -p $(@D)
	@echo '  compile $@'
	$(Q)$(CC) $(ENGINE_FLAGS) $(CFLAGS) $(if $(filter %/page.o,$@),$(PAGE_FLAGS)) -MMD -MP -c $< -o $@
$(OBJ)/reader/page.o: $(PAGE)

# Newer versions of protobuf-c have only the plug-in of protoc.
$(BUILD)/gen/profile.pb-c.c: reader/profile.proto
	@mkdir -p $(@D)
	@echo '  make    $@'
	$(Q)if command -v protoc-c >/dev/null; then protoc-c --c_out=$(@D) -Ireader $<; else protoc --c_out=$(@D) -Ireader $<; fi
$(BUILD)/gen/profile.pb-c.h: $(BUILD)/gen/profile.pb-c.c ;
$(OBJ)/reader/export_pprof.o: $(BUILD)/gen/profile.pb-c.h

$(OBJ)/gen/%.o: $(BUILD)/gen/%.c $(OBJ)/flags
	@mkdir -p $(@D)
	@echo '  compile $@'
	$(Q)$(CC) $(ENGINE_FLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(OBJ)/tests/%.o: tests/%.c $(OBJ)/flags
	@mkdir -p $(@D)
	@echo '  compile $@'
	$(Q)$(CC) $(ENGINE_FLAGS) -iquote reader -iquote $(<D) $(CFLAGS) -MMD -MP -c $< -o $@

$(LIB)/libtm.so: $(ENGINE_OBJECTS)
	@mkdir -p $(@D)
	@echo '  link    $@'
	$(Q)$(CC) -shared $(SANITIZE) $(LDFLAGS) -Wl,-soname,libtm.so $^ $(ENGINE_LIBS) -o $@

$(BUILD)/bin/tm: $(OBJ)/reader/main.o $(ENGINE_OBJECTS)
	@mkdir -p $(@D)
	@echo '  link    $@'
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) $^ $(ENGINE_LIBS) -o $@

# No symbol of Python: it is loaded into the shells and helpers of a traced program too.
$(LIB)/libtm-preload.so: runtime/preload.c $(OBJ)/flags
	@mkdir -p $(@D) $(OBJ)/runtime
	@echo '  link    $@'
	$(Q)$(CC) -shared $(RUNTIME_FLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -MF $(OBJ)/runtime/preload.d $< $(RUNTIME_LIBS) -o $@

$(LIB)/python/%: runtime/python/%
	@mkdir -p $(@D)
	@install -m 644 $< $@

# extension FACT: the rules for one interpreter.  Two interpreters with the same ABI share an extension; the headers
# of the first one count.
define extension
$(eval words := $(subst |, ,$(1)))
$(eval suffix := $(word 2,$(words)))
ifndef extension$(suffix)
extension$(suffix) := 1
all: $(LIB)/python/tm/_tm$(suffix) $(LIB)/python/tm/_engine$(suffix)
$(LIB)/python/tm/_tm$(suffix): $(RUNTIME_SOURCES:runtime/%.c=$(OBJ)/runtime$(suffix:.so=)/%.o)
	@mkdir -p $$(@D)
	@echo '  link    $$@'
	$$(Q)$$(CC) -shared $$(SANITIZE) $$(LDFLAGS) $$^ $$(RUNTIME_LIBS) -o $$@
$(LIB)/python/tm/_engine$(suffix): $(BINDING_SOURCES:runtime/%.c=$(OBJ)/runtime$(suffix:.so=)/%.o) $(SNAPSHOT_SOURCES:%.c=$(OBJ)/%.o)
	@mkdir -p $$(@D)
	@echo '  link    $$@'
	$$(Q)$$(CC) -shared $$(SANITIZE) $$(LDFLAGS) $$^ -o $$@
$(OBJ)/runtime$(suffix:.so=)/%.o: runtime/%.c $(OBJ)/flags
	@mkdir -p $$(@D)
	@echo '  compile $$@'
	$$(Q)$$(CC) $$(RUNTIME_FLAGS) -isystem $(word 3,$(words)) $(word 4,$(words)) $$(CFLAGS) -MD -MP -c $$< -o $$@
endif
endef
$(foreach fact,$(FACTS),$(eval $(call extension,$(fact))))

# What a folder of tests has beside its test_*.c is at the disposal of each of them.
define unit
$(BUILD)/$(1): $(OBJ)/$(1).o $(patsubst %.c,$(OBJ)/%.o,$(filter-out $(dir $(1))test_%.c,$(wildcard $(dir $(1))*.c))) $(ENGINE_OBJECTS)
	@mkdir -p $$(@D)
	@echo '  link    $$@'
	$$(Q)$$(CC) $$(SANITIZE) $$(LDFLAGS) $$^ $$(ENGINE_LIBS) -lcmocka -o $$@
endef
$(foreach source,$(UNIT_SOURCES),$(eval $(call unit,$(source:.c=))))

$(BUILD)/tests/fuzz/%: $(OBJ)/tests/fuzz/%.o $(ENGINE_OBJECTS)
	@mkdir -p $(@D)
	@echo '  link    $@'
	$(Q)$(CC) -fsanitize=fuzzer $(SANITIZE) $(LDFLAGS) $^ $(ENGINE_LIBS) -o $@

# The oracle of tests/layout: prints the compiled structs of runtime/layout.h as DWARF has them.
$(BUILD)/tests/layout/dump_layout: $(OBJ)/tests/layout/dump_layout.o
	@mkdir -p $(@D)
	@echo '  link    $@'
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS) $^ $(ENGINE_LIBS) -o $@
ifneq ($(wildcard tests/layout/dump_layout.c),)
units: $(BUILD)/tests/layout/dump_layout
endif

.PRECIOUS: $(OBJ)/tests/%.o
-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)

# How the hypervisor and its guests are built. Included by the Makefile at the top.
#
#   hv                all images and guests, into build/
#                     (vanderpool.elf, vanderpool-selftest.elf, vanderpool-vmentry.elf, probe.elf,
#                     guests/*.bin, and the programs that real systems run as guests)
#   hv-warnings       the same sources with every warning an error
#   hv-format-check   clang-format over hv/ (CLANG_FORMAT names the program)

# Where everything goes. `make coverage` sets this and COVERAGE=1: images that count what they execute.
OUT     ?= build
CC      := $(CROSS_COMPILE)gcc
OBJCOPY := $(CROSS_COMPILE)objcopy
PYTHON  ?= python3
CLANG_FORMAT ?= .venv/bin/clang-format

# Warnings that point at real mistakes; `make check` turns them into errors.
HV_WARNINGS := -Wall -Wextra -Wshadow -Wundef -Wvla -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wwrite-strings -Wimplicit-fallthrough -Wswitch-enum -Wformat=2

# No SSE or x87 in the hypervisor: those registers belong to the guest that ran last.
# No red zone: exceptions push onto the stack that they interrupt. That needs no alignment by 16 either.
# The prefix map keeps this directory's name out of the image: same source, same bytes.
HV_CFLAGS := -std=gnu17 -O2 -g -ffreestanding -fno-pic -fno-pie -fno-common -fno-stack-protector \
	-fno-omit-frame-pointer -fno-asynchronous-unwind-tables -fno-strict-aliasing \
	-fcf-protection=none -m64 -mno-red-zone -mgeneral-regs-only -mpreferred-stack-boundary=3 \
	-ffile-prefix-map='$(CURDIR)=.' -Ihv -I$(OUT)/hv $(HV_WARNINGS)
HV_LDFLAGS := -static -nostdlib -no-pie -Wl,--build-id=sha1 -Wl,-z,max-page-size=0x1000 \
	-Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -Wl,--orphan-handling=error

# Counters in memory, and no library to collect them: harness/coverage.py reads them out of the machine.
# Its functions would merge counters with a file's; only that they are named is of use here.
HV_COUNTING := -fprofile-arcs -ftest-coverage -fprofile-info-section
HV_COUNTED  := core cpu vmx svm vm dev
ifdef COVERAGE
HV_LDFLAGS += -Wl,-T,hv/boot/coverage.ld -Wl,--defsym=__gcov_merge_add=1
counting = $(if $(filter $(HV_COUNTED:%=hv/%/%) hv/main.c hv/debug.c,$(1)),$(HV_COUNTING))
endif

# V=1 shows whole commands.
Q := $(if $(V),,@)
say = @printf '  %-3s %s\n' $(1) $(2)

hv_sources = $(sort $(foreach dir,$(1),$(wildcard hv/$(dir)/*.c hv/$(dir)/*.S)))
hv_objects = $(patsubst hv/%,$(OUT)/hv/%.o,$(1))

# What every image of ours starts with: from the loader to C, console, records, power.
HV_CORE   := $(call hv_sources,boot core cpu)
HV_IMAGE  := $(HV_CORE) hv/main.c hv/debug.c $(filter-out %/offsets.c,$(call hv_sources,vmx svm vm dev))
# The hypervisor with self-tests instead of its main: the product carries none of them.
HV_SELFTEST := $(filter-out hv/main.c,$(HV_IMAGE)) $(call hv_sources,selftest)
# The hypervisor's VMX under what `hv fuzz vmentry` sends, instead of its main.
HV_VMENTRY := $(filter-out hv/main.c,$(HV_IMAGE)) $(call hv_sources,vmentry)
HV_PROBE  := $(HV_CORE) hv/probe.c hv/vmx/capabilities.c hv/svm/capabilities.c
# A guest is one C file, linked with the runtime, or one assembly file alone. Those that start in real
# mode are linked elsewhere.
HV_GUEST_RUNTIME := hv/guests/runtime.S hv/guests/runtime.c hv/guests/interrupts.c
HV_GUESTS := $(basename $(notdir $(filter-out $(HV_GUEST_RUNTIME),$(wildcard hv/guests/*.c hv/guests/*.S))))
HV_REAL_GUESTS := modes events-real

# Real systems as guests (`make guests` fetches them) run first programs of ours: of Linux, static and
# without a C library; of GNU Mach, 32-bit.
HV_LINUX_PROGRAMS := init shell
HV_LINUX_SHARED   := hv/guests/linux/start.S hv/guests/linux/system.c
HV_PROGRAM_FLAGS  := -static -nostdlib -no-pie -Wl,--build-id=none -Wl,-z,noexecstack

# The shell's archive needs what `make guests` fetches: without it there is none.
HV_FETCHED := $(if $(wildcard $(OUT)/guests/busybox),$(OUT)/guests/linux-shell.cpio)

HV_C_SOURCES := $(wildcard hv/*.c hv/*/*.c hv/guests/*/*.c)
HV_ALL_OBJECTS := $(call hv_objects,$(sort $(HV_IMAGE) $(HV_SELFTEST) $(HV_VMENTRY) $(HV_PROBE) $(wildcard hv/guests/*.c hv/guests/*.S hv/guests/*/*.c hv/guests/*/*.S)))

.PHONY: hv hv-warnings hv-format-check hv-format
hv: $(OUT)/vanderpool.elf $(OUT)/vanderpool-selftest.elf $(OUT)/vanderpool-vmentry.elf $(OUT)/probe.elf $(HV_GUESTS:%=$(OUT)/guests/%.bin) $(HV_LINUX_PROGRAMS:%=$(OUT)/guests/linux-%.elf) $(OUT)/guests/linux-init.cpio $(OUT)/guests/mach-task.elf $(HV_FETCHED) $(OUT)/compile_commands.json

$(OUT)/vanderpool.elf: $(call hv_objects,$(HV_IMAGE)) hv/boot/image.ld hv/hv.mk
	$(call say,LD,$@)
	$(Q)$(CC) $(HV_LDFLAGS) -Wl,-T,hv/boot/image.ld -o $@ $(filter %.o,$^)

$(OUT)/vanderpool-selftest.elf: $(call hv_objects,$(HV_SELFTEST)) hv/boot/image.ld hv/selftest/table.ld hv/hv.mk
	$(call say,LD,$@)
	$(Q)$(CC) $(HV_LDFLAGS) -Wl,-T,hv/selftest/table.ld -Wl,-T,hv/boot/image.ld -o $@ $(filter %.o,$^)

$(OUT)/vanderpool-vmentry.elf: $(call hv_objects,$(HV_VMENTRY)) hv/boot/image.ld hv/hv.mk
	$(call say,LD,$@)
	$(Q)$(CC) $(HV_LDFLAGS) -Wl,-T,hv/boot/image.ld -o $@ $(filter %.o,$^)

$(OUT)/probe.elf: $(call hv_objects,$(HV_PROBE)) hv/boot/image.ld hv/hv.mk
	$(call say,LD,$@)
	$(Q)$(CC) $(HV_LDFLAGS) -Wl,-T,hv/boot/image.ld -o $@ $(filter %.o,$^)

$(OUT)/guests/%.elf: $(OUT)/hv/guests/%.c.o $(call hv_objects,$(HV_GUEST_RUNTIME)) hv/guests/guest.ld hv/hv.mk
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(HV_LDFLAGS) -Wl,-T,hv/guests/guest.ld -o $@ $(filter %.o,$^)

$(HV_REAL_GUESTS:%=$(OUT)/guests/%.elf): $(OUT)/guests/%.elf: $(OUT)/hv/guests/%.S.o hv/guests/real.ld hv/hv.mk
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(HV_LDFLAGS) -Wl,-T,hv/guests/real.ld -o $@ $(filter %.o,$^)

$(OUT)/guests/%.elf: $(OUT)/hv/guests/%.S.o hv/guests/guest.ld hv/hv.mk
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(HV_LDFLAGS) -Wl,-T,hv/guests/guest.ld -o $@ $(filter %.o,$^)

$(HV_LINUX_PROGRAMS:%=$(OUT)/guests/linux-%.elf): $(OUT)/guests/linux-%.elf: $(OUT)/hv/guests/linux/%.c.o $(call hv_objects,$(HV_LINUX_SHARED)) hv/hv.mk
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(HV_PROGRAM_FLAGS) -o $@ $(filter %.o,$^)
$(OUT)/guests/linux-init.elf: $(OUT)/hv/guests/linux/sha256.c.o

$(OUT)/guests/linux-init.cpio: $(OUT)/guests/linux-init.elf harness/cpio.py hv/hv.mk
	$(call say,CPI,$@)
	$(Q)$(PYTHON) -ES -m harness.cpio $@ init=$< dev/console=c5:1

$(OUT)/guests/linux-shell.cpio: $(OUT)/guests/linux-shell.elf $(OUT)/guests/busybox harness/cpio.py hv/hv.mk
	$(call say,CPI,$@)
	$(Q)$(PYTHON) -ES -m harness.cpio $@ init=$< bin/busybox=$(OUT)/guests/busybox bin/sh=@busybox \
		dev/console=c5:1 proc=/ sys=/

$(OUT)/hv/guests/mach/%.o: HV_CFLAGS += -m32
$(OUT)/guests/mach-task.elf: $(OUT)/hv/guests/mach/traps.S.o $(OUT)/hv/guests/mach/task.c.o hv/hv.mk
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -m32 $(HV_PROGRAM_FLAGS) -o $@ $(filter %.o,$^)

# Kept, although only a step: symbols for debugging, objects for the next build.
.SECONDARY:

# A flat image: its first byte is its entry point. The ELF stays beside it for its symbols.
$(OUT)/guests/%.bin: $(OUT)/guests/%.elf
	$(Q)$(OBJCOPY) -O binary $< $@

$(OUT)/hv/%.c.o: hv/%.c hv/hv.mk
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(HV_CFLAGS) $(call counting,$<) -MMD -MP -c -o $@ $<

$(OUT)/hv/%.S.o: hv/%.S hv/hv.mk
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(HV_CFLAGS) -MMD -MP -c -o $@ $<

# Assembly takes structure offsets from C: offsets.c becomes a header of #defines.
HV_OFFSETS := $(OUT)/hv/vmx/asm_offsets.h $(OUT)/hv/svm/asm_offsets.h
$(HV_OFFSETS): $(OUT)/hv/%/asm_offsets.h: hv/%/offsets.c hv/hv.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(HV_CFLAGS) -MMD -MP -MT $@ -MF $@.d -S -o - $< | \
		sed -n 's/^.*@offset \([A-Z_0-9]*\) \$$*\([0-9]*\).*$$/#define \1 \2/p' > $@.tmp
	@mv $@.tmp $@
$(patsubst %,$(OUT)/hv/%.o,vmx/entry.S selftest/enter.S): $(OUT)/hv/vmx/asm_offsets.h
$(OUT)/hv/svm/entry.S.o: $(OUT)/hv/svm/asm_offsets.h

# clangd finds this one by itself.
$(OUT)/compile_commands.json: hv/hv.mk $(HV_C_SOURCES)
	@{ echo '['; separator=; for source in $(HV_C_SOURCES); do \
		printf '%s{"directory": "%s", "file": "%s", "command": "%s"}' \
			"$$separator" "$(CURDIR)" "$$source" "$(CC) $(HV_CFLAGS) -c $$source"; \
		separator=',\n'; done | sed 's/\\n/\n/g'; printf '\n]\n'; } > $@

hv-warnings: $(HV_OFFSETS)
	@for source in $(sort $(HV_IMAGE) $(HV_SELFTEST) $(HV_VMENTRY) $(HV_PROBE) $(wildcard hv/guests/*.c hv/guests/*/*.c)); do \
		case $$source in hv/guests/mach/*) bits=-m32;; *) bits=;; esac; \
		case $$source in *.c) $(CC) $(HV_CFLAGS) $$bits -Werror -fsyntax-only $$source || exit 1;; esac; done

hv-format-check:
	@$(CLANG_FORMAT) --dry-run -Werror $(HV_C_SOURCES) $(wildcard hv/*.h hv/*/*.h hv/guests/*/*.h)

hv-format:
	@$(CLANG_FORMAT) -i $(HV_C_SOURCES) $(wildcard hv/*.h hv/*/*.h hv/guests/*/*.h)

-include $(HV_ALL_OBJECTS:.o=.d) $(HV_OFFSETS:%=%.d)

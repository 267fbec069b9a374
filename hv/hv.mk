# How the hypervisor and its guests are built. Included by the Makefile at the top.
#
#   hv                all images: build/vanderpool.elf, build/vanderpool-selftest.elf,
#                     build/probe.elf, build/guests/*.bin
#   hv-warnings       the same sources with every warning an error
#   hv-format-check   clang-format over hv/ (CLANG_FORMAT names the program)

CC      := $(CROSS_COMPILE)gcc
OBJCOPY := $(CROSS_COMPILE)objcopy
CLANG_FORMAT ?= .venv/bin/clang-format

# Warnings that point at real mistakes; `make check` turns them into errors.
HV_WARNINGS := -Wall -Wextra -Wshadow -Wundef -Wvla -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wwrite-strings -Wimplicit-fallthrough -Wswitch-enum -Wformat=2

# No SSE or x87 in the hypervisor: those registers belong to the guest that ran last.
# No red zone: exceptions push onto the stack that they interrupt.
# The prefix map keeps this directory's name out of the image: same source, same bytes.
HV_CFLAGS := -std=gnu17 -O2 -g -ffreestanding -fno-pic -fno-pie -fno-common -fno-stack-protector \
	-fno-omit-frame-pointer -fno-asynchronous-unwind-tables -fno-strict-aliasing \
	-fcf-protection=none -m64 -mno-red-zone -mgeneral-regs-only \
	-ffile-prefix-map='$(CURDIR)=.' -Ihv -Ibuild/hv $(HV_WARNINGS)
HV_LDFLAGS := -static -nostdlib -no-pie -Wl,--build-id=sha1 -Wl,-z,max-page-size=0x1000 \
	-Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -Wl,--orphan-handling=error

# V=1 shows whole commands.
Q := $(if $(V),,@)
say = @printf '  %-3s %s\n' $(1) $(2)

hv_sources = $(sort $(foreach dir,$(1),$(wildcard hv/$(dir)/*.c hv/$(dir)/*.S)))
hv_objects = $(patsubst hv/%,build/hv/%.o,$(1))

# What every image of ours starts with: from the loader to C, console, records, power.
HV_CORE   := $(call hv_sources,boot core cpu)
HV_IMAGE  := $(HV_CORE) hv/main.c hv/debug.c $(filter-out %/offsets.c,$(call hv_sources,vmx svm vm dev))
# The hypervisor with self-tests instead of its main: the product carries none of them.
HV_SELFTEST := $(filter-out hv/main.c,$(HV_IMAGE)) $(call hv_sources,selftest)
HV_PROBE  := $(HV_CORE) hv/probe.c hv/vmx/capabilities.c hv/svm/capabilities.c
# A guest is one C file, linked with the runtime, or one assembly file alone. Those that start in real
# mode are linked elsewhere.
HV_GUEST_RUNTIME := hv/guests/runtime.S hv/guests/runtime.c hv/guests/interrupts.c
HV_GUESTS := $(basename $(notdir $(filter-out $(HV_GUEST_RUNTIME),$(wildcard hv/guests/*.c hv/guests/*.S))))
HV_REAL_GUESTS := modes events-real

HV_C_SOURCES := $(wildcard hv/*.c hv/*/*.c)
HV_ALL_OBJECTS := $(call hv_objects,$(sort $(HV_IMAGE) $(HV_SELFTEST) $(HV_PROBE) $(wildcard hv/guests/*.c hv/guests/*.S)))

.PHONY: hv hv-warnings hv-format-check hv-format
hv: build/vanderpool.elf build/vanderpool-selftest.elf build/probe.elf $(HV_GUESTS:%=build/guests/%.bin) build/compile_commands.json

build/vanderpool.elf: $(call hv_objects,$(HV_IMAGE)) hv/boot/image.ld hv/hv.mk
	$(call say,LD,$@)
	$(Q)$(CC) $(HV_LDFLAGS) -Wl,-T,hv/boot/image.ld -o $@ $(filter %.o,$^)

build/vanderpool-selftest.elf: $(call hv_objects,$(HV_SELFTEST)) hv/boot/image.ld hv/selftest/table.ld hv/hv.mk
	$(call say,LD,$@)
	$(Q)$(CC) $(HV_LDFLAGS) -Wl,-T,hv/selftest/table.ld -Wl,-T,hv/boot/image.ld -o $@ $(filter %.o,$^)

build/probe.elf: $(call hv_objects,$(HV_PROBE)) hv/boot/image.ld hv/hv.mk
	$(call say,LD,$@)
	$(Q)$(CC) $(HV_LDFLAGS) -Wl,-T,hv/boot/image.ld -o $@ $(filter %.o,$^)

build/guests/%.elf: build/hv/guests/%.c.o $(call hv_objects,$(HV_GUEST_RUNTIME)) hv/guests/guest.ld hv/hv.mk
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(HV_LDFLAGS) -Wl,-T,hv/guests/guest.ld -o $@ $(filter %.o,$^)

$(HV_REAL_GUESTS:%=build/guests/%.elf): build/guests/%.elf: build/hv/guests/%.S.o hv/guests/real.ld hv/hv.mk
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(HV_LDFLAGS) -Wl,-T,hv/guests/real.ld -o $@ $(filter %.o,$^)

build/guests/%.elf: build/hv/guests/%.S.o hv/guests/guest.ld hv/hv.mk
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(HV_LDFLAGS) -Wl,-T,hv/guests/guest.ld -o $@ $(filter %.o,$^)

# Kept, although only a step: symbols for debugging, objects for the next build.
.SECONDARY:

# A flat image: its first byte is its entry point. The ELF stays beside it for its symbols.
build/guests/%.bin: build/guests/%.elf
	$(Q)$(OBJCOPY) -O binary $< $@

build/hv/%.c.o: hv/%.c hv/hv.mk
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(HV_CFLAGS) -MMD -MP -c -o $@ $<

build/hv/%.S.o: hv/%.S hv/hv.mk
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(HV_CFLAGS) -MMD -MP -c -o $@ $<

# Assembly takes structure offsets from C: offsets.c becomes a header of #defines.
HV_OFFSETS := build/hv/vmx/asm_offsets.h build/hv/svm/asm_offsets.h
$(HV_OFFSETS): build/hv/%/asm_offsets.h: hv/%/offsets.c hv/hv.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(HV_CFLAGS) -MMD -MP -MT $@ -MF $@.d -S -o - $< | \
		sed -n 's/^.*@offset \([A-Z_0-9]*\) \$$*\([0-9]*\).*$$/#define \1 \2/p' > $@.tmp
	@mv $@.tmp $@
$(patsubst %,build/hv/%.o,vmx/entry.S selftest/enter.S): build/hv/vmx/asm_offsets.h
build/hv/svm/entry.S.o: build/hv/svm/asm_offsets.h

# clangd finds this one by itself.
build/compile_commands.json: hv/hv.mk $(HV_C_SOURCES)
	@{ echo '['; separator=; for source in $(HV_C_SOURCES); do \
		printf '%s{"directory": "%s", "file": "%s", "command": "%s"}' \
			"$$separator" "$(CURDIR)" "$$source" "$(CC) $(HV_CFLAGS) -c $$source"; \
		separator=',\n'; done | sed 's/\\n/\n/g'; printf '\n]\n'; } > $@

hv-warnings: $(HV_OFFSETS)
	@for source in $(sort $(HV_IMAGE) $(HV_SELFTEST) $(HV_PROBE) $(wildcard hv/guests/*.c)); do \
		case $$source in *.c) $(CC) $(HV_CFLAGS) -Werror -fsyntax-only $$source || exit 1;; esac; done

hv-format-check:
	@$(CLANG_FORMAT) --dry-run -Werror $(HV_C_SOURCES) $(wildcard hv/*.h hv/*/*.h)

hv-format:
	@$(CLANG_FORMAT) -i $(HV_C_SOURCES) $(wildcard hv/*.h hv/*/*.h)

-include $(HV_ALL_OBJECTS:.o=.d) $(HV_OFFSETS:%=%.d)

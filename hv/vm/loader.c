#include "vm/loader.h"

#include <stdarg.h>

#include "core/format.h"
#include "core/string.h"
#include "vm/load_help.h"

#define DATA 0x00cf93000000ffff

static void refuse_because(struct load_refusal *refusal, const char *reason,
                           const char *format_text, va_list arguments) {
    refusal->reason = reason;
    format_list(refusal->message, sizeof refusal->message, format_text, arguments);
}

bool load_refuse_image(struct load_refusal *refusal, const char *format_text, ...) {
    va_list arguments;
    va_start(arguments, format_text);
    refuse_because(refusal, "bad-image", format_text, arguments);
    va_end(arguments);
    return false;
}

bool load_refuse_size(struct load_refusal *refusal, const char *format_text, ...) {
    va_list arguments;
    va_start(arguments, format_text);
    refuse_because(refusal, "too-big", format_text, arguments);
    va_end(arguments);
    return false;
}

void load_segments(struct vm *vm, struct vcpu_start *start, uint64_t code) {
    const uint64_t gdt[] = {0, 0, code, DATA};
    memcpy(vm->memory + LOAD_GDT, gdt, sizeof gdt);
    start->gdt_base = LOAD_GDT;
    start->gdt_limit = sizeof gdt - 1;
    start->code_selector = 0x10;
    start->data_selector = 0x18;
}

void load_protected_mode(struct vm *vm, struct vcpu_start *start, uint64_t entry) {
    *start = (struct vcpu_start){.mode = VCPU_PROTECTED, .rip = entry, .rsp = LOAD_STACK_END};
    load_segments(vm, start, LOAD_CODE_32);
}

bool loader_load(struct vm *vm, const struct guest_boot *boot, struct vcpu_start *start,
                 struct load_refusal *refusal) {
    switch (boot->protocol) {
    case BOOT_LINUX: return load_linux(vm, boot, start, refusal);
    case BOOT_MULTIBOOT: return load_multiboot(vm, boot, start, refusal);
    case BOOT_FLAT: break;
    }
    return load_flat(vm, boot, start, refusal);
}

#include "loading.h"

#include <stdio.h>

void loading_begin(struct loading *loading, enum boot_protocol protocol, uint64_t memory) {
    memset(loading, 0, sizeof *loading);
    loading->vm.options.memory = memory;
    loading->vm.options.mode = VCPU_PROTECTED;
    loading->vm.memory = calloc(1, memory);
    loading->boot.protocol = protocol;
    expect(loading->vm.memory);
}

void loading_end(struct loading *loading) {
    free(loading->vm.memory);
}

struct guest_file file_of(const void *bytes, uint64_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    if (bytes) {
        memcpy(copy, bytes, size);
    } else {
        memset(copy, 0xa5, size);
    }
    return (struct guest_file){copy, size};
}

void file_free(struct guest_file *file) {
    free((void *)file->bytes);
    *file = (struct guest_file){0};
}

bool loading_loads(struct loading *loading) {
    loading->refusal = (struct load_refusal){0};
    bool loaded = loader_load(&loading->vm, &loading->boot, &loading->start, &loading->refusal);
    expect(loaded == !loading->refusal.reason);
    expect(loaded || (strlen(loading->refusal.message) > 10 &&
                      (strcmp(loading->refusal.reason, "bad-image") == 0 ||
                       strcmp(loading->refusal.reason, "too-big") == 0)));
    return loaded;
}

void loading_refuses(struct loading *loading, const char *reason, const char *word) {
    bool loaded = loading_loads(loading);
    printf("  %s: %s\n", word, loaded ? "(loaded)" : loading->refusal.message);
    expect(!loaded);
    expect(strcmp(loading->refusal.reason, reason) == 0);
    expect(strstr(loading->refusal.message, word));
}

void *guest_bytes(struct loading *loading, uint64_t address, uint64_t size) {
    expect(address <= loading->vm.options.memory && size <= loading->vm.options.memory - address);
    return loading->vm.memory + address;
}

uint32_t guest_32(struct loading *loading, uint64_t address) {
    uint32_t value;
    memcpy(&value, guest_bytes(loading, address, sizeof value), sizeof value);
    return value;
}

bool guest_is_zero(struct loading *loading, uint64_t from, uint64_t to) {
    const uint8_t *bytes = guest_bytes(loading, from, to - from);
    /* Each byte is like the one before it: much faster than a loop of instrumented reads. */
    return from == to || (!bytes[0] && memcmp(bytes, bytes + 1, to - from - 1) == 0);
}

void expect_protected_mode(struct loading *loading) {
    const struct vcpu_start *start = &loading->start;
    expect_equal(start->mode, VCPU_PROTECTED);
    expect_equal(start->code_selector, 0x10);
    expect_equal(start->data_selector, 0x18);
    expect_equal(start->gdt_limit, 31);
    expect_equal(guest_32(loading, start->gdt_base + 0x14), 0x00cf9b00); /* boot.rst: __BOOT_CS */
    expect_equal(guest_32(loading, start->gdt_base + 0x1c), 0x00cf9300); /* __BOOT_DS */
    expect(start->rsp && start->rsp <= LOW_MEMORY_END);
    expect(guest_is_zero(loading, 0, 0x500));
    expect(guest_is_zero(loading, LOW_MEMORY_END, HIGH_MEMORY_START));
}

void put_number(uint8_t *bytes, uint64_t offset, unsigned width, uint64_t value) {
    for (unsigned i = 0; i < width; i++) {
        bytes[offset + i] = (uint8_t)(value >> 8 * i);
    }
}

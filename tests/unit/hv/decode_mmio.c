/* Which device has an access, and what a device's answer does to a register. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "vm/mmio.h"

static int failures;

static void equal(const char *what, uint64_t is, uint64_t should) {
    if (is != should) {
        printf("%s: 0x%" PRIx64 ", not 0x%" PRIx64 "\n", what, is, should);
        failures++;
    }
}

static void test_find(void) {
    static const struct mmio_device devices[] = {
        {.name = "low", .base = 0x1000, .size = 0x1000},
        {.name = "tiny", .base = 0x2000, .size = 2},
        {.name = "top", .base = UINT64_MAX - 0xffe, .size = 0xfff},
    };
    static const struct {
        uint64_t address;
        uint8_t size;
        const struct mmio_device *device;
    } cases[] = {
        {0xfff, 1, NULL},
        {0xfff, 2, NULL}, /* begins before its device */
        {0x1000, 8, &devices[0]},
        {0x1ff8, 8, &devices[0]},
        {0x1ff9, 8, NULL}, /* from one device into the next */
        {0x1fff, 1, &devices[0]},
        {0x2000, 2, &devices[1]},
        {0x2000, 4, NULL}, /* wider than its device */
        {0x2001, 2, NULL}, /* ends behind it */
        {UINT64_MAX - 1, 2, &devices[2]},
        {UINT64_MAX, 1, &devices[2]}, /* the last byte of the address space */
        {UINT64_MAX, 8, NULL},        /* around its end */
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        equal("device", (uintptr_t)mmio_find(devices, 3, cases[i].address, cases[i].size),
              (uintptr_t)cases[i].device);
    }
    equal("no devices", (uintptr_t)mmio_find(devices, 0, 0x1000, 1), 0);
}

static void test_complete_read(void) {
    enum { SIGNED = true, HIGH = true };
    static const struct {
        uint8_t from, to;
        bool sign_extend, high;
        uint64_t value, result; /* in a register of 0x1122334455667788 */
    } cases[] = {
        {1, 1, 0, 0, 0xffffffffffffffab, 0x11223344556677ab},
        {1, 1, 0, HIGH, 0xffffffffffffffab, 0x112233445566ab88},
        {2, 2, 0, 0, 0xffffffffffffabcd, 0x112233445566abcd},
        {4, 4, 0, 0, 0xfffffffffedcba98, 0xfedcba98},
        {8, 8, 0, 0, 0xfedcba9876543210, 0xfedcba9876543210},
        {1, 2, 0, 0, 0xff80, 0x1122334455660080},
        {1, 2, SIGNED, 0, 0x80, 0x112233445566ff80},
        {1, 2, SIGNED, 0, 0xff7f, 0x112233445566007f},
        {1, 4, SIGNED, 0, 0x80, 0xffffff80},
        {1, 8, SIGNED, 0, 0x80, 0xffffffffffffff80},
        {1, 8, 0, 0, 0xff80, 0x80},
        {2, 4, SIGNED, 0, 0x8000, 0xffff8000},
        {2, 8, SIGNED, 0, 0x7fff, 0x7fff},
        {4, 8, SIGNED, 0, 0x80000000, 0xffffffff80000000},
        {4, 4, SIGNED, 0, 0x80000000, 0x80000000},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct decoded d = {.operand_size = cases[i].from,
                            .destination_size = cases[i].to,
                            .sign_extend = cases[i].sign_extend,
                            .high_byte = cases[i].high,
                            .reg = 3};
        uint64_t registers[16];
        for (unsigned r = 0; r < 16; r++) {
            registers[r] = 0x1122334455667788;
        }
        mmio_complete_read(&d, registers, cases[i].value);
        for (unsigned r = 0; r < 16; r++) {
            equal("register", registers[r], r == 3 ? cases[i].result : 0x1122334455667788);
        }
    }
}

static void test_write_value(void) {
    uint64_t registers[16] = {[2] = 0xfedcba9876543210, [15] = 0x1122334455667788};
    struct decoded d = {.write = true, .operand_size = 1, .reg = 2};
    equal("DL", mmio_write_value(&d, registers), 0x10);
    d.high_byte = true;
    equal("DH", mmio_write_value(&d, registers), 0x32);
    d.high_byte = false;
    d.operand_size = 2;
    equal("DX", mmio_write_value(&d, registers), 0x3210);
    d.operand_size = 4;
    equal("EDX", mmio_write_value(&d, registers), 0x76543210);
    d.reg = 15;
    d.operand_size = 8;
    equal("R15", mmio_write_value(&d, registers), 0x1122334455667788);
    d.immediate_source = true;
    d.immediate = UINT64_MAX;
    equal("constant", mmio_write_value(&d, registers), UINT64_MAX);
}

struct cell {
    uint64_t value, offset;
    uint8_t size;
};

static uint64_t cell_read(void *state, uint64_t offset, uint8_t size) {
    struct cell *cell = state;
    cell->offset = offset;
    cell->size = size;
    return cell->value;
}

static void cell_write(void *state, uint64_t offset, uint8_t size, uint64_t value) {
    *(struct cell *)state = (struct cell){value, offset, size};
}

static void test_access(void) {
    struct cell cell = {0};
    struct mmio_device device = {"cell", 0xfee00000, 0x1000, cell_read, cell_write, &cell};
    uint64_t registers[16] = {[1] = 0xfedcba9876543210, [7] = 0x1122334455667788};
    struct decoded d = {.write = true, .operand_size = 4, .reg = 1};
    mmio_access(&device, &d, 0xfee00320, registers);
    equal("written", cell.value, 0x76543210);
    equal("offset", cell.offset, 0x320);
    equal("size", cell.size, 4);
    cell.value = UINT64_MAX;
    d = (struct decoded){.operand_size = 2, .destination_size = 4, .reg = 7};
    mmio_access(&device, &d, 0xfee00ffe, registers);
    equal("read", registers[7], 0xffff);
    equal("offset", cell.offset, 0xffe);
    equal("size", cell.size, 2);
    equal("source", registers[1], 0xfedcba9876543210);
}

int main(void) {
    test_find();
    test_complete_read();
    test_write_value();
    test_access();
    return failures ? 1 : 0;
}

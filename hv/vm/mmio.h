/*
 * Devices in guest-physical memory, and what a decoded access does to the guest's registers: the
 * half of the instruction that the processor left undone. Registers are in the instruction's order
 * (RAX RCX RDX RBX RSP RBP RSI RDI R8 ... R15); the caller moves them there and back, RSP included.
 */
#pragma once

#include "vm/decode.h"

struct mmio_device {
    const char *name;
    uint64_t base, size; /* guest-physical; ends within the address space */
    uint64_t (*read)(void *state, uint64_t offset, uint8_t size);
    void (*write)(void *state, uint64_t offset, uint8_t size, uint64_t value);
    void *state;
};

/* The device that has all bytes of the access; NULL where there is none, or only for a part. */
const struct mmio_device *mmio_find(const struct mmio_device *devices, unsigned count,
                                    uint64_t address, uint8_t size);

/* Carries the access out: asks or tells the device, and completes the instruction's effect.
 * `address` is that of an access which mmio_find found to be the device's. */
void mmio_access(const struct mmio_device *device, const struct decoded *decoded, uint64_t address,
                 uint64_t registers[16]);

/* Writes what was read into the register, exactly as the processor would. Bits of the value beyond
 * the operand size are ignored. */
void mmio_complete_read(const struct decoded *decoded, uint64_t registers[16], uint64_t value);

/* What a write brings to memory, cut to the operand size. */
uint64_t mmio_write_value(const struct decoded *decoded, const uint64_t registers[16]);

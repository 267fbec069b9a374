#include "vm/mmio.h"

#include <stddef.h>

static uint64_t mask_of(unsigned bytes) {
    return bytes >= 8 ? UINT64_MAX : (1ull << (8 * bytes)) - 1;
}

const struct mmio_device *mmio_find(const struct mmio_device *devices, unsigned count,
                                    uint64_t address, uint8_t size) {
    for (unsigned i = 0; i < count; i++) {
        const struct mmio_device *device = &devices[i];
        /* No sums, which could wrap. An address below the base is an offset beyond any size. */
        if (size <= device->size && address - device->base <= device->size - size) {
            return device;
        }
    }
    return NULL;
}

void mmio_complete_read(const struct decoded *decoded, uint64_t registers[16], uint64_t value) {
    uint64_t mask = mask_of(decoded->operand_size);
    value &= mask;
    if (decoded->sign_extend && value > mask >> 1) {
        value |= ~mask;
    }
    uint64_t *to = &registers[decoded->reg];
    /* SDM 1 3.4.1.1: 8- and 16-bit results leave the rest alone, 32-bit ones are zero-extended. */
    switch (decoded->destination_size) {
    case 1: {
        unsigned shift = decoded->high_byte ? 8 : 0;
        *to = (*to & ~(0xffull << shift)) | (value & 0xff) << shift;
        break;
    }
    case 2: *to = (*to & ~0xffffull) | (value & 0xffff); break;
    case 4: *to = (uint32_t)value; break;
    default: *to = value; break;
    }
}

uint64_t mmio_write_value(const struct decoded *decoded, const uint64_t registers[16]) {
    uint64_t value = decoded->immediate_source
                         ? decoded->immediate
                         : registers[decoded->reg] >> (decoded->high_byte ? 8 : 0);
    return value & mask_of(decoded->operand_size);
}

void mmio_access(const struct mmio_device *device, const struct decoded *decoded, uint64_t address,
                 uint64_t registers[16]) {
    uint64_t offset = address - device->base;
    uint8_t size = decoded->operand_size;
    if (decoded->write) {
        device->write(device->state, offset, size, mmio_write_value(decoded, registers));
    } else {
        mmio_complete_read(decoded, registers, device->read(device->state, offset, size));
    }
}

/* Accesses to guest-physical addresses that are not RAM: a device's registers, or nothing at all. */
#include "debug.h"
#include "vm/decode.h"
#include "vm/guest_memory.h"
#include "vm/handlers.h"
#include "vm/mmio.h"

enum { GPRS = 16 };

static enum decode_mode mode_of(struct vcpu *vcpu) {
    if (vcpu_in_64_bit_mode(vcpu)) {
        return DECODE_64;
    }
    return virt->get(vcpu, VCPU_CS_RIGHTS) >> 14 & 1 ? DECODE_32 : DECODE_16;
}

/* Does the instruction's operand begin where the violation was? If not, its first part is RAM. */
static bool starts_at(struct vcpu *vcpu, const struct decoded *decoded,
                      const uint64_t registers[GPRS], uint64_t address) {
    static const enum vcpu_register bases[] = {
        [DECODE_ES] = VCPU_ES_BASE, [DECODE_CS] = VCPU_CS_BASE, [DECODE_SS] = VCPU_SS_BASE,
        [DECODE_DS] = VCPU_DS_BASE, [DECODE_FS] = VCPU_FS_BASE, [DECODE_GS] = VCPU_GS_BASE};
    bool long_mode = vcpu_in_64_bit_mode(vcpu);
    uint64_t next = virt->get(vcpu, VCPU_RIP) + decoded->length, physical;
    uint64_t linear = decode_effective_address(decoded, registers, next);
    /* In 64-bit mode only FS and GS have a base (SDM 3A 3.2.4). */
    if (!long_mode || decoded->segment == DECODE_FS || decoded->segment == DECODE_GS) {
        linear += virt->get(vcpu, bases[decoded->segment]);
    }
    linear = long_mode ? linear : (uint32_t)linear;
    return guest_translate(vcpu, linear, &physical) && physical == address;
}

enum vm_action handle_memory(struct vcpu *vcpu, const struct vm_exit *exit) {
    uint64_t address = exit->memory.address;
    const struct mmio_device *devices = vcpu->vm->devices;
    if (exit->memory.access == MEMORY_EXECUTE || exit->memory.walking ||
        !mmio_find(devices, VM_DEVICES, address, 1)) {
        if (debug == DEBUG_GO_ON) { /* so that one guest can try every page */
            events_raise_exception(&vcpu->events, VECTOR_GP, true, 0);
            return VM_RESUME;
        }
        return handle_crash(vcpu, exit);
    }
    if (vcpu->events.now.valid) {
        /* The access is the processor's own, in a delivery: the instruction at RIP has no part in it. */
        return crash_because(vcpu, exit, "an event whose delivery needs a device");
    }
    uint8_t bytes[DECODE_LONGEST];
    struct decoded decoded;
    unsigned count = guest_fetch(vcpu, bytes, sizeof bytes);
    if (decode_mov(bytes, count, mode_of(vcpu), &decoded) != DECODE_OK ||
        decoded.write != (exit->memory.access == MEMORY_WRITE)) {
        return crash_because(vcpu, exit, "an access to a device that is no plain MOV");
    }
    uint64_t registers[GPRS];
    for (unsigned i = 0; i < GPRS; i++) {
        registers[i] = vcpu_gpr(vcpu, i);
    }
    const struct mmio_device *device =
        mmio_find(devices, VM_DEVICES, address, decoded.operand_size);
    if (!device || !starts_at(vcpu, &decoded, registers, address)) {
        return crash_because(vcpu, exit, "an access that only partly lies on a device");
    }
    mmio_access(device, &decoded, address, registers);
    if (!decoded.write) {
        vcpu_set_gpr(vcpu, decoded.reg, registers[decoded.reg]);
    }
    virt->skip_bytes(vcpu, decoded.length);
    return VM_RESUME;
}

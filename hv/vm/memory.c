/* Accesses to guest-physical addresses that are not RAM: a device's registers, or nothing at all. */
#include "core/pages.h"
#include "debug.h"
#include "vm/decode.h"
#include "vm/guest_memory.h"
#include "vm/handlers.h"
#include "vm/mmio.h"

/* Does the instruction's operand begin where the violation was? If not, its first part is RAM. An operand
 * within a page is where that page is, which the processor has just translated. */
static bool starts_at(struct vcpu *vcpu, enum decode_mode mode, const struct decoded *decoded,
                      const uint64_t registers[16], uint64_t address) {
    uint64_t physical, linear = guest_operand_address(vcpu, mode, decoded, registers);
    if (linear % PAGE_SIZE + decoded->operand_size <= PAGE_SIZE) {
        return linear % PAGE_SIZE == address % PAGE_SIZE;
    }
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
    enum decode_mode mode = guest_decode_mode(vcpu);
    unsigned count = guest_fetch(vcpu, mode, bytes, sizeof bytes);
    if (decode_mov(bytes, count, mode, &decoded) != DECODE_OK ||
        decoded.write != (exit->memory.access == MEMORY_WRITE)) {
        return crash_because(vcpu, exit, "an access to a device that is no plain MOV");
    }
    uint64_t registers[16];
    vcpu_gprs(vcpu, registers);
    const struct mmio_device *device =
        mmio_find(devices, VM_DEVICES, address, decoded.operand_size);
    if (!device || !starts_at(vcpu, mode, &decoded, registers, address)) {
        return crash_because(vcpu, exit, "an access that only partly lies on a device");
    }
    mmio_access(device, &decoded, address, registers);
    if (!decoded.write) {
        vcpu_set_gpr(vcpu, decoded.reg, registers[decoded.reg]);
    }
    virt->skip_bytes(vcpu, decoded.length);
    return VM_RESUME;
}

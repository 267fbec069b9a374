/* Port I/O by guests, all of it (bitmaps.c of each vendor): dev/platform.h says who is there. */
#include "cpu/port.h"
#include "vm/handlers.h"

/* Devices there have 8-bit registers: a wider access is as many accesses, as on the ISA bus. */
static uint32_t read_port(struct vm *vm, uint16_t port, unsigned size) {
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = platform_read(&vm->platform, (uint16_t)(port + i), rdtsc());
        value |= (uint32_t)byte << 8 * i;
    }
    return value;
}

static void write_port(struct vm *vm, uint16_t port, unsigned size, uint32_t value) {
    for (unsigned i = 0; i < size; i++) {
        platform_write(&vm->platform, (uint16_t)(port + i), (uint8_t)(value >> 8 * i), rdtsc());
    }
}

/* Has the guest just ended its machine? */
static bool has_ended(struct vm *vm) {
    switch (vm->platform.end) {
    case PLATFORM_RUNS: return false;
    case PLATFORM_EXIT:
        vm->end = VM_ENDED_EXIT;
        vm->exit_code = vm->platform.exit_code;
        return true;
    case PLATFORM_RESET: vm->end = VM_ENDED_RESET; return true;
    }
    return false;
}

enum vm_action handle_io(struct vcpu *vcpu, const struct vm_exit *exit) {
    if (exit->io.string) {
        return handle_crash(vcpu, exit); /* INS and OUTS reach into guest memory: not offered */
    }
    uint64_t *rax = &vcpu->registers.rax;
    if (exit->io.in) {
        uint32_t value = read_port(vcpu->vm, exit->io.port, exit->io.size);
        /* IN AL and IN AX leave the rest of RAX alone; IN EAX clears the upper half. */
        uint64_t kept = exit->io.size == 4 ? 0 : *rax & ~((1ull << 8 * exit->io.size) - 1);
        *rax = kept | value;
    } else {
        write_port(vcpu->vm, exit->io.port, exit->io.size, (uint32_t)*rax);
    }
    return has_ended(vcpu->vm) ? VM_LEAVE : VM_SKIP;
}

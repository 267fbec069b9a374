/* Port I/O by guests, all of it (bitmaps.c of each vendor): dev/platform.h says who is there. */
#include "vm/handlers.h"
#include "vm/scheduler.h"

/* Has the guest just ended its machine? */
static bool has_ended(struct vm *vm) {
    switch (vm->platform.power.end) {
    case PLATFORM_RUNS: return false;
    case PLATFORM_EXIT:
        vm->end = VM_ENDED_EXIT;
        vm->exit_code = vm->platform.power.exit_code;
        return true;
    case PLATFORM_RESET: vm->end = VM_ENDED_RESET; return true;
    }
    return false;
}

enum vm_action handle_io(struct vcpu *vcpu, const struct vm_exit *exit) {
    if (exit->io.string) {
        return handle_crash(vcpu, exit); /* INS and OUTS reach into guest memory: not offered */
    }
    struct platform *platform = &vcpu->vm->platform;
    uint64_t *rax = &vcpu->registers.rax, now = clock_now(vcpu), behind = vcpu->clock.behind;
    if (exit->io.in) {
        uint32_t value = platform_read(platform, exit->io.port, exit->io.size, now);
        /* IN AL and IN AX leave the rest of RAX alone; IN EAX clears the upper half. */
        uint64_t kept = exit->io.size == 4 ? 0 : *rax & ~((1ull << 8 * exit->io.size) - 1);
        *rax = kept | value;
    } else {
        platform_write(platform, exit->io.port, exit->io.size, (uint32_t)*rax, now);
    }
    scheduler_heed(vcpu);
    if (has_ended(vcpu->vm)) {
        return VM_LEAVE;
    }
    if (vcpu->clock.behind != behind) { /* it has printed, and its clock stood still meanwhile */
        virt->skip_instruction(vcpu);
        return VM_RESUME;
    }
    return VM_SKIP;
}

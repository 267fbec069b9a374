/* Port I/O by guests. A port without a device reads all ones and swallows writes, as on a PC. */
#include "vm/handlers.h"

enum vm_action handle_io(struct vcpu *vcpu, const struct vm_exit *exit) {
    if (exit->io.string) {
        return handle_crash(vcpu, exit); /* INS and OUTS reach into guest memory: not offered */
    }
    struct vm *vm = vcpu->vm;
    uint64_t *rax = &vcpu->registers.rax;
    bool console = exit->io.size == 1 && guest_console_owns(exit->io.port);
    if (!exit->io.in) {
        if (console) {
            guest_console_write(&vm->console, vm->options.name, exit->io.port, (uint8_t)*rax);
        }
    } else {
        uint32_t value = console ? guest_console_read(&vm->console, exit->io.port) : ~0u;
        /* IN AL and IN AX leave the rest of RAX alone; IN EAX clears the upper half. */
        switch (exit->io.size) {
        case 1: *rax = (*rax & ~0xffull) | (value & 0xff); break;
        case 2: *rax = (*rax & ~0xffffull) | (value & 0xffff); break;
        default: *rax = value; break;
        }
    }
    virt->skip_instruction(vcpu);
    return VM_RESUME;
}

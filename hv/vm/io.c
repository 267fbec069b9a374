/* Port I/O by guests: one table of what is there. All ports exit (bitmaps.c of each vendor). */
#include "vm/handlers.h"

/* Devices here have 8-bit registers: a wider access is as many accesses, as on the ISA bus. */
struct io_rule {
    uint16_t first, last;
    uint8_t (*read)(struct vm *vm, uint16_t port);
    void (*write)(struct vm *vm, uint16_t port, uint8_t value);
};

static uint8_t read_console(struct vm *vm, uint16_t port) {
    return guest_console_read(&vm->console, port);
}

static void write_console(struct vm *vm, uint16_t port, uint8_t value) {
    guest_console_write(&vm->console, vm->options.name, port, value);
}

static const struct io_rule rules[] = {
    {GUEST_CONSOLE_PORT, GUEST_CONSOLE_PORT + 7, read_console, write_console},
};

static const struct io_rule *find(uint16_t port) {
    for (unsigned i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (port >= rules[i].first && port <= rules[i].last) {
            return &rules[i];
        }
    }
    return 0; /* nobody there: reads all ones and swallows writes, as on a PC */
}

static uint32_t read_port(struct vm *vm, uint16_t port, unsigned size) {
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        const struct io_rule *rule = find((uint16_t)(port + i));
        value |= (uint32_t)(rule ? rule->read(vm, (uint16_t)(port + i)) : 0xff) << 8 * i;
    }
    return value;
}

static void write_port(struct vm *vm, uint16_t port, unsigned size, uint32_t value) {
    for (unsigned i = 0; i < size; i++) {
        const struct io_rule *rule = find((uint16_t)(port + i));
        if (rule) {
            rule->write(vm, (uint16_t)(port + i), (uint8_t)(value >> 8 * i));
        }
    }
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
    virt->skip_instruction(vcpu);
    return VM_RESUME;
}

#include "vm/focus.h"

#include "core/console.h"
#include "core/records.h"
#include "core/serial.h"
#include "core/string.h"
#include "core/time.h"
#include "cpu/identify.h"
#include "cpu/port.h"
#include "vm/scheduler.h"

/* While input flows it is looked for at each slice's end, as it is while guests run. */
enum { IDLE_MICROSECONDS = 10000, FLOWING_MICROSECONDS = SLICE_MICROSECONDS };

static struct vm *machines;
static unsigned machine_count;
static struct vm *holder; /* NULL: nobody has the focus */
static uint64_t next_poll = UINT64_MAX;

static bool lives(const struct vm *vm) {
    return vm->vcpu && vm->end == VM_RUNNING;
}

static void give(struct vm *vm) {
    holder = vm;
    next_poll = rdtsc();
    foreground_give(NULL);
    print("console", "%s has the focus", vm->options.name);
    record_begin("focus");
    record_text("guest", vm->options.name);
    record_end();
    foreground_give(&vm->console.line);
}

bool focus_give(struct vm *vm) {
    if (!holder || !lives(vm)) {
        return false;
    }
    give(vm);
    return true;
}

/* The first that lives, beginning with this one; NULL: none does. */
static struct vm *living_from(unsigned first) {
    for (unsigned i = 0; i < machine_count; i++) {
        struct vm *vm = &machines[(first + i) % machine_count];
        if (lives(vm)) {
            return vm;
        }
    }
    return NULL;
}

void focus_start(struct vm *vms, unsigned count, const char *name) {
    machines = vms;
    machine_count = count;
    /* What finds no room is to wait with whoever sends it, and so is a command while a line is being
     * printed. The UARTs of virtual machines see to that themselves. */
    if (!identify_hypervisor_below()) {
        serial_take_singly(SERIAL_COM1);
        serial_take_singly(SERIAL_COM2);
    }
    for (unsigned i = 0; i < count; i++) {
        if (text_equal(vms[i].options.name, name)) {
            struct vm *vm = living_from(i);
            if (vm) {
                give(vm);
            }
        }
    }
}

void focus_pass_on(const struct vm *ended) {
    if (ended != holder) {
        return;
    }
    struct vm *next = living_from((unsigned)(ended - machines));
    if (next) {
        give(next);
    } else {
        foreground_give(NULL);
        holder = NULL;
        next_poll = UINT64_MAX;
    }
}

static bool take(uint8_t *byte, bool first) {
    return first ? serial_read(SERIAL_COM1, byte) : serial_read_next(SERIAL_COM1, byte);
}

void focus_poll(void) {
    if (!holder) {
        return;
    }
    /* No more than the guest's UART holds, or the guests would wait for a flood to end. */
    uint8_t byte;
    unsigned taken = 0;
    while (taken < UART_FIFO && platform_has_room(&holder->platform) && take(&byte, !taken)) {
        platform_receive(&holder->platform, byte);
        taken++;
    }
    uint64_t wait = taken ? FLOWING_MICROSECONDS : IDLE_MICROSECONDS;
    next_poll = rdtsc() + wait * time_tsc_hz() / 1000000;
}

uint64_t focus_next_poll(void) {
    return next_poll;
}

bool focus_may_wake(const struct vm *vm) {
    return holder && lives(vm);
}

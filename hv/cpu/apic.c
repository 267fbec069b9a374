#include "cpu/apic.h"

#include "core/time.h"
#include "cpu/cpuid.h"
#include "cpu/descriptors.h"
#include "cpu/msr.h"
#include "cpu/port.h"

/* Offsets of registers, SDM 3A table 11-1. */
enum apic_register {
    APIC_EOI = 0xb0,
    APIC_SPURIOUS = 0xf0,
    APIC_IN_SERVICE = 0x100, /* eight of them */
    APIC_COMMAND_LOW = 0x300,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_LINT1 = 0x360,
    APIC_INITIAL_COUNT = 0x380,
    APIC_CURRENT_COUNT = 0x390,
    APIC_DIVIDE = 0x3e0,
};

#define APIC_BASE_X2APIC  (1ull << 10)
#define APIC_BASE_ENABLE  (1ull << 11)
#define APIC_BASE_ADDRESS 0x000ffffffffff000ull

enum {
    SPURIOUS_ENABLE = 1 << 8,
    LVT_MASKED = 1 << 16,
    LVT_PERIODIC = 1 << 17, /* 11.5.4 */
    LVT_NMI = 4 << 8,       /* the delivery mode, 11.5.1 */
    DIVIDE_BY_1 = 0xb,
    COMMAND_TO_SELF = 1 << 18, /* fixed delivery; 11.6.1 */
    FIRST_X2APIC_MSR = 0x800,
};

/* The highest priority class: nothing that firmware left in service can hold these back. */
enum { VECTOR_TIMER = 0xf0, VECTOR_KICK = 0xf1, VECTOR_SPURIOUS = 0xff };

static volatile uint32_t *registers; /* NULL: in x2APIC mode, by MSRs */
static uint64_t ticks_per_tsc;       /* of the timer, as a fixed-point number: 32.32 */
static uint64_t armed;               /* the TSC time for which the timer is set; 0: it is not */

/* Timer ticks, 20 us. A deadline that is nearer, or past, is one that is so far away. */
static uint64_t shortest;

static uint32_t read(unsigned which) {
    return registers ? registers[which / 4]
                     : (uint32_t)rdmsr((enum msr)(FIRST_X2APIC_MSR + which / 16));
}

static void write(unsigned which, uint32_t value) {
    if (registers) {
        registers[which / 4] = value;
    } else {
        wrmsr((enum msr)(FIRST_X2APIC_MSR + which / 16), value);
    }
}

/* Both 8259s to vectors that are no exceptions (firmware's may be: 8 is IRQ 0 and #DF), and masked. */
static void silence_8259s(void) {
    enum { COMMAND_1 = 0x20, DATA_1 = 0x21, COMMAND_2 = 0xa0, DATA_2 = 0xa1 };
    static const struct {
        uint8_t port, value;
    } writes[] = {
        {COMMAND_1, 0x11}, {COMMAND_2, 0x11}, /* ICW1: start, ICW4 follows */
        {DATA_1, 0x20},    {DATA_2, 0x28},    /* ICW2: vectors */
        {DATA_1, 0x04},    {DATA_2, 0x02},    /* ICW3: the second one is at IRQ 2 */
        {DATA_1, 0x01},    {DATA_2, 0x01},    /* ICW4: 8086 mode */
        {DATA_1, 0xff},    {DATA_2, 0xff},    /* OCW1: all masked */
    };
    for (unsigned i = 0; i < sizeof writes / sizeof writes[0]; i++) {
        outb(writes[i].port, writes[i].value);
    }
}

/* Both clocks read at as good as the same time: whoever runs this machine may stop it in between. */
static void read_clocks(uint64_t *tsc, uint32_t *count, uint64_t closeness) {
    enum { TRIES = 100 };
    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t before = rdtsc();
        *count = read(APIC_CURRENT_COUNT);
        *tsc = rdtsc();
        if (*tsc - before < closeness) {
            return;
        }
    }
}

static void measure_timer(void) {
    enum { PART_OF_A_SECOND = 2000, CLOSE_ENOUGH = 64 };
    uint64_t span = time_tsc_hz() / PART_OF_A_SECOND, first, last;
    uint32_t from, to;
    write(APIC_INITIAL_COUNT, ~0u);
    read_clocks(&first, &from, span / CLOSE_ENOUGH);
    do {
        read_clocks(&last, &to, span / CLOSE_ENOUGH);
    } while (last - first < span);
    write(APIC_INITIAL_COUNT, 0);
    ticks_per_tsc = ((uint64_t)(from - to) << 32) / (last - first);
}

static void on_interrupt(void) {
    for (unsigned i = 0; i < 8; i++) {
        if (read(APIC_IN_SERVICE + 16 * i)) {
            write(APIC_EOI, 0);
            return;
        }
    }
    /* else from an 8259, or spurious: neither wants an EOI here */
}

/* While software has it disabled all its local vectors are masked (11.4.7.2). */
static bool enable(void) {
    if (!(cpuid(1, 0).edx & CPUID_1_EDX_APIC)) {
        return false;
    }
    uint64_t base = rdmsr(IA32_APIC_BASE);
    if (!(base & APIC_BASE_ENABLE)) {
        wrmsr(IA32_APIC_BASE, base | APIC_BASE_ENABLE);
    }
    registers = base & APIC_BASE_X2APIC ? 0 : (volatile uint32_t *)(base & APIC_BASE_ADDRESS);
    write(APIC_SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
    return true;
}

void apic_admit_nmis(void) {
    if (enable()) {
        write(APIC_LVT_LINT1, LVT_NMI);
    }
}

bool apic_start(void) {
    if (!enable()) {
        return false;
    }
    silence_8259s();
    descriptors_handle_interrupts(on_interrupt);
    write(APIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER); /* mode one-shot */
    write(APIC_DIVIDE, DIVIDE_BY_1);
    measure_timer();
    shortest = (uint64_t)((unsigned __int128)(time_tsc_hz() / 50000) * ticks_per_tsc >> 32);
    write(APIC_LVT_TIMER, LVT_PERIODIC | VECTOR_TIMER);
    return true;
}

void apic_stop(void) {
    write(APIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
    apic_take_interrupts();
}

/* Nothing is due any more. */
static void disarm(void) {
    write(APIC_INITIAL_COUNT, 0);
    armed = 0;
}

/*
 * The timer is periodic, for one interrupt may not be enough. QEMU 7.2 can lose it on its way to the
 * processor: its VMRUN sets V_IRQ's bit in the word of requests without the lock under which the timer sets
 * its own (helper_vmrun, cpu_interrupt). The APIC then holds a request that nobody looks at, and a guest
 * that spins has the processor for good. And an NMI between STI and HLT lets it in before HLT.
 */
void apic_set_deadline(uint64_t deadline) {
    uint64_t now = rdtsc();
    if (deadline == armed && now < deadline) {
        return;
    }
    const uint64_t longest = 0xffffffff;
    uint64_t left = deadline > now ? deadline - now : 0;
    uint64_t count = (uint64_t)((unsigned __int128)left * ticks_per_tsc >> 32);
    /* A count cut short ends early: whoever asked looks at the time. */
    count = count < shortest ? shortest : count > longest ? longest : count;
    write(APIC_INITIAL_COUNT, (uint32_t)count);
    armed = deadline;
}

void apic_kick(void) {
    write(APIC_COMMAND_LOW, COMMAND_TO_SELF | VECTOR_KICK);
}

void apic_take_interrupts(void) {
    asm volatile("sti; nop; nop; cli" : : : "memory");
    disarm(); /* it may have been the timer's, and that time is over */
}

void apic_wait(uint64_t deadline) {
    apic_set_deadline(deadline);
    asm volatile("sti; hlt; cli" : : : "memory");
    disarm();
}

/*
 * The exit trace: what every exit was, in a ring in memory, where the harness reads it (design
 * contract 4; harness/trace.py). Nothing is printed and nothing is locked: each processor writes a
 * ring of its own. Off unless the command line has trace=; the harness always gives it one, small if no
 * trace was asked for, so that a post-mortem has the last exits.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/boot_info.h"
#include "cpu/port.h"
#include "vm/exit.h"
#include "vm/vm.h"

struct exit_record {
    uint64_t time;     /* TSC when the exit came to its handler */
    uint64_t rip;      /* the guest's, there */
    uint64_t facts[2]; /* as the kind has them in struct vm_exit; of the others RAX and RCX */
    struct exit_label label;
};
static_assert(sizeof(struct exit_record) == 40, "no padding, so that nothing in it is undefined");
static_assert(sizeof(struct vm_exit) - offsetof(struct vm_exit, io) == 16,
              "the facts are two words");
static_assert(VM_EXIT_KINDS <= 256 && MAX_MODULES <= 256, "a byte each");

struct trace_ring {
    struct exit_record *next;        /* NULL: off */
    struct exit_record *start, *end; /* of the ring */
    uint64_t laps;                   /* how often it went back to the start */
};

/* One a processor; there is one. */
enum { TRACE_RINGS = 1 };
extern struct trace_ring trace_rings[TRACE_RINGS];

enum { TRACE_LEAST = 16, TRACE_DEFAULT = 16384, TRACE_MOST = 1 << 20 };

static inline bool trace_is_on(void) {
    return trace_rings[0].next;
}

/* From now on, before virt->start, the last `count` exits are kept. False: there is not enough memory. */
bool trace_start(uint64_t count);

/* Before an exit is handled. */
static inline void trace_begin(const struct vcpu *vcpu, const struct vm_exit *exit) {
    struct trace_ring *ring = &trace_rings[0];
    enum vm_exit_kind kind =
        exit->kind; /* read once: the compiler can't know that nothing changes it */
    struct exit_record *record = ring->next;
    if (record == ring->end) {
        record = ring->start;
        ring->laps++;
    }
    ring->next = record + 1;
    record->rip = exit->rip;
    if (kind <= VM_EXIT_LAST_WITH_FACTS) {
        const uint64_t *facts = (const uint64_t *)&exit->io; /* where the union starts */
        record->facts[0] = facts[0];
        record->facts[1] = facts[1];
    } else {
        record->facts[0] = vcpu->registers.rax;
        record->facts[1] = vcpu->registers.rcx;
    }
    record->label = vcpu->label;
    record->label.kind = (uint8_t)kind;
    uint32_t *time =
        (uint32_t *)&record->time; /* two stores are shorter than a shift, an OR, a store */
    asm volatile("rdtsc" : "=a"(time[0]), "=d"(time[1]));
}

/* The record is found again by where the next one will be, which is cheaper than to remember it. */
static inline void trace_end(void) {
    struct exit_record *record = trace_rings[0].next - 1;
    record->label.cycles = (uint32_t)rdtsc() - (uint32_t)record->time;
}

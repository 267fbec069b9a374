/* A guest's memory as the hypervisor reads and writes it: every address is checked. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vm/decode.h"
#include "vm/vm.h"

/* False, and nothing copied, unless all of [address, address + bytes) is the guest's RAM. */
bool guest_physical_read(const struct vm *vm, uint64_t address, void *to, uint64_t bytes);

/* Walks the guest's own page tables as the processor would for a supervisor's access, SDM 3A
 * chapter 4, without setting accessed bits. False if nothing is mapped there. */
bool guest_translate(struct vcpu *vcpu, uint64_t linear, uint64_t *physical);

/* Copies memory at a linear address; fewer bytes than `size` where the next page is absent. */
unsigned guest_linear_read(struct vcpu *vcpu, uint64_t linear, void *to, unsigned size);

/* By the code segment that the guest is in. */
enum decode_mode guest_decode_mode(struct vcpu *vcpu);

/* The linear address of the operand of the instruction at RIP, in the guest's mode: who reads more than
 * one thing of an instruction asks for the mode once. */
uint64_t guest_operand_address(struct vcpu *vcpu, enum decode_mode mode,
                               const struct decoded *decoded, const uint64_t registers[16]);

/* Reads it, from RAM. False where not all of it is mapped and RAM. */
bool guest_operand_read(struct vcpu *vcpu, enum decode_mode mode, const struct decoded *decoded,
                        void *to, unsigned bytes);

/* Copies instruction bytes at the guest's RIP; fewer than `size` where the next page is absent. */
unsigned guest_fetch(struct vcpu *vcpu, enum decode_mode mode, uint8_t *to, unsigned size);

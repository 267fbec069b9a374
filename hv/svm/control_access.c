/*
 * Which access to a control register exited, and with which operand: from the instruction's bytes, where
 * the processor has no decode assists: MOV, and for CR0 also CLTS and LMSW (15.8.1, 15.9).
 */
#include "svm/length.h"
#include "svm/operation.h"
#include "svm/reasons.h"
#include "vm/decode.h"
#include "vm/guest_memory.h"

enum {
    ESCAPE = 0x0f,
    CLTS = 0x06,
    MOV_FROM_CR = 0x20,
    MOV_TO_CR = 0x22,
    GROUP_7 = 0x01, /* LMSW is its /6 */
    LMSW = 6,
    MOV_R_RM = 0x8b,
    LONGEST = 15,
};

struct instruction {
    uint8_t bytes[LONGEST], rex;
    unsigned count, opcode; /* its place, behind the prefixes */
    enum decode_mode mode;
};

static void fetch(struct svm_vcpu *vcpu, struct instruction *i) {
    i->mode = guest_decode_mode(&vcpu->vcpu);
    i->count = guest_fetch(&vcpu->vcpu, i->mode, i->bytes, LONGEST);
    i->opcode = instruction_prefixes(i->bytes, i->count, i->mode == DECODE_64, &i->rex);
}

/* The operand in memory is the one that a MOV with the same prefixes and the same ModRM has, and that
 * the decoder knows: one byte less of opcode. */
static bool lmsw_from_memory(struct svm_vcpu *vcpu, const struct instruction *i, unsigned *length,
                             uint16_t *source) {
    uint8_t mov[LONGEST];
    struct decoded decoded;
    unsigned count = 0;
    for (unsigned from = 0; from < i->count; from++) {
        if (from != i->opcode) {
            mov[count++] = from == i->opcode + 1 ? MOV_R_RM : i->bytes[from];
        }
    }
    if (decode_mov(mov, count, i->mode, &decoded) != DECODE_OK) {
        return false;
    }
    decoded.length++;
    *length = decoded.length;
    return guest_operand_read(&vcpu->vcpu, i->mode, &decoded, source, sizeof *source);
}

/* False: this is no instruction that makes this exit; the bytes have changed since it was fetched. */
static bool decode(struct svm_vcpu *vcpu, const struct instruction *i, struct vm_exit *exit) {
    if (i->opcode + 3 > i->count || i->bytes[i->opcode] != ESCAPE) {
        return false;
    }
    vcpu->length = i->opcode + 3;
    uint8_t second = i->bytes[i->opcode + 1], modrm = i->bytes[i->opcode + 2];
    if (second == MOV_FROM_CR || second == MOV_TO_CR) {
        exit->control.operation = second == MOV_TO_CR ? CONTROL_MOV_TO : CONTROL_MOV_FROM;
        exit->control.gpr = (uint8_t)((modrm & 7) | (i->rex & 1) << 3);
        return true;
    }
    if (second == CLTS) {
        exit->control.operation = CONTROL_CLTS;
        vcpu->length = i->opcode + 2;
        return true;
    }
    if (second != GROUP_7 || (modrm >> 3 & 7) != LMSW) {
        return false;
    }
    exit->control.operation = CONTROL_LMSW;
    if (modrm >> 6 == 3) {
        exit->control.source = (uint16_t)vcpu_gpr(&vcpu->vcpu, (modrm & 7u) | (i->rex & 1u) << 3);
        return true;
    }
    return lmsw_from_memory(vcpu, i, &vcpu->length, &exit->control.source);
}

void svm_decode_control_register(struct svm_vcpu *vcpu, struct vm_exit *exit) {
    exit->control.number = vcpu->vmcb->control.exitcode & 0xf;
    struct instruction instruction;
    fetch(vcpu, &instruction);
    if (!decode(vcpu, &instruction, exit)) {
        exit->kind = VM_EXIT_UNSUPPORTED;
    }
}

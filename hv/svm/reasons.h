/* Every exit code of APM 2, appendix C: its name, what it means here, how its facts are read. */
#pragma once

#include <stdint.h>

#include "svm/vcpu.h"
#include "vm/exit.h"

struct exit_code {
    const char *name;
    enum vm_exit_kind kind;
    uint8_t length; /* of the instruction without prefixes; 0: not one, or the hardware says */
    void (*decode)(struct svm_vcpu *vcpu, struct vm_exit *exit); /* NULL: no facts */
};

/* control_access.c */
void svm_decode_control_register(struct svm_vcpu *vcpu, struct vm_exit *exit);

enum { SVM_EXIT_DB = 0x41 };

/* For a number that the manual does not have, a row that says so. */
const struct exit_code *exit_code(uint64_t code);

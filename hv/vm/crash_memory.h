/* What a guest that crashed had in memory where it was, for the harness to take apart. */
#pragma once

#include "vm/vcpu.h"

/* Within an open record: code at RIP, words at RSP, and the return addresses by frame pointers. */
void crash_record_memory(struct vcpu *vcpu);

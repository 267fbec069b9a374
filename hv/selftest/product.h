/* A guest on all of the product's way: vm_create, the scheduler, exits to their handlers, vm_destroy. */
#pragma once

#include "selftest/machine.h"

/* Runs the program, and checks that it ends by itself with exit code 42. `prepare` (or NULL) is called
 * when its VMCS is current, before it first runs. The machine is gone afterwards, its counts remain. */
const struct vm *product_runs(struct program program, void (*prepare)(struct vm *vm));

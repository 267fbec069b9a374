/* What the harness may ask about guests while they run (core/commands.h). */
#pragma once

#include "vm/vm.h"

void vm_offer_commands(struct vm *vms, unsigned count);

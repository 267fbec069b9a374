/* What the processor leaves undone of a #DB that exits. */
#pragma once

/* The current VMCS is that of the guest, whose DR6 the processor still holds. */
void debug_exception_complete(void);

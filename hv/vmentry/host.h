/* What the image itself must have after any VM exit, whatever a mutation of the host state left. */
#pragma once

/* Page tables of its own: identity, and without the execute-disable bit, which would be a reserved bit
 * after an exit that leaves IA32_EFER.NXE clear. After that, what host_restore puts back is noted. */
void host_start(void);

/* After each VM exit: control registers and MSRs that it may have changed. */
void host_restore(void);

/* Into and out of VMX operation, SDM 3C 24.6 to 24.8. */
#pragma once

#include "vmx/capabilities.h"

/* Valid after vmx_start. */
extern struct vmx_capabilities vmx_capabilities;

void vmx_start(void);
void vmx_stop(void);

/* A zeroed page that begins with this processor's VMCS revision identifier (25.2, 25.11.5); NULL when
 * memory is out. */
void *vmx_region_create(void);

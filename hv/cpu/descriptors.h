/* The hypervisor's own segment and interrupt descriptors. SDM 3A 3.4.5, 6.14, 7.7. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum selector { SELECTOR_CODE = 0x08, SELECTOR_DATA = 0x10, SELECTOR_TSS = 0x18 };

void descriptors_start(void);

/* Vectors 32 to 255 from now on call this, with interrupts off. Before, nothing handles them. */
void descriptors_handle_interrupts(void (*handler)(void));

uint64_t descriptors_tss_base(void);
uint64_t descriptors_gdt_base(void);
uint64_t descriptors_idt_base(void);

/* Does this page lie unmapped below one of the interrupt stacks? */
bool descriptors_is_stack_guard(uint64_t address);

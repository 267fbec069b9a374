/* The record `boot`: which image runs, on which processor, with which virtualization. */
#pragma once

void vm_record_boot(void);

/* The functions on the PCI buses, by configuration mechanism #1 (PCI Local Bus 3.0, 3.2.2.3.2). */
#pragma once

#include <stdint.h>

struct pci_function {
    uint8_t bus, device, function;
    uint16_t vendor_id, device_id;
    uint32_t class_code; /* base class, subclass, programming interface */
};

/*
 * Finds the functions that answer now, in the order of their addresses: those on bus 0 and on every
 * bus that a bridge leads to. Fills at most `most` entries and returns how many there are.
 */
unsigned pci_list(struct pci_function *list, unsigned most);

/* The double word at `offset` of a function's configuration space; all ones where none answers. */
uint32_t pci_read(const struct pci_function *at, unsigned offset);

/* Writes the record `pci` of what is there now. */
void pci_record(void);

#include "core/pci.h"

#include <stdbool.h>

#include "core/format.h"
#include "core/records.h"
#include "cpu/port.h"

enum { CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc };
static const uint32_t CONFIG_ENABLE = 1u << 31;

/* Registers of the configuration header, PCI 6.1 and PCI-to-PCI Bridge 3.2. */
enum {
    VENDOR_AND_DEVICE = 0x00,
    CLASS_AND_REVISION = 0x08,
    HEADER_TYPE = 0x0c,
    BUS_NUMBERS = 0x18
};
enum { TYPE_MASK = 0x7f, TYPE_BRIDGE = 1, TYPE_MULTIFUNCTION = 0x80 };

static const uint32_t NOBODY = 0xffffffff; /* what a read gives where no function answers */

enum { BUSES = 256, DEVICES = 32, FUNCTIONS = 8 };

struct search {
    struct pci_function *list;
    unsigned most, count;
    bool known[BUSES]; /* to be scanned, or scanned already: bridges may lead round in a circle */
};

uint32_t pci_read(const struct pci_function *at, unsigned offset) {
    outl(CONFIG_ADDRESS, CONFIG_ENABLE | (uint32_t)at->bus << 16 | (uint32_t)at->device << 11 |
                             (uint32_t)at->function << 8 | offset);
    return inl(CONFIG_DATA);
}

/* Adds the function if it is there; gives its header type, or -1. */
static int look_at(struct search *search, struct pci_function at) {
    uint32_t id = pci_read(&at, VENDOR_AND_DEVICE);
    if (id == NOBODY) {
        return -1;
    }
    at.vendor_id = (uint16_t)id;
    at.device_id = (uint16_t)(id >> 16);
    at.class_code = pci_read(&at, CLASS_AND_REVISION) >> 8;
    if (search->count < search->most) {
        search->list[search->count] = at;
    }
    search->count++;

    uint8_t type = (uint8_t)(pci_read(&at, HEADER_TYPE) >> 16);
    if ((type & TYPE_MASK) == TYPE_BRIDGE) {
        search->known[pci_read(&at, BUS_NUMBERS) >> 8 & 0xff] = true; /* the secondary bus */
    }
    return type;
}

static void scan_bus(struct search *search, uint8_t bus) {
    for (unsigned device = 0; device < DEVICES; device++) {
        struct pci_function at = {.bus = bus, .device = (uint8_t)device};
        int type = look_at(search, at);
        if (type < 0 || !(type & TYPE_MULTIFUNCTION)) {
            continue; /* a function 0 that isn't there has no others beside it */
        }
        for (at.function = 1; at.function < FUNCTIONS; at.function++) {
            look_at(search, at);
        }
    }
}

unsigned pci_list(struct pci_function *list, unsigned most) {
    struct search search = {.list = list, .most = most, .known = {true}};
    /* Firmware numbers a bridge's secondary bus higher than its own, so one pass upwards finds all. */
    for (unsigned bus = 0; bus < BUSES; bus++) {
        if (search.known[bus]) {
            scan_bus(&search, (uint8_t)bus);
        }
    }
    return search.count;
}

void pci_record(void) {
    enum { MOST = 64 }; /* a record has its largest size; `count` tells if this was too few */
    static struct pci_function list[MOST];
    unsigned count = pci_list(list, MOST);

    record_begin("pci");
    record_number("count", count);
    record_open_list("functions");
    for (unsigned i = 0; i < count && i < MOST; i++) {
        const struct pci_function *function = &list[i];
        char text[16];
        record_open(0);
        format(text, sizeof text, "%02x:%02x.%u", function->bus, function->device,
               function->function);
        record_text("at", text);
        record_hex("vendor", function->vendor_id);
        record_hex("device", function->device_id);
        format(text, sizeof text, "0x%06x", function->class_code);
        record_text("class", text);
        record_close();
    }
    record_close();
    record_end();
}

// Programmed I/O from this process, without a driver: the kernel's would have to be loaded first,
// and would keep what it has read. Sources: ATA/ATAPI-6, sections 7 and 8.27 (READ SECTORS).

#include "disk.h"

#include <errno.h>
#include <sys/io.h>

enum {
    DATA = 0x1F0, // the first channel's command block, and the registers in it
    SECTOR_COUNT = 0x1F2,
    LBA_LOW = 0x1F3,
    LBA_MID = 0x1F4,
    LBA_HIGH = 0x1F5,
    DEVICE = 0x1F6,
    COMMAND = 0x1F7, // read: the status
    DEVICE_CONTROL = 0x3F6,
};

enum { DEVICE_LBA = 0xE0, CONTROL_NIEN = 0x02, READ_SECTORS = 0x20 };
enum { STATUS_ERR = 0x01, STATUS_DRQ = 0x08, STATUS_DRDY = 0x40, STATUS_BSY = 0x80 };

int disk_open(void) {
    if (ioperm(DATA, COMMAND - DATA + 1, 1) || ioperm(DEVICE_CONTROL, 1, 1))
        return -1;
    outb(CONTROL_NIEN, DEVICE_CONTROL); // no interrupts: nobody would take them
    outb(DEVICE_LBA, DEVICE);
    if (inb(COMMAND) & STATUS_DRDY)
        return 0;
    errno = ENODEV;
    return -1;
}

int disk_read(unsigned sector, unsigned count, void *data) {
    outb((unsigned char)(DEVICE_LBA | (sector >> 24 & 0xF)), DEVICE);
    outb((unsigned char)count, SECTOR_COUNT); // 0 stands for 256
    outb((unsigned char)sector, LBA_LOW);
    outb((unsigned char)(sector >> 8), LBA_MID);
    outb((unsigned char)(sector >> 16), LBA_HIGH);
    outb(READ_SECTORS, COMMAND);
    for (char *part = data; count > 0; count--, part += SECTOR_SIZE) {
        unsigned char status;
        do
            status = inb(COMMAND);
        while (status & STATUS_BSY);
        if (status & STATUS_ERR || !(status & STATUS_DRQ)) {
            errno = EIO;
            return -1;
        }
        insw(DATA, part, SECTOR_SIZE / 2);
    }
    return 0;
}

// The disk by which the harness hands over files: Bochs reads its image anew at each access.

#pragma once

enum { SECTOR_SIZE = 512, MOST_SECTORS = 256 };

// Makes the disk's ports ours. Returns 0, or -1 with errno if there is no disk.
int disk_open(void);

// Reads `count` sectors (1 to MOST_SECTORS) from `sector` on. Returns 0, or -1 with errno.
int disk_read(unsigned sector, unsigned count, void *data);

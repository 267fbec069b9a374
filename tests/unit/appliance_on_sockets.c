// The appliance's agent on this host: control line, data ports and root come as arguments. Its disk
// is a file there.

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "disk.h"
#include "serve.h"

static char disk_path[PATH_MAX];

int disk_read(unsigned sector, unsigned count, void *data) {
    int disk = open(disk_path, O_RDONLY);
    if (disk < 0)
        return -1;
    ssize_t got = pread(disk, data, count * SECTOR_SIZE, (off_t)sector * SECTOR_SIZE);
    close(disk);
    return got < 0 ? -1 : 0;
}

int main(int count, char **words) {
    if (count != 6)
        return 2;
    struct channels channels = {.control = atoi(words[1])};
    for (int i = 0; i < DATA_PORTS; i++)
        channels.data[i] = atoi(words[2 + i]);
    snprintf(disk_path, sizeof disk_path, "%s/disk.img", words[5]);
    return serve(&channels, words[5]) ? 1 : 0;
}

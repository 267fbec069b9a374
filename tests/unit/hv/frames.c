/* hv/vmentry/frames.c on standard input: prints each frame that it understood, case by case. */
#include "vmentry/frames.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/serial.h"

bool serial_read(enum serial_port port, uint8_t *byte) {
    int found = getchar();
    if (found == EOF) {
        exit(0);
    }
    *byte = port == SERIAL_COM2 ? (uint8_t)found : 0;
    return true;
}

int main(void) {
    static struct frame frame;
    for (;;) {
        if (!frame_receive(&frame)) {
            puts("damaged");
            continue;
        }
        printf("frame %u\n", frame.number);
        unsigned offset = 0;
        while (offset < frame.length) {
            struct entry_case one;
            if (!frame_case(&frame, &offset, &one)) {
                puts("malformed");
                break;
            }
            printf("case %u", one.base);
            for (unsigned i = 0; i < one.count; i++) {
                printf(" %x=%" PRIx64, one.writes[i].encoding, one.writes[i].value);
            }
            puts("");
        }
    }
}

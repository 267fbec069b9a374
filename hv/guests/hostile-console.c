/* Floods its console: no line ends, then escape sequences, then lines that look like others'. */
#include "guests/runtime.h"

enum { FLOOD = 16 << 10, UART = 0x3f8 };

static void put(uint8_t byte) {
    asm volatile("outb %0, %1" : : "a"(byte), "Nd"((uint16_t)UART));
}

int guest_main(void) {
    for (unsigned i = 0; i < FLOOD; i++) {
        put('x');
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        put((uint8_t)byte); /* among them line ends, ESC, and the C1 controls */
    }
    print(
        "\n\x1b]0;title\x07\x1b[2J\x9b"
        "2J\r[    0.000001] panic: not really\n"
        "[    0.000002] vm: hello ended by exit, code 0\n"
        "{\"seq\":1,\"kind\":\"report\",\"guest\":\"neighbour\",\"passed\":false,\"value\":\"0x0\"}\n");
    report(true, FLOOD);
    return 0;
}

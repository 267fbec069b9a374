/* A 16550 UART by polling: no interrupt is needed to say what went wrong. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum serial_port { SERIAL_COM1 = 0x3f8, SERIAL_COM2 = 0x2f8 };
enum { SERIAL_FIFO_DEPTH = 16 }; /* bytes that the UART holds in each direction */

/* 115200 baud, 8 data bits, no parity, FIFO on. A port without a UART swallows what is written. */
void serial_open(enum serial_port port);
void serial_write(enum serial_port port, const char *text, size_t length);

/* From now on a byte is taken in only once the one before was read, so that whoever sends more than is
 * read has to wait. The FIFO of an emulated UART (Bochs's) takes bytes at the line's rate, and loses
 * those that find it full. */
void serial_take_singly(enum serial_port port);

/* Returns when the last bit has left the wire: power-off must not cut off the last line. */
void serial_drain(enum serial_port port);

/* Takes a byte that has come; false if there is none. */
bool serial_read(enum serial_port port, uint8_t *byte);

/* Likewise for the next one: where bytes are taken singly, waits for as long as that takes to come. */
bool serial_read_next(enum serial_port port, uint8_t *byte);

/*
 * The pair of 8259A interrupt controllers: ports 20H, 21H, A0H and A1H, and 4D0H and 4D1H, which say
 * which inputs are level-triggered (the chip sets' replacement of ICW1's bit for all of them).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    PIC_MASTER_PORT = 0x20, /* and the next one */
    PIC_SLAVE_PORT = 0xa0,  /* likewise */
    PIC_ELCR_PORT = 0x4d0,  /* the master's, and the next port the slave's */
    PIC_LINES = 16,
};

struct pic_chip {
    uint8_t request;         /* IRR */
    uint8_t service;         /* ISR */
    uint8_t mask;            /* IMR */
    uint8_t lines;           /* the inputs IR7 to IR0 as they are */
    uint8_t level_triggered; /* ELCR */
    uint8_t vector;          /* ICW2's bits 7:3 */
    uint8_t slaves;          /* inputs that have a chip behind them */
    uint8_t lowest;          /* the input of lowest priority; the next one has the highest */
    uint8_t expected;        /* number of the ICW that comes next, 0: none */
    bool icw4;               /* comes too */
    bool single;             /* without a slave, and so without ICW3 */
    bool auto_end;           /* AEOI */
    bool rotate_on_auto_end;
    bool special_fully_nested;
    bool special_mask;
    bool read_service; /* the even port reads ISR, not IRR */
    bool poll;         /* the next read is an acknowledgement */
};

struct pic {
    struct pic_chip master, slave;
};

/* As firmware leaves it: vectors 8 and 70H, all inputs masked. */
void pic_start(struct pic *pic);

/* A port of any of the six; reading one can acknowledge (poll mode). */
uint8_t pic_read(struct pic *pic, uint16_t port);
void pic_write(struct pic *pic, uint16_t port, uint8_t value);

/* An input from now on, 0 to 15. 2 is the slave's. */
void pic_set_line(struct pic *pic, unsigned line, bool high);

/* Whether an interrupt of that input waits to be acknowledged, masked or not. */
bool pic_is_requested(const struct pic *pic, unsigned line);

/* INT: an interrupt waits that may be delivered now. */
bool pic_output(const struct pic *pic);

/* INTA: the vector. Without a request it is that of input 7, which then isn't in service. */
uint8_t pic_acknowledge(struct pic *pic);

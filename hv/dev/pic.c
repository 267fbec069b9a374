#include "dev/pic.h"

enum { SLAVE_INPUT = 2, LOWEST_AT_START = 7, SPURIOUS = 7 };

enum {
    ICW1 = 0x10, /* this bit tells it from OCW2 and OCW3 */
    ICW1_IC4 = 0x01,
    ICW1_SNGL = 0x02,
    ICW4_AEOI = 0x02,
    ICW4_SFNM = 0x10,
    OCW2_LEVEL = 0x07,
    OCW3 = 0x08, /* this bit tells it from OCW2 */
    OCW3_RIS = 0x01,
    OCW3_RR = 0x02,
    OCW3_POLL = 0x04,
    OCW3_SMM = 0x20,
    OCW3_ESMM = 0x40,
};

/* OCW2's bits R, SL and EOI, 7:5 */
enum ocw2_command {
    ROTATE_ON_AUTO_END_OFF = 0,
    END = 1,
    NO_OPERATION = 2,
    END_SPECIFIC = 3,
    ROTATE_ON_AUTO_END_ON = 4,
    END_AND_ROTATE = 5,
    SET_PRIORITY = 6,
    END_SPECIFIC_AND_ROTATE = 7,
};

/* Timer, keyboard, cascade, clock and coprocessor are edge-triggered for good (82371AB, 4.3.3). */
enum { ELCR_MASTER = 0xf8, ELCR_SLAVE = 0xde };

enum { NONE = 8 };

/* How many inputs come before this one. */
static unsigned rank(const struct pic_chip *chip, unsigned input) {
    return (input - chip->lowest - 1u) & 7;
}

/* Of the inputs in a mask the one that comes first, or NONE. */
static unsigned first(const struct pic_chip *chip, uint8_t inputs) {
    unsigned start = chip->lowest + 1u, by_rank = (inputs | inputs << 8) >> (start & 7) & 0xffu;
    return by_rank ? ((unsigned)__builtin_ctz(by_rank) + start) & 7 : NONE;
}

/* The input that would be acknowledged now, or NONE. What is in service holds back itself and all that
 * come after it. */
static unsigned pending(const struct pic_chip *chip) {
    unsigned input = first(chip, chip->request & ~chip->mask);
    if (input == NONE) {
        return NONE; /* as nearly always: every access to a port asks */
    }
    uint8_t holding = chip->service;
    if (chip->special_mask) {
        holding &= (uint8_t)~chip->mask;
    }
    unsigned held = first(chip, holding);
    /* "Special fully nested": a slave in service is not locked out, it may have something better than
     * before. All inputs behind it are. */
    bool again = chip->special_fully_nested && input == held && chip->slaves >> input & 1;
    return held == NONE || again || rank(chip, input) < rank(chip, held) ? input : NONE;
}

/* In both modes a request lasts only as long as its line is high (data sheet, figure 9: the request
 * latch follows the input until INTA). */
static void set_input(struct pic_chip *chip, unsigned input, bool high) {
    uint8_t bit = (uint8_t)(1 << input);
    if (!high) {
        chip->request &= (uint8_t)~bit;
        chip->lines &= (uint8_t)~bit;
    } else {
        if (!(chip->lines & bit) || chip->level_triggered & bit) {
            chip->request |= bit;
        }
        chip->lines |= bit;
    }
}

static void cascade(struct pic *pic) {
    set_input(&pic->master, SLAVE_INPUT, pending(&pic->slave) != NONE);
}

static void end_of_interrupt(struct pic_chip *chip, unsigned input, bool rotate) {
    if (input != NONE) {
        chip->service &= (uint8_t)~(1 << input);
        if (rotate) {
            chip->lowest = (uint8_t)input;
        }
    }
}

/* INTA, as far as one chip is concerned: which input it is for. */
static unsigned acknowledge(struct pic_chip *chip) {
    unsigned input = pending(chip);
    if (input == NONE) {
        return NONE;
    }
    uint8_t bit = (uint8_t)(1 << input);
    if (!(chip->level_triggered & bit)) {
        chip->request &= (uint8_t)~bit;
    }
    chip->service |= bit;
    if (chip->auto_end) {
        end_of_interrupt(chip, input, chip->rotate_on_auto_end);
    }
    return input;
}

/* The slave's output falls with INTA and rises again if there is more: an edge for the master. */
static unsigned acknowledge_slave(struct pic *pic) {
    unsigned input = acknowledge(&pic->slave);
    set_input(&pic->master, SLAVE_INPUT, false);
    cascade(pic);
    return input;
}

uint8_t pic_acknowledge(struct pic *pic) {
    const struct pic_chip *chip = &pic->master;
    unsigned input = acknowledge(&pic->master);
    if (input == SLAVE_INPUT && !pic->master.single) {
        chip = &pic->slave;
        input = acknowledge_slave(pic);
    }
    return chip->vector | (uint8_t)(input == NONE ? SPURIOUS : input);
}

static void write_icw1(struct pic_chip *chip, uint8_t value) {
    *chip = (struct pic_chip){.lines = chip->lines,
                              .level_triggered = chip->level_triggered,
                              .request = chip->lines & chip->level_triggered,
                              .vector = chip->vector,
                              .slaves = chip->slaves,
                              .lowest = LOWEST_AT_START,
                              .icw4 = value & ICW1_IC4,
                              .single = value & ICW1_SNGL,
                              .expected = 2};
}

static void write_ocw2(struct pic_chip *chip, uint8_t value) {
    unsigned level = value & OCW2_LEVEL;
    switch ((enum ocw2_command)(value >> 5)) {
    case ROTATE_ON_AUTO_END_OFF: chip->rotate_on_auto_end = false; break;
    case ROTATE_ON_AUTO_END_ON: chip->rotate_on_auto_end = true; break;
    case END:
    case END_AND_ROTATE: {
        /* what is masked in special mask mode only a specific one ends */
        uint8_t candidates = chip->service;
        if (chip->special_mask) {
            candidates &= (uint8_t)~chip->mask;
        }
        end_of_interrupt(chip, first(chip, candidates), value >> 5 == END_AND_ROTATE);
        break;
    }
    case END_SPECIFIC: end_of_interrupt(chip, level, false); break;
    case END_SPECIFIC_AND_ROTATE: end_of_interrupt(chip, level, true); break;
    case SET_PRIORITY: chip->lowest = (uint8_t)level; break;
    case NO_OPERATION: break;
    }
}

static void write_ocw3(struct pic_chip *chip, uint8_t value) {
    if (value & OCW3_ESMM) {
        chip->special_mask = value & OCW3_SMM;
    }
    if (value & OCW3_POLL) { /* overrides a register to be read, as the data sheet says */
        chip->poll = true;
    } else if (value & OCW3_RR) {
        chip->read_service = value & OCW3_RIS;
    }
}

/* ICW2 to ICW4. What ICW3 says is how the chips are wired, and that is as on every PC. */
static void write_icw(struct pic_chip *chip, uint8_t value) {
    switch (chip->expected) {
    case 2:
        chip->vector = value & 0xf8;
        chip->expected = !chip->single ? 3 : chip->icw4 ? 4 : 0;
        break;
    case 3: chip->expected = chip->icw4 ? 4 : 0; break;
    default:
        chip->auto_end = value & ICW4_AEOI;
        chip->special_fully_nested = value & ICW4_SFNM;
        chip->expected = 0;
        break;
    }
}

static void write_chip(struct pic_chip *chip, bool odd, uint8_t value) {
    if (odd) {
        if (chip->expected) {
            write_icw(chip, value);
        } else {
            chip->mask = value; /* OCW1 */
        }
    } else if (value & ICW1) {
        write_icw1(chip, value);
    } else if (value & OCW3) {
        write_ocw3(chip, value);
    } else {
        write_ocw2(chip, value);
    }
}

static void write_elcr(struct pic_chip *chip, uint8_t value) {
    chip->level_triggered = value;
    chip->request |= chip->lines & value; /* the level was there already */
}

void pic_write(struct pic *pic, uint16_t port, uint8_t value) {
    switch (port) {
    case PIC_MASTER_PORT:
    case PIC_MASTER_PORT + 1: write_chip(&pic->master, port & 1, value); break;
    case PIC_SLAVE_PORT:
    case PIC_SLAVE_PORT + 1: write_chip(&pic->slave, port & 1, value); break;
    case PIC_ELCR_PORT: write_elcr(&pic->master, value & ELCR_MASTER); break;
    case PIC_ELCR_PORT + 1: write_elcr(&pic->slave, value & ELCR_SLAVE); break;
    default: break;
    }
    cascade(pic);
}

static uint8_t read_chip(struct pic *pic, struct pic_chip *chip, bool odd) {
    if (chip->poll) { /* whichever of its ports is read */
        chip->poll = false;
        unsigned input = chip == &pic->slave ? acknowledge_slave(pic) : acknowledge(chip);
        return input == NONE ? 0 : (uint8_t)(0x80 | input);
    }
    if (odd) {
        return chip->mask;
    }
    return chip->read_service ? chip->service : chip->request;
}

uint8_t pic_read(struct pic *pic, uint16_t port) {
    switch (port) {
    case PIC_MASTER_PORT:
    case PIC_MASTER_PORT + 1: return read_chip(pic, &pic->master, port & 1);
    case PIC_SLAVE_PORT:
    case PIC_SLAVE_PORT + 1: return read_chip(pic, &pic->slave, port & 1);
    case PIC_ELCR_PORT: return pic->master.level_triggered;
    case PIC_ELCR_PORT + 1: return pic->slave.level_triggered;
    default: return 0xff;
    }
}

void pic_set_line(struct pic *pic, unsigned line, bool high) {
    const struct pic_chip *chip = line < 8 ? &pic->master : &pic->slave;
    if ((chip->lines >> (line & 7) & 1) == high) {
        return;
    }
    if (line >= 8) {
        set_input(&pic->slave, line - 8, high);
        cascade(pic);
    } else if (line != SLAVE_INPUT) {
        set_input(&pic->master, line, high);
    }
}

bool pic_is_requested(const struct pic *pic, unsigned line) {
    const struct pic_chip *chip = line < 8 ? &pic->master : &pic->slave;
    return chip->request >> (line & 7) & 1;
}

bool pic_output(const struct pic *pic) {
    return pending(&pic->master) != NONE;
}

void pic_start(struct pic *pic) {
    *pic = (struct pic){
        .master = {.mask = 0xff,
                   .vector = 0x08,
                   .slaves = 1 << SLAVE_INPUT,
                   .lowest = LOWEST_AT_START},
        .slave = {.mask = 0xff, .vector = 0x70, .lowest = LOWEST_AT_START},
    };
}

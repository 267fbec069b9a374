/*
 * Whoever has the console for himself writes on it as he likes, escape sequences and all. A line of
 * anybody else's comes in between whole: the unfinished line is broken off, and shown again after it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { UNFINISHED_SIZE = 256 };

/* What someone has written since the last line end. */
struct unfinished {
    char text[UNFINISHED_SIZE];
    size_t length;
};

/* Now it is whoever writes this line, and what there is of it is shown; NULL: nobody. */
void foreground_give(struct unfinished *line);
bool foreground_is(const struct unfinished *line);

/* He writes a byte, which goes out at once. */
void foreground_put(char byte);

/* Ends his line, if he has begun one. */
void foreground_end_line(void);

/* For core/console.c, before and after a line of somebody else's. */
void foreground_break_off(void);
void foreground_go_on(void);

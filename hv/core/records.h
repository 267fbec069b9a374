/*
 * COM2, for the harness: one JSON object a line (design contract 3). A record is built in memory
 * and written whole, so nothing can split it. Usage:
 *
 *     record_begin("vm-stop");
 *     record_text("guest", name);
 *     record_open("exits"); record_number("CPUID", 3); record_close();
 *     record_end();
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

void records_open(void);

void record_begin(const char *kind);
void record_end(void);

void record_text(const char *key, const char *value); /* NULL becomes null */
void record_number(const char *key, uint64_t value);  /* counts, codes, sizes: a JSON number */
void record_hex(const char *key, uint64_t value);     /* addresses, raw values: "0x..." */
void record_flag(const char *key, bool value);

/* A nested object, or with list set a list; members of a list have the key NULL. */
void record_open(const char *key);
void record_open_list(const char *key);
void record_close(void);

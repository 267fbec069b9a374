/*
 * NMIs are counted where they strike, which may be in the middle of a print or a record, and reported
 * afterwards: a line on the console, and the record {"kind":"nmi","count":how many so far}.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Called by the trap handler. */
void nmi_arrived(void);

/* Asked at each NMI whether it is whose who set this: then it is not counted. May be NULL. */
extern bool (*nmi_claim)(void);

/* Where a slice or an exit by NMI ends, and between slices. */
void nmi_report(void);

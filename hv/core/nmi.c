#include "core/nmi.h"

#include <stddef.h>

#include "core/console.h"
#include "core/records.h"

bool (*nmi_claim)(void);

static volatile uint64_t count;
static uint64_t reported;

void nmi_arrived(void) {
    if (!nmi_claim || !nmi_claim()) {
        count++;
    }
}

void nmi_report(void) {
    if (count == reported) {
        return;
    }
    reported = count;
    print("nmi", "received, %lu so far", reported);
    record_begin("nmi");
    record_number("count", reported);
    record_end();
}

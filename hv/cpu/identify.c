#include "cpu/identify.h"

#include <stddef.h>
#include <stdint.h>

#include "core/records.h"
#include "core/string.h"
#include "cpu/cpuid.h"

static void append(char **to, uint32_t word) {
    memcpy(*to, &word, sizeof word);
    *to += sizeof word;
}

static const char *vendor(void) {
    static char text[13];
    struct cpuid leaf = cpuid(0, 0);
    char *to = text;
    append(&to, leaf.ebx);
    append(&to, leaf.edx);
    append(&to, leaf.ecx);
    return text;
}

const char *identify_brand(void) {
    static char text[49];
    if (cpuid(0x80000000, 0).eax < 0x80000004) {
        return vendor();
    }
    char *to = text;
    for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; leaf++) {
        struct cpuid words = cpuid(leaf, 0);
        append(&to, words.eax);
        append(&to, words.ebx);
        append(&to, words.ecx);
        append(&to, words.edx);
    }
    /* Vendors pad the string with spaces, some in front, some behind. */
    while (to > text && (to[-1] == ' ' || to[-1] == '\0')) {
        *--to = '\0';
    }
    const char *start = text;
    while (*start == ' ') {
        start++;
    }
    return *start ? start : vendor();
}

const char *identify_hypervisor_below(void) {
    static char text[13];
    if (!(cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR)) {
        return NULL;
    }
    struct cpuid leaf = cpuid(0x40000000, 0);
    char *to = text;
    append(&to, leaf.ebx);
    append(&to, leaf.ecx);
    append(&to, leaf.edx);
    return text[0] ? text : "unnamed";
}

void identify_record(void) {
    uint32_t signature = cpuid(1, 0).eax;
    /* SDM 2A, CPUID, figure 3-6: the extended fields count for some families only. */
    uint32_t family = signature >> 8 & 15, model = signature >> 4 & 15;
    if (family == 6 || family == 15) {
        model |= signature >> 12 & 0xf0;
    }
    if (family == 15) {
        family += signature >> 20 & 0xff;
    }
    record_open("cpu");
    record_text("vendor", vendor());
    record_text("brand", identify_brand());
    record_number("family", family);
    record_number("model", model);
    record_number("stepping", signature & 15);
    record_close();
    record_text("hypervisor", identify_hypervisor_below());
}

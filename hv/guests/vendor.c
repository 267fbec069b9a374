/* Prints what no two makes of processor have in common: their maker's name. */
#include "cpu/cpuid.h"

#include "guests/runtime.h"

int guest_main(void) {
    struct cpuid leaf = cpuid(0, 0);
    uint32_t name[4] = {leaf.ebx, leaf.edx, leaf.ecx, 0};
    print("my processor was made by ");
    print((const char *)name);
    print("\n");
    return 0;
}

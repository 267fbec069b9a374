/* Looks at its processor as any kernel would: a hypervisor is announced, VT-x is not. */
#include "cpu/cpuid.h"

#include "guests/runtime.h"

int guest_main(void) {
    struct cpuid signature = cpuid(0x40000000, 0);
    uint32_t words[4] = {signature.ebx, signature.ecx, signature.edx, 0};
    print("the hypervisor calls itself ");
    print((const char *)words);
    print("\n");

    struct cpuid features = cpuid(1, 0);
    bool announced = features.ecx & CPUID_1_ECX_HYPERVISOR;
    bool no_vmx = !(features.ecx & CPUID_1_ECX_VMX);
    report(announced && no_vmx, features.ecx);
    return announced && no_vmx ? 0 : 1;
}

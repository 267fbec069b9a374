#include "vm/crash_memory.h"

#include "core/format.h"
#include "core/records.h"
#include "vm/guest_memory.h"
#include "vm/virt.h"

enum { CODE_BYTES = 32, STACK_WORDS = 16, MOST_FRAMES = 16 };
enum { RBP = 5 }; /* as instructions encode it */

static void record_code(struct vcpu *vcpu) {
    uint8_t code[CODE_BYTES];
    char text[2 * CODE_BYTES + 1] = "";
    unsigned count = guest_fetch(vcpu, guest_decode_mode(vcpu), code, sizeof code);
    for (unsigned i = 0; i < count; i++) {
        format(text + 2 * i, 3, "%02x", code[i]);
    }
    record_text("code", text);
}

static uint64_t base_of_stack(struct vcpu *vcpu) {
    return vcpu_in_64_bit_mode(vcpu) ? 0 : virt->get(vcpu, VCPU_SS_BASE);
}

/* How long a word on the stack is: that of the code, unless somebody mixes them. */
static unsigned word_size(struct vcpu *vcpu) {
    enum { RIGHTS_DB = 1 << 14 };
    if (vcpu_in_64_bit_mode(vcpu)) {
        return 8;
    }
    return virt->get(vcpu, VCPU_CS_RIGHTS) & RIGHTS_DB ? 4 : 2;
}

/* The list ends where the stack does, as far as it is mapped. */
static void record_stack(struct vcpu *vcpu) {
    uint64_t address = base_of_stack(vcpu) + virt->get(vcpu, VCPU_RSP);
    unsigned size = word_size(vcpu);
    record_number("word", size);
    record_open_list("stack");
    for (unsigned i = 0; i < STACK_WORDS; i++) {
        uint64_t word = 0;
        if (guest_linear_read(vcpu, address + i * size, &word, size) != size) {
            break;
        }
        record_hex(0, word);
    }
    record_close();
}

/* By frame pointers, as compilers lay frames out that keep them: the caller's, then the return address.
 * A guest that has none, or lies, costs a few words. */
static void record_frames(struct vcpu *vcpu) {
    uint64_t frame = vcpu_gpr(vcpu, RBP), base = base_of_stack(vcpu);
    unsigned size = word_size(vcpu);
    record_open_list("frames");
    for (unsigned i = 0; i < MOST_FRAMES && frame; i++) {
        uint64_t caller = 0, address = 0;
        if (guest_linear_read(vcpu, base + frame, &caller, size) != size ||
            guest_linear_read(vcpu, base + frame + size, &address, size) != size) {
            break;
        }
        record_hex(0, address);
        if (caller <= frame) {
            break; /* stacks grow down: a caller's frame lies above */
        }
        frame = caller;
    }
    record_close();
}

void crash_record_memory(struct vcpu *vcpu) {
    record_code(vcpu);
    record_stack(vcpu);
    record_frames(vcpu);
}

#include "core/stack.h"

#include "core/image.h"
#include "core/records.h"

enum { MAX_FRAMES = 24 };

struct frame {
    uint64_t caller; /* its frame pointer */
    uint64_t return_address;
};

void stack_record(uint64_t frame_pointer) {
    record_open_list("stack");
    for (int i = 0; i < MAX_FRAMES; i++) {
        /* All our stacks lie in the image's data; a damaged pointer must not fault here. */
        if (frame_pointer % 8 || frame_pointer < (uint64_t)image_rodata_end ||
            frame_pointer > (uint64_t)image_end - sizeof(struct frame)) {
            break;
        }
        const struct frame *frame = (const struct frame *)frame_pointer;
        record_hex(0, frame->return_address);
        if (frame->caller <= frame_pointer) {
            break; /* stacks grow down: a caller's frame lies above */
        }
        frame_pointer = frame->caller;
    }
    record_close();
}

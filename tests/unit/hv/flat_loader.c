/* vm/load_flat.c: an image without a header goes where its mode says, or is too big. */
#include "guests/abi.h"
#include "loading.h"

#define MEMORY (2 * MIB)

static void load(struct loading *loading, enum vcpu_mode mode, uint64_t size) {
    loading_begin(loading, BOOT_FLAT, MEMORY);
    loading->vm.options.mode = mode;
    loading->boot.image = file_of(NULL, size);
}

static void end(struct loading *loading) {
    file_free(&loading->boot.image);
    loading_end(loading);
}

void check_a_flat_image_stands_where_its_mode_says(void) {
    static const uint64_t places[] = {[VCPU_REAL] = GUEST_REAL_IMAGE_ADDRESS,
                                      [VCPU_PROTECTED] = GUEST_IMAGE_ADDRESS,
                                      [VCPU_LONG] = GUEST_IMAGE_ADDRESS};
    for (unsigned mode = VCPU_REAL; mode <= VCPU_LONG; mode++) {
        struct loading loading;
        load(&loading, (enum vcpu_mode)mode, 1000);
        expect(loading_loads(&loading));
        expect_equal(loading.start.mode, mode);
        expect_equal(loading.start.rip, places[mode]);
        expect_equal(guest_32(&loading, places[mode] + 996), 0xa5a5a5a5);
        expect(guest_is_zero(&loading, places[mode] + 1000, MEMORY));
        expect_equal(loading.start.cr3 != 0, mode == VCPU_LONG);
        end(&loading);
    }
}

void check_a_flat_image_is_refused_from_the_byte_on_that_has_no_room(void) {
    static const uint64_t most[] = {[VCPU_REAL] = GUEST_REAL_IMAGE_END - GUEST_REAL_IMAGE_ADDRESS,
                                    [VCPU_PROTECTED] = MEMORY - GUEST_IMAGE_ADDRESS -
                                                       (64 << 10), /* leaves room for its stack */
                                    [VCPU_LONG] = MEMORY - GUEST_IMAGE_ADDRESS - (64 << 10)};
    for (unsigned mode = VCPU_REAL; mode <= VCPU_LONG; mode++) {
        struct loading loading;
        load(&loading, (enum vcpu_mode)mode, most[mode]);
        expect(loading_loads(&loading));
        end(&loading);
        load(&loading, (enum vcpu_mode)mode, most[mode] + 1);
        loading_refuses(&loading, "too-big", "memory=");
        end(&loading);
    }
}

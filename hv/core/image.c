#include "core/image.h"

#include "core/format.h"

/* An ELF note: three words, the name "GNU", then the 20 bytes of the id. */
struct build_id_note {
    uint32_t name_size, id_size, type;
    char name[4];
    uint8_t id[20];
};
extern const struct build_id_note image_build_id_note;

const char *image_build_id(void) {
    static char text[2 * sizeof image_build_id_note.id + 1];
    if (!text[0]) {
        for (unsigned i = 0; i < sizeof image_build_id_note.id; i++) {
            format(text + 2 * i, 3, "%02x", image_build_id_note.id[i]);
        }
    }
    return text;
}

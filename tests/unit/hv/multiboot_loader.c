/* vm/load_multiboot.c and vm/elf32.c on kernels made here, by the specification's offsets. */
#include <stdio.h>

#include "loading.h"

#define MEMORY (4 * MIB)

enum {
    HEADER = 0x100, /* the multiboot header's offset */
    TEXT = 0x200,
    TEXT_SIZE = 0x300,
    DATA = 0x500,
    DATA_SIZE = 0x100,
    FILE_SIZE = 0x600,
    PROGRAM_HEADERS = 52,
};
#define TEXT_ADDRESS 0x100000u
#define DATA_ADDRESS 0x102000u
#define DATA_MEMORY  0x1234u
#define LINKED_AT    0xc0000000u

static uint8_t kernel[FILE_SIZE];

static void put_header(uint64_t offset, uint32_t flags) {
    put_number(kernel, offset, 4, 0x1badb002);
    put_number(kernel, offset + 4, 4, flags);
    put_number(kernel, offset + 8, 4, -(0x1badb002ull + flags));
}

static void put_segment(unsigned which, const uint32_t values[8]) {
    for (unsigned i = 0; i < 8; i++) {
        put_number(kernel, PROGRAM_HEADERS + 32 * which + 4 * i, 4, values[i]);
    }
}

/* Linked high, entered at a virtual address, with a note between its two segments; as GNU Mach is. */
static void make_elf(void) {
    static const uint8_t ident[] = {0x7f, 'E', 'L', 'F', 1, 1, 1};
    memset(kernel, 0, sizeof kernel);
    memcpy(kernel, ident, sizeof ident);
    put_number(kernel, 16, 2, 2);
    put_number(kernel, 18, 2, 3);
    put_number(kernel, 20, 4, 1);
    put_number(kernel, 24, 4, LINKED_AT + 0x24);
    put_number(kernel, 28, 4, PROGRAM_HEADERS);
    put_number(kernel, 42, 2, 32);
    put_number(kernel, 44, 2, 3);
    put_segment(0, (uint32_t[]){1, TEXT, LINKED_AT, TEXT_ADDRESS, TEXT_SIZE, TEXT_SIZE, 5, 0});
    put_segment(1, (uint32_t[]){4, UINT32_MAX, 0, 0, UINT32_MAX, UINT32_MAX, 4, 0});
    put_segment(
        2, (uint32_t[]){1, DATA, LINKED_AT + 0x2000, DATA_ADDRESS, DATA_SIZE, DATA_MEMORY, 6, 0});
    put_header(HEADER, 3);
    memset(kernel + TEXT, 0x90, TEXT_SIZE);
    memset(kernel + DATA, 0xdd, DATA_SIZE);
}

/* The same bytes, whose header says itself where they go: the whole file to 1 MiB. */
static void make_flat(void) {
    memset(kernel, 0x90, sizeof kernel);
    put_header(HEADER, 0x10003);
    put_number(kernel, HEADER + 12, 4, MIB + HEADER);
    put_number(kernel, HEADER + 16, 4, MIB);
    put_number(kernel, HEADER + 20, 4, 0);
    put_number(kernel, HEADER + 24, 4, MIB + 0x5000);
    put_number(kernel, HEADER + 28, 4, MIB + 0x40);
}

static void begin(struct loading *loading) {
    loading_begin(loading, BOOT_MULTIBOOT, MEMORY);
    loading->boot.image = file_of(kernel, sizeof kernel);
}

static void add_module(struct loading *loading, const char *string, const void *bytes,
                       uint64_t size) {
    unsigned i = loading->boot.module_count++;
    strcpy(loading->boot.module_strings[i], string);
    loading->boot.modules[i] = file_of(bytes, size);
}

static void end(struct loading *loading) {
    file_free(&loading->boot.image);
    for (unsigned i = 0; i < loading->boot.module_count; i++) {
        file_free(&loading->boot.modules[i]);
    }
    loading_end(loading);
}

static const char *guest_text(struct loading *loading, uint64_t address) {
    const char *text = guest_bytes(loading, address, 1);
    expect(memchr(text, 0, MEMORY - address));
    return text;
}

void check_an_elf_kernel_is_loaded_and_entered_by_physical_addresses(void) {
    struct loading loading;
    make_elf();
    begin(&loading);
    strcpy(loading.boot.command_line, "console=com0");
    expect(loading_loads(&loading));
    expect_protected_mode(&loading);
    expect_equal(loading.start.rip, TEXT_ADDRESS + 0x24);
    expect_equal(loading.start.rax, 0x2badb002);
    expect(memcmp(guest_bytes(&loading, TEXT_ADDRESS, TEXT_SIZE), kernel + TEXT, TEXT_SIZE) == 0);
    expect(memcmp(guest_bytes(&loading, DATA_ADDRESS, DATA_SIZE), kernel + DATA, DATA_SIZE) == 0);
    expect(guest_is_zero(&loading, TEXT_ADDRESS + TEXT_SIZE, DATA_ADDRESS));
    expect(guest_is_zero(&loading, DATA_ADDRESS + DATA_SIZE, MEMORY));
    end(&loading);
}

void check_the_information_tells_memory_command_line_and_modules(void) {
    struct loading loading;
    make_elf();
    begin(&loading);
    strcpy(loading.boot.command_line, "console=com0 \"a b\"");
    add_module(&loading, "task.elf $(task-create) $(task-resume)", "first", 5);
    add_module(&loading, "empty", NULL, 0);
    add_module(&loading, "large", NULL, 8192);
    expect(loading_loads(&loading));
    uint64_t info = loading.start.rbx;
    expect_equal(guest_32(&loading, info), 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6);
    expect_equal(guest_32(&loading, info + 4), 639);
    expect_equal(guest_32(&loading, info + 8), (MEMORY - MIB) / 1024);
    expect(strcmp(guest_text(&loading, guest_32(&loading, info + 16)), loading.boot.command_line) ==
           0);

    expect_equal(guest_32(&loading, info + 20), 3);
    uint64_t modules = guest_32(&loading, info + 24), end_before = DATA_ADDRESS + DATA_MEMORY;
    for (unsigned i = 0; i < 3; i++) {
        uint32_t start = guest_32(&loading, modules + 16 * i);
        uint32_t limit = guest_32(&loading, modules + 16 * i + 4);
        const struct guest_file *file = &loading.boot.modules[i];
        expect(start % 4096 == 0 && start >= end_before && start < end_before + 4096);
        expect_equal(limit - start, file->size);
        expect(memcmp(guest_bytes(&loading, start, file->size), file->bytes, file->size) == 0);
        expect(strcmp(guest_text(&loading, guest_32(&loading, modules + 16 * i + 8)),
                      loading.boot.module_strings[i]) == 0);
        end_before = limit;
    }

    static const uint64_t regions[][2] = {{0, 0x9fc00}, {MIB, MEMORY - MIB}};
    expect_equal(guest_32(&loading, info + 44), 2 * 24);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t entry = guest_32(&loading, info + 48) + 24 * i;
        expect_equal(guest_32(&loading, entry), 20);
        expect(memcmp(guest_bytes(&loading, entry + 4, 16), regions[i], 16) == 0);
        expect_equal(guest_32(&loading, entry + 20), 1);
    }
    end(&loading);
}

void check_a_kernel_with_addresses_in_its_header_is_loaded_by_them(void) {
    struct loading loading;
    make_flat();
    begin(&loading);
    add_module(&loading, "module", "x", 1);
    expect(loading_loads(&loading));
    expect_equal(loading.start.rip, MIB + 0x40);
    expect(memcmp(guest_bytes(&loading, MIB, FILE_SIZE), kernel, FILE_SIZE) == 0);
    uint64_t module = guest_32(&loading, guest_32(&loading, loading.start.rbx + 24));
    expect_equal(module, MIB + 0x5000); /* behind bss_end_addr */
    expect(guest_is_zero(&loading, MIB + FILE_SIZE, module));
    end(&loading);

    put_number(kernel, HEADER + 16, 4, MIB + 0x80);  /* leaves out the file's beginning */
    put_number(kernel, HEADER + 20, 4, MIB + 0x200); /* and its end */
    put_number(kernel, HEADER + 24, 4, 0);
    put_number(kernel, HEADER + 28, 4, MIB + 0x80);
    begin(&loading);
    expect(loading_loads(&loading));
    expect(memcmp(guest_bytes(&loading, MIB + 0x80, 0x180), kernel + 0x80, 0x180) == 0);
    expect(guest_is_zero(&loading, MIB, MIB + 0x80));
    expect(guest_is_zero(&loading, MIB + 0x200, MEMORY));
    end(&loading);
}

struct field {
    unsigned offset, width;
    uint64_t value;
    const char *reason, *word;
};

enum { FIRST = PROGRAM_HEADERS, LAST = PROGRAM_HEADERS + 64 };

static const struct field broken_elf[] = {
    {HEADER, 4, 0, "bad-image", "multiboot header"},
    {HEADER + 8, 4, 0, "bad-image", "checksum"},
    {0, 1, 0, "bad-image", "e_ident"},
    {4, 1, 2, "bad-image", "e_ident"},
    {5, 1, 2, "bad-image", "e_ident"},
    {16, 2, 3, "bad-image", "e_type"},
    {18, 2, 62, "bad-image", "e_machine"},
    {24, 4, LINKED_AT - 1, "bad-image", "e_entry"},
    {24, 4, LINKED_AT + TEXT_SIZE, "bad-image", "e_entry"},
    {24, 4, TEXT_ADDRESS, "bad-image", "e_entry"},
    {28, 4, UINT32_MAX, "bad-image", "e_phoff"},
    {28, 4, FILE_SIZE - 95, "bad-image", "e_phoff"},
    {42, 2, 31, "bad-image", "e_phentsize"},
    {42, 2, 0, "bad-image", "e_phentsize"},
    {44, 2, 0xffff, "bad-image", "e_phnum"},
    {44, 2, 0, "bad-image", "e_entry"},
    {FIRST + 4, 4, FILE_SIZE - TEXT_SIZE + 1, "bad-image", "p_offset"},
    {FIRST + 4, 4, UINT32_MAX, "bad-image", "p_offset"},
    {FIRST + 16, 4, TEXT_SIZE + 1, "bad-image", "p_filesz"},
    {LAST + 16, 4, UINT32_MAX, "bad-image", "p_filesz"},
    {FIRST + 12, 4, 0, "bad-image", "below 1 MiB"},
    {FIRST + 12, 4, MIB - 1, "bad-image", "below 1 MiB"},
    {LAST + 12, 4, TEXT_ADDRESS + TEXT_SIZE - 1, "bad-image", "overlap"},
    {LAST + 12, 4, TEXT_ADDRESS, "bad-image", "overlap"},
    {FIRST + 12, 4, DATA_ADDRESS + DATA_MEMORY - 1, "bad-image", "overlap"},
    {LAST + 20, 4, MEMORY - DATA_ADDRESS + 1, "too-big", "memory="},
    {LAST + 20, 4, UINT32_MAX, "too-big", "memory="},
    {FIRST + 12, 4, UINT32_MAX, "too-big", "memory="},
};

static const struct field broken_flat[] = {
    {HEADER + 12, 4, MIB - 1, "bad-image", "load_addr"},
    {HEADER + 12, 4, MIB + HEADER + 1, "bad-image", "load_addr"}, /* starts before the file does */
    {HEADER + 12, 4, UINT32_MAX, "bad-image", "load_addr"},
    {HEADER + 16, 4, UINT32_MAX, "bad-image", "load_addr"},
    {HEADER + 20, 4, MIB - 1, "bad-image", "load_end_addr"},
    {HEADER + 20, 4, MIB + FILE_SIZE + 1, "bad-image", "load_end_addr"},
    {HEADER + 20, 4, UINT32_MAX, "bad-image", "load_end_addr"},
    {HEADER + 24, 4, 1, "bad-image", "bss_end_addr"},
    {HEADER + 24, 4, MIB + FILE_SIZE - 1, "bad-image", "bss_end_addr"},
    {HEADER + 24, 4, MEMORY + 1, "too-big", "memory="},
    {HEADER + 24, 4, UINT32_MAX, "too-big", "memory="},
    {HEADER + 28, 4, MIB - 1, "bad-image", "entry_addr"},
    {HEADER + 28, 4, MIB + 0x5000, "bad-image", "entry_addr"},
};

static void expect_refusals(void (*make)(void), const struct field *fields, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        struct loading loading;
        make();
        put_number(kernel, fields[i].offset, fields[i].width, fields[i].value);
        begin(&loading);
        loading_refuses(&loading, fields[i].reason, fields[i].word);
        end(&loading);
    }
}

void check_a_segment_of_zeros_alone_may_be_said_to_lie_anywhere(void) {
    struct loading loading;
    make_elf();
    put_number(kernel, LAST + 4, 4, UINT32_MAX);
    put_number(kernel, LAST + 16, 4, 0);
    begin(&loading);
    expect(loading_loads(&loading));
    expect(guest_is_zero(&loading, TEXT_ADDRESS + TEXT_SIZE, MEMORY));
    end(&loading);
}

void check_each_field_of_an_elf_kernel_broken_alone_is_refused_by_its_name(void) {
    expect_refusals(make_elf, broken_elf, sizeof broken_elf / sizeof broken_elf[0]);
}

void check_each_address_of_a_header_broken_alone_is_refused_by_its_name(void) {
    expect_refusals(make_flat, broken_flat, sizeof broken_flat / sizeof broken_flat[0]);
}

void check_a_kernel_that_demands_what_nothing_here_has_is_refused(void) {
    for (unsigned bit = 0; bit < 32; bit++) {
        struct loading loading;
        make_elf();
        put_header(HEADER, 1u << bit);
        begin(&loading);
        if (bit >= 2 && bit < 16) { /* 3.1.2: those that a loader must honour or refuse */
            loading_refuses(&loading, "bad-image", "flags");
        } else if (bit != 16) {
            expect(loading_loads(&loading));
        }
        end(&loading);
    }
}

void check_a_header_counts_in_the_first_8192_bytes_on_a_multiple_of_four(void) {
    static uint8_t image[16384];
    static const struct {
        unsigned offset;
        bool found;
    } places[] = {{0x200, true}, {8180, true}, {8184, false}, {8192, false}, {0x202, false}};
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct loading loading;
        make_elf();
        memset(kernel + HEADER, 0, 12);
        memset(image, 0, sizeof image);
        memcpy(image, kernel, sizeof kernel);
        put_number(image, places[i].offset, 4, 0x1badb002);
        put_number(image, places[i].offset + 4, 8, (uint64_t)-0x1badb002u << 32);
        loading_begin(&loading, BOOT_MULTIBOOT, MEMORY);
        loading.boot.image = file_of(image, sizeof image);
        expect_equal(loading_loads(&loading), places[i].found);
        end(&loading);
    }
}

void check_a_kernel_that_is_cut_off_anywhere_is_refused(void) {
    for (unsigned kind = 0; kind < 2; kind++) {
        struct loading loading;
        kind ? make_flat() : make_elf();
        if (kind) {
            put_number(kernel, HEADER + 20, 4, MIB + FILE_SIZE);
        }
        loading_begin(&loading, BOOT_MULTIBOOT, MEMORY);
        for (uint64_t size = 0; size < FILE_SIZE; size++) {
            loading.boot.image = file_of(kernel, size);
            loading_refuses(&loading, "bad-image", "");
            file_free(&loading.boot.image);
        }
        loading_end(&loading);
    }
}

void check_more_segments_than_there_is_room_for_are_refused(void) {
    static uint8_t image[0x1000];
    for (unsigned count = 15; count <= 18; count++) {
        struct loading loading;
        make_elf();
        memcpy(image, kernel, sizeof kernel);
        put_number(image, 28, 4, 0x800);
        put_number(image, 44, 2, count);
        for (unsigned i = 0; i < count; i++) {
            uint32_t at = MIB + i * 0x1000;
            uint32_t one[] = {1, TEXT, i ? at : LINKED_AT, at, 4, 0x1000, 5, 0};
            memcpy(image + 0x800 + 32 * i, one, sizeof one);
        }
        loading_begin(&loading, BOOT_MULTIBOOT, MEMORY);
        loading.boot.image = file_of(image, sizeof image);
        expect_equal(loading_loads(&loading), count <= 16);
        end(&loading);
    }
}

void check_modules_go_up_to_the_byte_that_there_is_room_for(void) {
    const uint64_t room = MEMORY - 0x104000; /* from the page behind DATA_MEMORY on */
    for (uint64_t size = room - 1; size <= room + 1; size++) {
        struct loading loading;
        make_elf();
        begin(&loading);
        add_module(&loading, "a", NULL, size);
        add_module(&loading, "b", NULL, 0);
        expect_equal(loading_loads(&loading), size <= room);
        end(&loading);
    }
    struct loading loading;
    make_elf();
    begin(&loading);
    add_module(&loading, "a", NULL, room);
    add_module(&loading, "bee", NULL, 1);
    loading_refuses(&loading, "too-big", "bee");
    end(&loading);
}

static void change_something(void) {
    unsigned width = 1u << random_below(3);
    unsigned at = (unsigned)random_below(2) ? (unsigned)random_below(PROGRAM_HEADERS + 96)
                                            : HEADER + (unsigned)random_below(32);
    uint64_t value = random_number() >> random_below(64);
    put_number(kernel, at, width, random_below(8) ? value : -value);
}

/* Random headers: whatever is taken lies within the guest's memory, and so does its entry point. */
void check_no_kernel_makes_it_write_or_read_where_it_must_not(void) {
    struct loading loading;
    unsigned taken = 0;
    loading_begin(&loading, BOOT_MULTIBOOT, MEMORY);
    for (unsigned round = 0; round < 20000; round++) {
        random_below(2) ? make_flat() : make_elf();
        for (uint64_t changes = 1 + random_below(3); changes; changes--) {
            change_something();
        }
        loading.boot.image =
            file_of(kernel, random_below(8) ? sizeof kernel : random_below(FILE_SIZE));
        loading.boot.module_count = 0;
        add_module(&loading, "module", NULL, random_below(1ull << random_below(23)));
        if (loading_loads(&loading)) {
            taken++;
            expect(loading.start.rip >= MIB && loading.start.rip < MEMORY);
            if (random_below(16) == 0) {
                expect_protected_mode(&loading);
            }
        }
        file_free(&loading.boot.image);
        file_free(&loading.boot.modules[0]);
    }
    printf("  %u were taken\n", taken);
    expect(taken > 1000);
    loading_end(&loading);
}

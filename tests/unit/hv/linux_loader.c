/* vm/load_linux.c on kernels made here, by the offsets in boot.rst rather than by linux_boot.h. */
#include <stdio.h>

#include "loading.h"

enum { SECTORS = 2, SETUP = (SECTORS + 1) * 512, CODE = 5000, FILE_SIZE = SETUP + 313 * 16 };
#define MEMORY       (4 * MIB)
#define PREF_ADDRESS (2 * MIB)
#define INIT_SIZE    0x20000ull

static uint8_t kernel[FILE_SIZE];

/* A relocatable kernel of version 2.15 whose code is 313 paragraphs of no zeros. */
static void make_kernel(void) {
    memset(kernel, 0x11, SETUP);
    memset(kernel + SETUP, 0xc3, FILE_SIZE - SETUP);
    memset(kernel + 0x1f1, 0, 0x26c - 0x1f1);
    put_number(kernel, 0x1f1, 1, SECTORS);
    put_number(kernel, 0x1f4, 4, (FILE_SIZE - SETUP) / 16);
    put_number(kernel, 0x1fe, 2, 0xaa55);
    put_number(kernel, 0x200, 2, 0x6aeb);
    put_number(kernel, 0x202, 4, 0x53726448);
    put_number(kernel, 0x206, 2, 0x020f);
    put_number(kernel, 0x211, 1, 1);
    put_number(kernel, 0x214, 4, MIB);
    put_number(kernel, 0x22c, 4, 0x7fffffff);
    put_number(kernel, 0x230, 4, 0x1000);
    put_number(kernel, 0x234, 1, 1);
    put_number(kernel, 0x238, 4, 100);
    put_number(kernel, 0x250, 8, 0xdeadbeef); /* setup_data: the loader's to give */
    put_number(kernel, 0x258, 8, PREF_ADDRESS);
    put_number(kernel, 0x260, 4, INIT_SIZE);
    put_number(kernel, 0x268, 4, 0x12345678); /* kernel_info_offset: newer than what is read */
}

static void begin(struct loading *loading) {
    loading_begin(loading, BOOT_LINUX, MEMORY);
    loading->boot.image = file_of(kernel, sizeof kernel);
}

static void end(struct loading *loading) {
    file_free(&loading->boot.image);
    file_free(&loading->boot.initrd);
    loading_end(loading);
}

void check_a_good_kernel_finds_everything_where_the_protocol_says(void) {
    struct loading loading;
    make_kernel();
    begin(&loading);
    loading.boot.initrd = file_of(NULL, 5001);
    strcpy(loading.boot.command_line, "console=ttyS0 quote=\"a b\"");
    expect(loading_loads(&loading));
    expect_protected_mode(&loading);
    expect_equal(loading.start.rip, PREF_ADDRESS);
    expect(loading.start.rbx == 0 && loading.start.rax == 0);
    expect(memcmp(guest_bytes(&loading, PREF_ADDRESS, CODE), kernel + SETUP, CODE) == 0);

    uint64_t params = loading.start.rsi;
    expect(params && guest_is_zero(&loading, params, params + 0x1e8));
    expect_equal(guest_32(&loading, params + 0x202), 0x53726448);
    expect_equal(guest_32(&loading, params + 0x268), 0x12345678);
    expect(guest_is_zero(&loading, params + 0x26c, params + 0x2d0));
    expect_equal(*(uint8_t *)guest_bytes(&loading, params + 0x210, 1), 0xff);
    expect_equal(guest_32(&loading, params + 0x214), PREF_ADDRESS);
    expect_equal(guest_32(&loading, params + 0x250), 0);
    expect(strcmp(guest_bytes(&loading, guest_32(&loading, params + 0x228), 26),
                  loading.boot.command_line) == 0);

    uint32_t ramdisk = guest_32(&loading, params + 0x218);
    expect_equal(guest_32(&loading, params + 0x21c), 5001);
    expect_equal(ramdisk, MEMORY - 0x2000);
    expect(memcmp(guest_bytes(&loading, ramdisk, 5001), loading.boot.initrd.bytes, 5001) == 0);

    expect_equal(*(uint8_t *)guest_bytes(&loading, params + 0x1e8, 1), 2);
    static const uint64_t regions[][2] = {{0, 0x9fc00}, {MIB, MEMORY - MIB}};
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t *entry = guest_bytes(&loading, params + 0x2d0 + 20 * i, 20);
        expect(memcmp(entry, regions[i], 16) == 0);
        expect_equal(entry[16], 1);
    }
    end(&loading);
}

void check_without_an_initrd_there_is_none_whatever_the_header_said(void) {
    struct loading loading;
    make_kernel();
    put_number(kernel, 0x218, 8, 0x1234567890abcdef);
    begin(&loading);
    expect(loading_loads(&loading));
    expect(guest_is_zero(&loading, loading.start.rsi + 0x218, loading.start.rsi + 0x220));
    expect(guest_is_zero(&loading, PREF_ADDRESS + FILE_SIZE - SETUP, MEMORY));
    end(&loading);
}

void check_a_kernel_that_can_t_be_moved_is_loaded_at_one_mebibyte(void) {
    struct loading loading;
    make_kernel();
    put_number(kernel, 0x234, 1, 0);
    put_number(kernel, 0x230, 4, 0); /* an alignment that nobody asks about */
    begin(&loading);
    expect(loading_loads(&loading));
    expect_equal(loading.start.rip, MIB);
    expect_equal(guest_32(&loading, loading.start.rsi + 0x214), MIB);
    expect(memcmp(guest_bytes(&loading, MIB, CODE), kernel + SETUP, CODE) == 0);
    end(&loading);
}

struct field {
    unsigned offset, width;
    uint64_t value;
    const char *reason, *word;
};

static const struct field broken[] = {
    {0x1f1, 1, 255, "bad-image", "setup_sects"},
    {0x1f1, 1, FILE_SIZE / 512, "bad-image", "setup_sects"},
    {0x1f4, 4, 0, "bad-image", "syssize"},
    {0x1f4, 4, 314, "bad-image", "syssize"},
    {0x1f4, 4, 0x10000139, "bad-image", "syssize"}, /* shifted by 4 in 32 bits it would be right */
    {0x1f4, 4, UINT32_MAX, "bad-image", "syssize"},
    {0x1fe, 2, 0x55aa, "bad-image", "boot_flag"},
    {0x200, 2, 0x61eb, "bad-image", "jump"}, /* ends within init_size */
    {0x200, 2, 0x8feb, "bad-image", "jump"}, /* would run into what follows in boot_params */
    {0x200, 2, 0x00eb, "bad-image", "jump"},
    {0x202, 4, 0x53726449, "bad-image", "HdrS"},
    {0x206, 2, 0x0209, "bad-image", "version"},
    {0x211, 1, 0xfe, "bad-image", "loadflags"},
    {0x22c, 4, 0, "too-big", "initrd_addr_max"},
    {0x22c, 4, PREF_ADDRESS + INIT_SIZE, "too-big", "initrd_addr_max"},
    {0x230, 4, 0, "bad-image", "kernel_alignment"},
    {0x230, 4, 0x3000, "bad-image", "kernel_alignment"},
    {0x230, 4, 0x400000, "bad-image", "kernel_alignment"},
    {0x238, 4, 4, "too-big", "cmdline_size"},
    {0x258, 8, 0, "bad-image", "pref_address"},
    {0x258, 8, MIB - 0x1000, "bad-image", "pref_address"},
    {0x258, 8, 1ull << 32, "bad-image", "pref_address"},
    {0x258, 8, ~0xfffull, "bad-image", "pref_address"},
    {0x258, 8, MEMORY, "too-big", "init_size"},
    {0x258, 8, 0xfffff000, "too-big", "init_size"},
    {0x260, 4, MEMORY - PREF_ADDRESS + 1, "too-big", "init_size"},
    {0x260, 4, UINT32_MAX, "too-big", "init_size"},
};

void check_each_field_broken_alone_is_refused_by_its_name(void) {
    for (unsigned i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct loading loading;
        make_kernel();
        put_number(kernel, broken[i].offset, broken[i].width, broken[i].value);
        begin(&loading);
        strcpy(loading.boot.command_line, "quiet");
        loading.boot.initrd = file_of(NULL, 100);
        loading_refuses(&loading, broken[i].reason, broken[i].word);
        expect(guest_is_zero(&loading, 0, MEMORY)); /* nothing was loaded before the last check */
        end(&loading);
    }
}

void check_a_file_that_is_cut_off_anywhere_is_refused(void) {
    struct loading loading;
    make_kernel();
    loading_begin(&loading, BOOT_LINUX, MEMORY);
    for (uint64_t size = 0; size < FILE_SIZE; size++) {
        loading.boot.image = file_of(kernel, size);
        bool last_paragraph =
            size > FILE_SIZE - 16; /* which need not be whole: memtest86+ has it so */
        expect(loading_loads(&loading) == last_paragraph);
        expect(last_paragraph || strcmp(loading.refusal.reason, "bad-image") == 0);
        file_free(&loading.boot.image);
    }
    loading_end(&loading);
}

void check_no_setup_sectors_mean_four(void) {
    static uint8_t image[5 * 512 + 16];
    struct loading loading;
    make_kernel();
    memcpy(image, kernel, SETUP);
    memset(image + 5 * 512, 0x77, 16);
    put_number(image, 0x1f1, 1, 0);
    put_number(image, 0x1f4, 4, 1);
    loading_begin(&loading, BOOT_LINUX, MEMORY);
    loading.boot.image = file_of(image, sizeof image);
    expect(loading_loads(&loading));
    expect_equal(guest_32(&loading, PREF_ADDRESS + 12), 0x77777777);
    expect(guest_is_zero(&loading, PREF_ADDRESS + 16, MEMORY));
    end(&loading);
}

void check_an_initrd_goes_up_to_the_byte_that_there_is_room_for(void) {
    const uint64_t room = MEMORY - PREF_ADDRESS - INIT_SIZE;
    const uint64_t limits[] = {0x7fffffff, UINT32_MAX, MEMORY - 1, MEMORY - 0x801, MEMORY - 0x1001};
    for (unsigned i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        uint64_t top = limits[i] + 1 < MEMORY ? limits[i] + 1 : MEMORY;
        uint64_t most = top - (MEMORY - room);
        for (uint64_t size = most - 2; size <= most + 2; size++) {
            struct loading loading;
            make_kernel();
            put_number(kernel, 0x22c, 4, limits[i]);
            begin(&loading);
            loading.boot.initrd = file_of(NULL, size);
            expect(loading_loads(&loading) == (size <= most));
            if (size <= most) {
                uint32_t start = guest_32(&loading, loading.start.rsi + 0x218);
                expect(start % 4096 == 0 && start >= PREF_ADDRESS + INIT_SIZE);
                expect(start + size <= top);
                expect(guest_is_zero(&loading, PREF_ADDRESS + FILE_SIZE - SETUP, start));
            }
            end(&loading);
        }
    }
}

void check_a_command_line_is_taken_up_to_what_the_kernel_takes(void) {
    for (uint64_t length = 98; length <= 102; length++) {
        struct loading loading;
        make_kernel();
        begin(&loading);
        memset(loading.boot.command_line, 'x', length);
        expect(loading_loads(&loading) == (length <= 100));
        end(&loading);
    }
    struct loading loading;
    make_kernel();
    put_number(kernel, 0x238, 4, UINT32_MAX);
    begin(&loading);
    memset(loading.boot.command_line, 'y', BOOT_COMMAND_LINE_SIZE - 1);
    expect(loading_loads(&loading));
    uint32_t at = guest_32(&loading, loading.start.rsi + 0x228);
    expect_equal(strlen(guest_bytes(&loading, at, BOOT_COMMAND_LINE_SIZE)),
                 BOOT_COMMAND_LINE_SIZE - 1);
    end(&loading);
}

/* Random headers: whatever is taken keeps within the guest's memory, and apart from each other. */
void check_no_header_makes_it_write_or_read_where_it_must_not(void) {
    static const unsigned interesting[] = {0x1f1, 0x1f4, 0x1f6, 0x201, 0x206, 0x211, 0x22c, 0x22e,
                                           0x230, 0x233, 0x234, 0x238, 0x258, 0x25a, 0x25c, 0x260};
    struct loading loading;
    unsigned taken = 0;
    loading_begin(&loading, BOOT_LINUX, MEMORY);
    for (unsigned round = 0; round < 20000; round++) {
        make_kernel();
        for (uint64_t changes = 1 + random_below(3); changes; changes--) {
            unsigned at = interesting[random_below(sizeof interesting / sizeof interesting[0])];
            unsigned width = 1u << random_below(4);
            uint64_t value = random_number() >> random_below(64);
            put_number(kernel, at, width, random_below(8) ? value : -value);
        }
        loading.boot.image =
            file_of(kernel, random_below(8) ? sizeof kernel : random_below(FILE_SIZE));
        loading.boot.initrd =
            file_of(NULL, random_below(3) ? 1 + random_below(1ull << random_below(23)) : 0);
        if (loading_loads(&loading)) {
            taken++;
            uint64_t params = loading.start.rsi, image = loading.start.rip;
            uint64_t ramdisk = guest_32(&loading, params + 0x218);
            expect(image >= MIB && image < MEMORY);
            if (loading.boot.initrd.size) {
                guest_bytes(&loading, ramdisk, loading.boot.initrd.size);
                expect(ramdisk >= image + 16);
            }
            expect_protected_mode(&loading);
            memset(guest_bytes(&loading, params, 4096), 0, 4096); /* e820 entries count from 0 */
        }
        file_free(&loading.boot.image);
        file_free(&loading.boot.initrd);
    }
    printf("  %u were taken\n", taken);
    expect(taken > 100);
    loading_end(&loading);
}

/* vm/options.c and vm/boot_files.c: which module is a guest, which is data, and what a guest asks for. */
#include "vm/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/refuse.h"

struct boot_info boot_info;

static jmp_buf refused;
static char message[512];

noreturn void refuse(const char *reason, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    expect(strcmp(reason, "bad-option") == 0);
    longjmp(refused, 1);
}

static struct vm_options options;
static struct guest_boot boot;

static void pass(const char *const strings[]) {
    memset(&boot_info, 0, sizeof boot_info);
    for (unsigned i = 0; strings[i]; i++) {
        expect(strlen(strings[i]) < STRING_SIZE);
        strcpy(boot_info.modules[i].string, strings[i]);
        boot_info.modules[i].start = 0x1000 * (i + 1);
        boot_info.modules[i].end = 0x1000 * (i + 1) + 10 * i + 10;
        boot_info.module_count++;
    }
}

/* Whether the module's string is taken; else `message` says why. */
static bool takes(unsigned module) {
    message[0] = '\0';
    if (setjmp(refused)) {
        return false;
    }
    vm_options_parse(&boot_info.modules[module], &options, &boot);
    return true;
}

static void expect_refused(const char *string, const char *says) {
    pass((const char *[]){string, "data.img", "guest.bin memory=4M", NULL});
    expect(!takes(0));
    printf("  %s\n", message);
    expect(strstr(message, says));
}

void check_a_guest_is_called_after_its_file_and_flat_in_long_mode_unless_it_says(void) {
    pass((const char *[]){"/boot/hello.world.bin", NULL});
    expect(takes(0));
    expect(strcmp(options.name, "hello.world") == 0);
    expect_equal(options.mode, VCPU_LONG);
    expect_equal(options.memory, 4 << 20);
    expect_equal(options.page_size, 2 << 20);
    expect_equal(boot.protocol, BOOT_FLAT);
    expect(boot.image.bytes == (uint8_t *)0x1000 && boot.image.size == 10);
}

void check_a_linux_guest_gets_its_command_line_and_its_ramdisk(void) {
    pass((const char *[]){"bz boot=linux cmdline=\"root=\\\"a b\\\" quiet\" initrd=init.cpio "
                          "memory=2G name=l",
                          "/some/where/init.cpio", NULL});
    expect(takes(0));
    expect_equal(boot.protocol, BOOT_LINUX);
    expect_equal(options.mode, VCPU_PROTECTED);
    expect_equal(options.memory, 2ull << 30);
    expect(strcmp(boot.command_line, "root=\"a b\" quiet") == 0);
    expect(boot.initrd.bytes == (uint8_t *)0x2000 && boot.initrd.size == 20);
}

void check_a_guest_chooses_its_page_size(void) {
    static const char *const strings[] = {"x pages=4K", "x pages=2M", "x pages=1G"};
    for (unsigned i = 0; i < 3; i++) {
        pass((const char *[]){strings[i], NULL});
        expect(takes(0));
        expect_equal(options.page_size, 1ull << (12 + 9 * i));
    }
}

void check_a_multiboot_guest_gets_modules_in_order_with_their_whole_strings(void) {
    pass((const char *[]){"mach boot=multiboot module=\"b $(x) \\\"y\\\"\" module=a module=b", "a",
                          "dir/b", NULL});
    expect(takes(0));
    expect_equal(boot.module_count, 3);
    static const char *const strings[] = {"b $(x) \"y\"", "a", "b"};
    static const uint64_t starts[] = {0x3000, 0x2000, 0x3000};
    for (unsigned i = 0; i < 3; i++) {
        expect(strcmp(boot.module_strings[i], strings[i]) == 0);
        expect_equal((uint64_t)boot.modules[i].bytes, starts[i]);
    }
}

void check_what_some_guest_names_is_data_and_nothing_else_is(void) {
    pass((const char *[]){"one boot=linux initrd=init", "init", "two boot=linux initrd=/x/init",
                          "init2", "three name=init boot=multiboot module=\"task words\"",
                          "path/task", "cmdline=initrd=two", "name=task", NULL});
    static const bool data[] = {false, true, false, false, false, true, false, false};
    for (unsigned i = 0; i < boot_info.module_count; i++) {
        expect_equal(boot_file_is_data(&boot_info.modules[i]), data[i]);
    }
}

void check_a_name_within_a_quoted_value_names_nothing(void) {
    pass((const char *[]){"one boot=linux cmdline=\"x initrd=two module=two\"", "two", NULL});
    expect(!boot_file_is_data(&boot_info.modules[1]));
}

void check_a_name_that_two_modules_have_is_refused(void) {
    pass((const char *[]){"x boot=linux initrd=init", "a/init", "b/init", NULL});
    expect(!takes(0));
    expect(strstr(message, "initrd=init is the name of none, or several"));
    pass((const char *[]){"bz name=a boot=linux initrd=init", "bz name=b boot=linux initrd=init",
                          "init", NULL});
    expect(takes(0) && takes(1)); /* one image may serve several guests */
}

void check_each_mistake_is_named(void) {
    expect_refused("x boot=uefi", "boot=uefi is none of flat, linux, multiboot");
    expect_refused("x mode=fast", "mode=fast is none of real, protected, long");
    expect_refused("x pages=64K", "pages=64K is none of 4K, 2M, 1G");
    expect_refused("x memory=1M", "memory=1M is not whole pages");
    expect_refused("x memory=4G", "memory=4G is not whole pages");
    expect_refused("x name=a/b", "no guest's name");
    expect_refused("x colour=red", "unknown word colour=red");
    expect_refused("x boot=linux initrd=none", "initrd=none is the name of none");
    expect_refused("x boot=linux initrd=", "initrd= is the name of none");
    expect_refused("x boot=linux initrd=/", "initrd=/ is the name of none");
    expect_refused("x boot=linux initrd=guest.bin", "names a module that has options");
    expect_refused("x boot=linux initrd=x", "names a module that has options");
    expect_refused("x initrd=data.img", "initrd= is nothing for boot=flat");
    expect_refused("x module=data.img", "module= is nothing for boot=flat");
    expect_refused("x cmdline=a", "cmdline= is nothing for boot=flat");
    expect_refused("x boot=linux module=data.img", "module= is nothing for boot=linux");
    expect_refused("x boot=multiboot initrd=data.img", "initrd= is nothing for boot=multiboot");
    expect_refused("x boot=multiboot mode=protected", "mode= is nothing for boot=multiboot");
    expect_refused("x boot=linux cmdline=\"a", "cmdline has a quote that does not end");
    expect_refused("x boot=multiboot module=data.img module=data.img module=data.img "
                   "module=data.img module=data.img",
                   "more than 4 times");
    expect_refused("=", "unknown word =");
    expect_refused("", "neither a file name nor name=");
}

static const char *a_string(void) {
    static const char *const parts[] = {"boot=linux",
                                        "boot=multiboot",
                                        "initrd=data.img",
                                        "module=\"data.img x\"",
                                        "module=data.img",
                                        "cmdline=\"",
                                        "cmdline=",
                                        "\"",
                                        "\\",
                                        " ",
                                        "name=n",
                                        "memory=8M",
                                        "/",
                                        "x",
                                        "=",
                                        "data.img",
                                        "cmdline=\"a b\"",
                                        "mode=long"};
    static char text[STRING_SIZE];
    text[0] = '\0';
    for (uint64_t count = random_below(12); count; count--) {
        strcat(text, parts[random_below(sizeof parts / sizeof parts[0])]);
        strcat(text, random_below(3) ? " " : "");
    }
    return text;
}

void check_any_strings_are_taken_or_refused_with_a_sentence(void) {
    for (unsigned round = 0; round < 20000; round++) {
        char first[STRING_SIZE], second[STRING_SIZE];
        strcpy(first, a_string());
        strcpy(second, a_string());
        pass((const char *[]){first, second, "data.img", NULL});
        for (unsigned i = 0; i < 3; i++) {
            if (boot_file_is_data(&boot_info.modules[i])) {
                continue;
            }
            if (takes(i)) {
                expect(options.name[0] && memchr(options.name, 0, VM_NAME_SIZE));
                expect(boot.module_count <= BOOT_MODULES);
                expect((uint64_t)boot.initrd.bytes <= 0x3000);
            } else {
                expect(message[0]);
            }
        }
    }
}

/* The parsers of command lines and module strings, fed with what a boot loader might hand over. */
#include "core/words.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

/* A string in a heap block of exactly its size: the sanitizer sees a read past its end. */
static char *random_string(void) {
    static const char alphabet[] = "ab=\"\" \t/.0x9MKGg-\n\x80\xff";
    unsigned length = (unsigned)random_below(600);
    char *text = malloc(length + 1);
    for (unsigned i = 0; i < length; i++) {
        text[i] = alphabet[random_below(sizeof alphabet - 1)];
    }
    text[length] = '\0';
    return text;
}

void check_no_string_leads_the_parser_out_of_bounds_or_in_circles(void) {
    for (unsigned round = 0; round < 20000; round++) {
        char *text = random_string();
        const char *at = boot_arguments(text);
        expect(at >= text && at <= text + strlen(text));
        struct word word;
        enum word_result result;
        while (true) {
            const char *before = at;
            result = word_next(&at, &word);
            expect(at >= before && at <= text + strlen(text));
            if (result == WORD_NONE) {
                break;
            }
            expect(at > before);
            expect(memchr(word.key, 0, WORD_SIZE) && memchr(word.value, 0, WORD_SIZE));
            uint64_t bytes;
            word_size(word.value, &bytes);
        }
        expect(*at == '\0');
        free(text);
    }
}

void check_a_size_is_taken_only_if_it_is_the_number_that_it_says(void) {
    for (unsigned round = 0; round < 20000; round++) {
        static const char suffixes[] = {0, 'K', 'M', 'G'};
        unsigned power = (unsigned)random_below(4);
        uint64_t number = random_number() >> random_below(64), bytes = 0;
        char text[32];
        int length = 0;
        char digits[24];
        uint64_t rest = number;
        do {
            digits[length++] = (char)('0' + rest % 10);
            rest /= 10;
        } while (rest);
        for (int i = 0; i < length; i++) {
            text[i] = digits[length - 1 - i];
        }
        text[length] = suffixes[power];
        text[length + 1] = '\0';
        bool fits = number <= UINT64_MAX >> 10 * power;
        expect_equal(word_size(text, &bytes), fits);
        expect(!fits || bytes == number << 10 * power);
    }
}

void check_a_path_before_the_arguments_is_skipped_and_nothing_else(void) {
    expect(strcmp(boot_arguments("/boot/hv.elf debug=panic"), " debug=panic") == 0);
    expect(strcmp(boot_arguments("/a=b/hv.elf debug=panic"), " debug=panic") == 0);
    expect(strcmp(boot_arguments("hv.elf"), "") == 0);
    expect(strcmp(boot_arguments("debug=panic"), "debug=panic") == 0);
    expect(strcmp(boot_arguments("  debug=/x/y"), "debug=/x/y") == 0);
    expect(strcmp(boot_arguments(""), "") == 0);
}

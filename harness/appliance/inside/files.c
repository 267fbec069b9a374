#include "files.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LARGEST_FILE = 128 << 20, // bytes: what the appliance's memory can hold at all
    DIRECTORIES_AT_ONCE = 8,  // file descriptors for walking a tree
};

bool files_plain(const char *text) {
    if (*text == '\0' || *text == '.' || strlen(text) > 128)
        return false;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && !strchr("._+-", *text))
            return false;
    return true;
}

bool files_number(const char *text, unsigned long most, unsigned long *number) {
    char *end;
    errno = 0;
    *number = strtoul(text, &end, 10);
    return isdigit((unsigned char)*text) && *end == '\0' && errno == 0 && *number <= most;
}

// Whether no component of `path` leads upwards.
static bool stays_below(const char *path) {
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '\0' || part[2] == '/'))
            return false;
    }
    return *path != '\0';
}

static bool refuse(const struct store *store, const char *what) {
    return wire_answer(store->wire, "@error %s", what);
}

static bool fail(const struct store *store, const char *what) {
    return wire_answer(store->wire, "@error %s: %s", what, strerror(errno));
}

[[gnu::format(printf, 2, 3)]] static int path_to(char path[static PATH_MAX], const char *format,
                                                 ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(path, PATH_MAX, format, arguments);
    va_end(arguments);
    if (length >= 0 && length < PATH_MAX)
        return 0;
    errno = ENAMETOOLONG;
    return -1;
}

static int write_all(int file, const char *data, size_t size) {
    while (size > 0) {
        ssize_t count = write(file, data, size);
        if (count < 0)
            return -1;
        data += count;
        size -= (size_t)count;
    }
    return 0;
}

// Takes `size` bytes off the wire into `file`. An error of the file is kept for the end, because the
// bytes come all the same. False if they stopped to come.
static bool receive(struct store *store, int file, unsigned long size, uint32_t *crc, int *error) {
    char data[4096];
    while (size > 0) {
        size_t count = wire_take(store->wire, data, size < sizeof data ? size : sizeof data);
        if (count == 0)
            return false;
        *crc = crc32_of(*crc, data, count);
        if (*error == 0 && write_all(file, data, count))
            *error = errno;
        size -= count;
    }
    return true;
}

bool files_put(struct store *store, const char *name, const char *size_text, const char *crc_text) {
    char path[PATH_MAX], incoming[PATH_MAX], *end;
    unsigned long size;
    uint32_t promised = (uint32_t)strtoul(crc_text, &end, 16), crc = CRC32_START;
    if (!files_plain(name) || !files_number(size_text, LARGEST_FILE, &size) || *end)
        return refuse(store, "put needs a plain name, a size in bytes up to 128 MiB, and a CRC-32");
    if (path_to(incoming, "%s/files/.incoming", store->root) ||
        path_to(path, "%s/files/%s", store->root, name))
        return fail(store, name);
    int file = open(incoming, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0)
        return fail(store, name);
    int error = 0;
    bool alive = wire_answer(store->wire, "@send") && receive(store, file, size, &crc, &error);
    if (close(file) && error == 0)
        error = errno;
    errno = error;
    if (alive && error == 0 && crc == promised && rename(incoming, path) == 0)
        return wire_answer(store->wire, "@ok");
    error = errno;
    unlink(incoming);
    if (!alive)
        return false;
    errno = error;
    return error ? fail(store, name) : refuse(store, "the file's CRC-32 is not what was promised");
}

bool files_have(struct store *store, const char *name) {
    char path[PATH_MAX];
    struct stat facts;
    if (!files_plain(name))
        return refuse(store, "have needs a plain name");
    if (path_to(path, "%s/files/%s", store->root, name) || stat(path, &facts))
        return wire_answer(store->wire, "@no");
    return wire_answer(store->wire, "@yes %llu", (unsigned long long)facts.st_size);
}

bool files_drop(struct store *store, const char *name) {
    char path[PATH_MAX];
    if (!files_plain(name))
        return refuse(store, "drop needs a plain name");
    if (path_to(path, "%s/files/%s", store->root, name) || unlink(path))
        return fail(store, name);
    return wire_answer(store->wire, "@ok");
}

// Makes every directory on the way to the last component of `path`.
static int make_way(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int result = mkdir(path, 0755);
        *slash = '/';
        if (result && errno != EEXIST)
            return -1;
    }
    return 0;
}

int files_make_run(const struct store *store, const char *run) {
    char path[PATH_MAX];
    if (path_to(path, "%s/runs/%s/boot/", store->root, run))
        return -1;
    return make_way(path);
}

int files_enter_run(const struct store *store, const char *run) {
    char path[PATH_MAX];
    if (path_to(path, "%s/runs/%s/boot", store->root, run))
        return -1;
    return chdir(path);
}

bool files_link(struct store *store, const char *run, const char *word, const char *name) {
    char path[PATH_MAX], target[PATH_MAX];
    struct stat facts;
    if (!files_plain(run) || !files_plain(name) || !stays_below(word))
        return refuse(store, "link needs a run, a path without '..', and the name of a file");
    // QEMU hands a module's first word to the kernel as its name: it may be a whole path.
    int error = *word == '/' ? path_to(path, "%s%s", store->root, word)
                             : path_to(path, "%s/runs/%s/boot/%s", store->root, run, word);
    if (error || path_to(target, "%s/files/%s", store->root, name) || stat(target, &facts))
        return fail(store, name);
    if (make_way(path))
        return fail(store, word);
    if (lstat(path, &facts) == 0 && (!S_ISLNK(facts.st_mode) || unlink(path)))
        return refuse(store, "link: there is something else of that name");
    if (symlink(target, path))
        return fail(store, word);
    return wire_answer(store->wire, "@ok");
}

// Sends `size` bytes of `file`; a file that shrank meanwhile is filled up with zeros, because the
// size has been promised. The CRC tells.
static bool send_file(struct store *store, int file, unsigned long size) {
    char data[4096];
    while (size > 0) {
        size_t wanted = size < sizeof data ? size : sizeof data;
        ssize_t count = read(file, data, wanted);
        if (count <= 0) {
            memset(data, 0, wanted);
            count = (ssize_t)wanted;
        }
        if (!wire_send(store->wire, data, (size_t)count))
            return false;
        size -= (size_t)count;
    }
    return true;
}

static uint32_t crc_of_file(int file) {
    char data[4096];
    uint32_t crc = CRC32_START;
    ssize_t count;
    while ((count = read(file, data, sizeof data)) > 0)
        crc = crc32_of(crc, data, (size_t)count);
    return crc;
}

bool files_get(struct store *store, const char *run, const char *name) {
    char path[PATH_MAX];
    struct stat facts;
    if (!files_plain(run) || *name == '/' || !stays_below(name))
        return refuse(store, "get needs a run and a path below its directory");
    if (path_to(path, "%s/runs/%s/%s", store->root, run, name))
        return fail(store, name);
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return fail(store, name);
    bool alive;
    if (fstat(file, &facts) || !S_ISREG(facts.st_mode))
        alive = refuse(store, "get: it is no file");
    else {
        uint32_t crc = crc_of_file(file);
        alive =
            lseek(file, 0, SEEK_SET) == 0 &&
            wire_answer(store->wire, "@data %llu %08x", (unsigned long long)facts.st_size, crc) &&
            send_file(store, file, (unsigned long)facts.st_size);
    }
    close(file);
    return alive;
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *where) {
    (void)facts, (void)kind, (void)where;
    return remove(path);
}

bool files_forget(struct store *store, const char *run) {
    char path[PATH_MAX];
    if (!files_plain(run))
        return refuse(store, "forget needs a run");
    if (path_to(path, "%s/runs/%s", store->root, run) ||
        (nftw(path, remove_one, DIRECTORIES_AT_ONCE, FTW_DEPTH | FTW_PHYS) && errno != ENOENT))
        return fail(store, run);
    return wire_answer(store->wire, "@ok");
}

#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum {
    LARGEST_ARGV = 64 << 10, // bytes, with the NULs
    MOST_ARGUMENTS = 512,
    CANNOT_START = 127, // the exit code for it, as shells have it
};

// `argv` out of `size` bytes of NUL-ended strings; false if they are anything else.
static bool split(char *strings, size_t size, char *argv[static MOST_ARGUMENTS + 1]) {
    size_t count = 0;
    if (size == 0 || strings[size - 1] != '\0' || *strings == '\0')
        return false;
    for (char *string = strings; string < strings + size; string += strlen(string) + 1) {
        if (count == MOST_ARGUMENTS)
            return false;
        argv[count++] = string;
    }
    argv[count] = NULL;
    return true;
}

// Throws away what is left on a data port from before. The client marks where that ends, because
// bytes may still be on their way: "\n@ID\n", sent before the request.
static bool empty(int port, const char *id, const struct wire *wire) {
    char mark[160], tail[160] = "";
    size_t length = (size_t)snprintf(mark, sizeof mark, "\n@%s\n", id);
    struct pollfd waits[] = {{.fd = port, .events = POLLIN}, {.fd = wire->fd, .events = POLLIN}};
    while (memcmp(tail, mark, length) != 0) {
        if (wire_holds(wire) || (poll(waits, 2, -1) < 0 && errno != EINTR))
            return false; // the client has gone on without a mark
        char byte;
        if (waits[0].revents) {
            if (read(port, &byte, 1) != 1)
                return false;
            memmove(tail, tail + 1, length - 1);
            tail[length - 1] = byte;
        } else if (waits[1].revents) {
            return false;
        }
    }
    return true;
}

[[gnu::noreturn]] static void become(const struct store *store, const char *id, char *const argv[],
                                     int output) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
    int nothing = open("/dev/null", O_RDWR);
    dup2(nothing, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    if (files_enter_run(store, id) == 0)
        execv(argv[0], argv);
    dprintf(STDERR_FILENO, "%s can't be started: %s\n", argv[0], strerror(errno));
    _exit(CANNOT_START);
}

static bool start(struct run *run, struct store *store, const char *id, char *const argv[]) {
    int ends[2];
    if (files_make_run(store, id) || pipe2(ends, O_CLOEXEC | O_NONBLOCK))
        return wire_answer(store->wire, "@error run: %s", strerror(errno));
    fcntl(ends[1], F_SETFL, 0); // the program itself may block
    pid_t pid = fork();
    if (pid == 0)
        become(store, id, argv, ends[1]);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return wire_answer(store->wire, "@error run: %s", strerror(errno));
    }
    setpgid(pid, pid); // here as well: a kill may come before the child has got so far
    *run = (struct run){.pid = pid, .output = ends[0]};
    snprintf(run->id, sizeof run->id, "%s", id);
    return wire_answer(store->wire, "@started %s", id);
}

bool run_start(struct run *run, struct store *store, const struct channels *channels,
               const char *id, const char *size_text) {
    static char strings[LARGEST_ARGV];
    static char *argv[MOST_ARGUMENTS + 1];
    unsigned long size;
    if (run->pid)
        return wire_answer(store->wire, "@error run: %s is still running", run->id);
    if (!files_plain(id) || !files_number(size_text, sizeof strings, &size))
        return wire_answer(store->wire, "@error run needs a plain id and a size up to 64 KiB");
    if (!wire_answer(store->wire, "@send"))
        return false;
    for (size_t have = 0; have < size;) {
        size_t count = wire_take(store->wire, strings + have, size - have);
        if (count == 0)
            return false;
        have += count;
    }
    if (!split(strings, size, argv))
        return wire_answer(store->wire, "@error run needs NUL-ended strings, 512 at most");
    for (unsigned i = 0; i < DATA_PORTS; i++)
        if (!empty(channels->data[i], id, store->wire))
            return wire_answer(store->wire, "@error run: no mark came over data port %u", i + 1);
    return start(run, store, id, argv);
}

static bool send_log(struct run *run, const struct store *store) {
    bool alive = wire_answer(store->wire, "@log %.*s", (int)run->held, run->line);
    run->held = 0;
    return alive;
}

bool run_relay(struct run *run, const struct store *store) {
    char data[1024];
    ssize_t count = read(run->output, data, sizeof data);
    if (count == 0) { // closed, though the program may live on
        close(run->output);
        run->output = -1;
    }
    for (ssize_t i = 0; i < count; i++) {
        if (data[i] != '\n') {
            unsigned char byte = (unsigned char)data[i];
            run->line[run->held++] = byte < ' ' || byte == 0x7f ? ' ' : data[i];
        }
        if ((data[i] == '\n' || run->held == sizeof run->line) && !send_log(run, store))
            return false;
    }
    return true;
}

void run_kill(const struct run *run) {
    if (run->pid)
        kill(-run->pid, SIGKILL); // it leads a group of its own
}

bool run_ended(struct run *run, const struct store *store, const struct channels *channels,
               int status) {
    bool alive = true;
    struct pollfd more = {.fd = run->output, .events = POLLIN};
    run_kill(run);
    while (alive && poll(&more, 1, 0) > 0 && more.revents & POLLIN)
        alive = run_relay(run, store);
    if (alive && run->held)
        alive = send_log(run, store);
    if (run->output >= 0)
        close(run->output);
    run->pid = 0;
    for (unsigned i = 0; i < DATA_PORTS; i++)
        tcdrain(channels->data[i]);
    if (WIFSIGNALED(status))
        return alive && wire_answer(store->wire, "@ended %s signal %d", run->id, WTERMSIG(status));
    return alive && wire_answer(store->wire, "@ended %s exit %d", run->id, WEXITSTATUS(status));
}

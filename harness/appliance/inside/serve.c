#include "serve.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"

enum { MOST_WORDS = 4 };

struct server {
    const struct channels *channels;
    struct wire wire;
    struct store store;
    struct run run;
};

static bool kill_run(struct server *server, const char *id) {
    if (server->run.pid == 0 || strcmp(server->run.id, id) != 0)
        return wire_answer(&server->wire, "@error kill: %s is not running", id);
    run_kill(&server->run);
    return wire_answer(&server->wire, "@ok");
}

static bool forget(struct server *server, const char *id) {
    if (server->run.pid && strcmp(server->run.id, id) == 0)
        return wire_answer(&server->wire, "@error forget: %s is still running", id);
    return files_forget(&server->store, id);
}

// Answers one request. False if the wire is at its end.
static bool answer(struct server *server, char *line) {
    char *words[MOST_WORDS + 1] = {NULL}, *rest = NULL;
    unsigned count = 0;
    for (char *word = strtok_r(line, " ", &rest); word && count <= MOST_WORDS;
         word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    const char *verb = count ? words[0] : "";
    if (strcmp(verb, "put") == 0 && count == 4)
        return files_put(&server->store, words[1], words[2], words[3]);
    if (strcmp(verb, "have") == 0 && count == 2)
        return files_have(&server->store, words[1]);
    if (strcmp(verb, "drop") == 0 && count == 2)
        return files_drop(&server->store, words[1]);
    if (strcmp(verb, "link") == 0 && count == 4)
        return files_link(&server->store, words[1], words[2], words[3]);
    if (strcmp(verb, "run") == 0 && count == 3)
        return run_start(&server->run, &server->store, server->channels, words[1], words[2]);
    if (strcmp(verb, "kill") == 0 && count == 2)
        return kill_run(server, words[1]);
    if (strcmp(verb, "get") == 0 && count == 3)
        return files_get(&server->store, words[1], words[2]);
    if (strcmp(verb, "forget") == 0 && count == 2)
        return forget(server, words[1]);
    return wire_answer(&server->wire, "@error this is no request");
}

static bool answer_all(struct server *server) {
    char line[LONGEST_LINE];
    for (;;) {
        switch (wire_take_line(&server->wire, line)) {
        case LINE_TAKEN:
            if (!answer(server, line))
                return false;
            break;
        case LINE_TOO_LONG:
            if (!wire_answer(&server->wire, "@error this line is too long"))
                return false;
            break;
        case LINE_INCOMPLETE: return true;
        }
    }
}

// Reaps whatever has died: process 1 inherits every orphan.
static bool reap(struct server *server, int signals) {
    struct signalfd_siginfo ignored;
    if (read(signals, &ignored, sizeof ignored) < 0)
        return errno == EAGAIN || errno == EINTR;
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        if (pid == server->run.pid &&
            !run_ended(&server->run, &server->store, server->channels, status))
            return false;
    return true;
}

static int make_directories(const char *root) {
    static const char *const NAMES[] = {"files", "runs"};
    char path[PATH_MAX];
    for (unsigned i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        int length = snprintf(path, sizeof path, "%s/%s", root, NAMES[i]);
        if (length < 0 || (size_t)length >= sizeof path)
            return -1;
        if (mkdir(path, 0755) && errno != EEXIST)
            return -1;
    }
    return 0;
}

int serve(const struct channels *channels, const char *root) {
    static struct server server;
    server = (struct server){
        .channels = channels,
        .wire = {.fd = channels->control},
        .store = {.root = root, .wire = &server.wire},
    };
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, NULL);
    signal(SIGPIPE, SIG_IGN);
    int signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0 || make_directories(root))
        return -1;
    for (bool alive = true; alive;) {
        struct pollfd waits[] = {
            {.fd = channels->control, .events = POLLIN},
            {.fd = signals, .events = POLLIN},
            {.fd = server.run.pid ? server.run.output : -1, .events = POLLIN},
        };
        if (poll(waits, sizeof waits / sizeof waits[0], -1) < 0)
            continue;
        if (waits[2].revents)
            alive = run_relay(&server.run, &server.store);
        if (alive && waits[1].revents)
            alive = reap(&server, signals);
        if (alive && waits[0].revents)
            alive = wire_fill(&server.wire) && answer_all(&server);
    }
    run_kill(&server.run);
    close(signals);
    return 0;
}

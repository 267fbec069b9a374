/* The first program of the Linux guest with a shell: busybox on the serial line, with job control.
 * Leaving the shell turns the machine off. */
#include "guests/linux/system.h"

enum { READ_WRITE = 2, TAKE_TERMINAL = 0x540e /* TIOCSCTTY */ };

static void mount(const char *type, const char *where) {
    if (system_call(SYS_MOUNT, (long)type, (long)where, (long)type, 0) < 0) {
        print("shell: there is no ");
        print(where);
        print("\n");
    }
}

/* The terminal becomes that of a new session: only so a Ctrl-C reaches what runs in front. */
static _Noreturn void be_shell(void) {
    static char name[] = "-sh", search[] = "PATH=/bin", home[] = "HOME=/",
                terminal[] = "TERM=linux";
    static char prompt[] = "PS1=guest# ";
    char *const arguments[] = {name, NULL}, *const environment[] = {search, home, terminal, prompt,
                                                                    NULL};
    system_call(SYS_SETSID, 0, 0, 0, 0);
    long line = system_call(SYS_OPEN, (long)"/dev/ttyS0", READ_WRITE, 0, 0);
    if (line < 0 || system_call(SYS_IOCTL, line, TAKE_TERMINAL, 0, 0) < 0) {
        print("shell: /dev/ttyS0 can't be the terminal\n");
        leave(1);
    }
    for (long file = 0; file <= 2; file++) {
        system_call(SYS_DUP2, line, file, 0, 0);
    }
    system_call(SYS_EXECVE, (long)"/bin/busybox", (long)arguments, (long)environment, 0);
    print("shell: there is no /bin/busybox\n");
    leave(1);
}

void start(const struct start_stack *stack) {
    (void)stack;
    mount("proc", "/proc");
    mount("sysfs", "/sys");
    mount("devtmpfs", "/dev");
    long shell = system_call(SYS_FORK, 0, 0, 0, 0);
    if (shell == 0) {
        be_shell();
    }
    /* Orphans become children of the first program: each is waited for, the shell is what counts. */
    for (long ended = shell < 0 ? shell : 0; ended != shell && ended >= 0;) {
        ended = system_call(SYS_WAIT4, -1, 0, 0, 0);
    }
    turn_off(TURN_OFF);
}

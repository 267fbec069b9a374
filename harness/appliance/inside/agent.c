// Process 1 of the appliance, and the only program in it beside QEMU.
//
// It loads KVM with nesting, makes the serial lines transparent, and then serves the harness over
// ttyS0. Whatever else comes over ttyS0 is the kernel's console.

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>
#include <x86intrin.h>

#include "serve.h"

enum {
    PROTOCOL_VERSION = 1,
    CONSOLE_LEVEL = 8,   // syslog(2): set the console's log level
    EMERGENCIES_ONLY = 1 // a panic still shows
};

static const struct module {
    const char *path;
    const char *options;
} MODULES[] = {
    // In the order in which each needs those before it.
    {"/modules/irqbypass.ko", ""},
    {"/modules/kvm.ko", ""},
    {"/modules/kvm-intel.ko", "nested=1"},
};

// Everything that this file can fail at: what it was, and errno.
static int failed(const char *what) {
    dprintf(STDOUT_FILENO, "\n@failed %s: %s\n", what, strerror(errno));
    return -1;
}

static int mount_all(void) {
    static const struct {
        const char *type, *place, *options;
    } MOUNTS[] = {
        {"devtmpfs", "/dev", ""},
        {"proc", "/proc", ""},
        {"sysfs", "/sys", ""},
        // A file system of its own: a run that fills it harms nothing but itself.
        {"tmpfs", "/runs", "size=75%"},
    };
    for (unsigned i = 0; i < sizeof MOUNTS / sizeof MOUNTS[0]; i++) {
        mkdir(MOUNTS[i].place, 0755);
        if (mount(MOUNTS[i].type, MOUNTS[i].place, MOUNTS[i].type, 0, MOUNTS[i].options))
            return failed(MOUNTS[i].place);
    }
    return 0;
}

static int load(const struct module *module) {
    int file = open(module->path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return failed(module->path);
    int result = (int)syscall(SYS_finit_module, file, module->options, 0);
    if (result)
        failed(module->path);
    close(file);
    return result;
}

static int open_line(const char *path) {
    int line = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios settings;
    if (line < 0 || tcgetattr(line, &settings))
        return failed(path);
    cfmakeraw(&settings);
    cfsetspeed(&settings, B115200);
    settings.c_cflag |= CLOCAL | CREAD;
    if (tcsetattr(line, TCSANOW, &settings))
        return failed(path);
    return line;
}

static int prepare(struct channels *channels) {
    static const char *const LINES[DATA_PORTS] = {"/dev/ttyS1", "/dev/ttyS2", "/dev/ttyS3"};
    channels->control = open_line("/dev/ttyS0");
    if (channels->control < 0)
        return -1;
    for (unsigned i = 0; i < DATA_PORTS; i++) {
        channels->data[i] = open_line(LINES[i]);
        if (channels->data[i] < 0)
            return -1;
    }
    if (klogctl(CONSOLE_LEVEL, NULL, EMERGENCIES_ONLY) < 0)
        return failed("klogctl");
    for (unsigned i = 0; i < sizeof MODULES / sizeof MODULES[0]; i++)
        if (load(&MODULES[i]))
            return -1;
    if (access("/dev/kvm", R_OK | W_OK))
        return failed("/dev/kvm");
    return 0;
}

int main(void) {
    struct channels channels;
    struct utsname kernel;
    if (mount_all() == 0 && prepare(&channels) == 0) {
        uname(&kernel);
        // The time stamp counter counts Bochs's ticks: one an instruction, from power-on.
        dprintf(channels.control, "\n@ready %d %s %llu\n", PROTOCOL_VERSION, kernel.release,
                (unsigned long long)__rdtsc());
        if (serve(&channels, ""))
            failed("serve");
    }
    tcdrain(STDOUT_FILENO);
    reboot(RB_AUTOBOOT); // the reset ROM takes a second pass for the end
    return 1;
}

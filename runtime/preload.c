/* SPDX-License-Identifier: MIT */
/*
 * What `tm run` puts into LD_PRELOAD: every program that is started below gets this small library; those that are a
 * Python get the runtime built for it, before main() runs.  It refers to no symbol of Python, so that any program can
 * carry it.
 *
 *   PYTHONTM=N   frames to keep, 1 to 65535; unset or 0: do nothing
 *   TM_RUN_PID   process in which a missing runtime is an error rather than a warning
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Platform tag of extension files (PEP 3149), as Debian's multiarch names. */
#if defined(__x86_64__)
#define TM_PLATFORM "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define TM_PLATFORM "aarch64-linux-gnu"
#else
#error "tm runs on 64-bit Linux: x86-64, AArch64"
#endif

static void complain(const char *what, const char *detail)
{
    const char *run_pid = getenv("TM_RUN_PID");
    dprintf(STDERR_FILENO, "tm: %s%s\n", what, detail);
    if (run_pid && atol(run_pid) == (long)getpid())
        _exit(2);
}

/* Tag of the extension's file name, as SOABI: "cpython-312d". */
static void abi_tag(const char *version, char *tag, size_t size)
{
    int major = 0;
    int minor = 0;
    sscanf(version, "%d.%d", &major, &minor);
    snprintf(tag, size, "cpython-%d%d%s%s", major, minor, strstr(version, "free-threading build") ? "t" : "",
             dlsym(RTLD_DEFAULT, "_Py_NegativeRefcount") ? "d" : "");
}

__attribute__((constructor)) static void load_runtime(void)
{
    const char *frames = getenv("PYTHONTM");
    const char *(*get_version)(void) = (const char *(*)(void))dlsym(RTLD_DEFAULT, "Py_GetVersion");
    if (!get_version || !frames || atoi(frames) <= 0)
        return;

    Dl_info self;
    char directory[PATH_MAX];
    if (!dladdr((void *)load_runtime, &self) || !realpath(self.dli_fname, directory))
        return;
    *strrchr(directory, '/') = '\0';

    char tag[64];
    char path[PATH_MAX + 128];
    abi_tag(get_version(), tag, sizeof(tag));
    snprintf(path, sizeof(path), "%s/python/tm/_tm.%s-" TM_PLATFORM ".so", directory, tag);
    if (access(path, R_OK)) {
        char program[PATH_MAX] = "python3";
        char advice[PATH_MAX + 256];
        ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
        program[length > 0 ? length : 7] = '\0';
        snprintf(advice, sizeof(advice), "CPython %.6s (%s)\n    not traced; build it with: make PYTHONS=%s",
                 get_version(), tag, program);
        complain("no runtime has been built for ", advice);
        return;
    }
    void *runtime = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    int (*boot)(int) = runtime ? (int (*)(int))dlsym(runtime, "tm_boot") : NULL;
    if (!boot)
        complain("the runtime cannot be loaded: ", dlerror());
    else if (boot(atoi(frames)))
        complain("no memory for the trace table; ", "the program runs untraced");
}

/* SPDX-License-Identifier: MIT */
/* The command line: a face without a target of its own. */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tm.h"

static int32_t write_stream(void *data, int32_t stream, const char *bytes, uint64_t size)
{
    (void)data;
    int fd = stream == TM_STREAM_OUT ? STDOUT_FILENO : STDERR_FILENO;
    while (size) {
        ssize_t done = write(fd, bytes, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        bytes += done;
        size -= (uint64_t)done;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct winsize window;
    struct tm_face face = {.size = sizeof(face), .write = write_stream};
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0)
        face.width = window.ws_col;
    face.colour = face.width && !getenv("NO_COLOR");
    return tm_command(&face, argc - 1, (const char *const *)argv + 1);
}

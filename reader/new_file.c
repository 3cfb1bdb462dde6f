/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* renameat2, mkostemp, asprintf */
#include "new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct tm_error *failed(const char *path, int code)
{
    struct tm_error *error = tm_error_because(tm_error(TM_ERROR_SYSTEM, "cannot write %s", path), "%s", strerror(code));
    switch (code) {
    case ENOSPC:
    case EDQUOT:
        return tm_error_try(error, "df %s, or another folder", path);
    case EFBIG:
        return tm_error_try(error, "ulimit -f unlimited");
    default:
        return error;
    }
}

static struct tm_error *exists(const char *path)
{
    return tm_error_try(tm_error(TM_ERROR_SYSTEM, "%s exists already", path), "--force, to replace it");
}

/* Whatever is not a plain file is no snapshot of before: a device or a folder is never replaced. */
static struct tm_error *check_old(const char *path, bool replace)
{
    struct stat status;
    if (lstat(path, &status) != 0)
        return errno == ENOENT ? NULL : failed(path, errno);
    if (!S_ISREG(status.st_mode))
        return tm_error_because(tm_error(TM_ERROR_SYSTEM, "cannot write %s", path), "%s",
                                S_ISDIR(status.st_mode)   ? "it is a directory"
                                : S_ISLNK(status.st_mode) ? "it is a symbolic link"
                                                          : "it is not a regular file");
    return replace ? NULL : exists(path);
}

struct tm_error *tm_new_file_open(struct tm_new_file *file, const char *path, bool replace)
{
    *file = (struct tm_new_file){.path = path, .fd = -1, .replace = replace};
    if (!*path)
        return tm_error(TM_ERROR_USAGE, "the name of the file to write is empty");
    struct tm_error *error = check_old(path, replace);
    if (error)
        return error;
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + 1 : 0;
    if (asprintf(&file->temporary, "%.*s.tm-XXXXXX", folder, path) < 0) {
        file->temporary = NULL;
        return tm_error_no_memory();
    }
    file->fd = mkostemp(file->temporary, O_CLOEXEC); /* O_EXCL, 0600 */
    if (file->fd < 0) {
        error = failed(path, errno);
        free(file->temporary);
        file->temporary = NULL;
    }
    return error;
}

/* umask() could only tell by changing it, for all threads of a debugger. */
static mode_t read_umask(void)
{
    char line[128];
    unsigned mask = 077;
    FILE *status = fopen("/proc/self/status", "re");
    while (status && fgets(line, sizeof(line), status) && sscanf(line, "Umask: %o", &mask) != 1)
        ;
    if (status)
        fclose(status);
    return mask & 0777;
}

struct tm_error *tm_new_file_share(struct tm_new_file *file)
{
    return fchmod(file->fd, 0666 & ~read_umask()) ? failed(file->path, errno) : NULL;
}

struct tm_error *tm_new_file_write_at(struct tm_new_file *file, uint64_t offset, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size) {
        ssize_t done = pwrite(file->fd, at, size, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return failed(file->path, done ? errno : ENOSPC);
        at += done;
        offset += (uint64_t)done;
        size -= (size_t)done;
    }
    return NULL;
}

struct tm_error *tm_new_file_write(struct tm_new_file *file, const void *bytes, size_t size)
{
    struct tm_error *error = tm_new_file_write_at(file, file->size, bytes, size);
    if (!error)
        file->size += size;
    return error;
}

/* 0, or an errno. */
static int give_name(const struct tm_new_file *file)
{
    if (file->replace)
        return rename(file->temporary, file->path) ? errno : 0;
    if (renameat2(AT_FDCWD, file->temporary, AT_FDCWD, file->path, RENAME_NOREPLACE) == 0)
        return 0;
    /* Not every file system knows RENAME_NOREPLACE; a hard link refuses what exists as well. */
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    if (link(file->temporary, file->path) != 0)
        return errno;
    unlink(file->temporary);
    return 0;
}

/* So that the name, too, survives a loss of power.  Where a folder cannot be synchronised, nothing more can be done. */
static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

struct tm_error *tm_new_file_finish(struct tm_new_file *file)
{
    if (fsync(file->fd) != 0 && errno != EINVAL)
        return failed(file->path, errno);
    int code = close(file->fd) ? errno : 0; /* a network file system may say only now that the disk is full */
    file->fd = -1;
    if (!code)
        code = give_name(file);
    if (code)
        return code == EEXIST ? exists(file->path) : failed(file->path, code);
    free(file->temporary);
    file->temporary = NULL;
    sync_folder(file->path);
    return NULL;
}

void tm_new_file_close(struct tm_new_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->temporary)
        unlink(file->temporary);
    free(file->temporary);
    *file = (struct tm_new_file){.fd = -1};
}

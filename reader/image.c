/* SPDX-License-Identifier: MIT */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static const void *image_view(struct tm_target *target, uint64_t address, uint64_t size)
{
    struct tm_image *image = (struct tm_image *)target;
    const struct tm_region *region = tm_target_region(target, address);
    if (!region)
        return NULL;
    uint64_t offset = address - region->start;
    if (offset >= region->saved || region->saved - offset < size)
        return NULL;
    return image->image + region->offset + offset;
}

static struct tm_fault image_read(struct tm_target *target, uint64_t address, void *buffer, uint64_t size)
{
    struct tm_image *image = (struct tm_image *)target;
    uint64_t done = 0;
    while (done < size) {
        uint64_t at = address + done;
        const struct tm_region *region = at < address ? NULL : tm_target_region(target, at);
        if (!region)
            return (struct tm_fault){TM_READ_UNMAPPED, at};
        uint64_t offset = at - region->start;
        if (offset >= region->saved)
            return (struct tm_fault){region->missing, at};
        uint64_t piece = region->saved - offset;
        if (piece > size - done)
            piece = size - done;
        memcpy((uint8_t *)buffer + done, image->image + region->offset + offset, piece);
        done += piece;
    }
    return (struct tm_fault){TM_READ_OK, address + size};
}

static void image_destroy(struct tm_target *target)
{
    struct tm_image *image = (struct tm_image *)target;
    if (image->image)
        munmap(image->image, image->size);
    free(image);
}

static const struct tm_target_ops image_ops = {
    .read = image_read,
    .view = image_view,
    .destroy = image_destroy,
};

/* ---- opening -------------------------------------------------------------------------------------------------------- */

struct tm_error *tm_image_refuse(const char *path, const char *because)
{
    struct tm_error *error = tm_error(TM_ERROR_NOT_A_CORE, "%s is not a core file", path);
    error = tm_error_because(error, "%s", because);
    return tm_error_try(error, "gcore PID, or ulimit -c unlimited before the program starts, to get one");
}

static struct tm_error *cannot(const char *what, const char *path, int code)
{
    struct tm_error *error = tm_error(TM_ERROR_SYSTEM, "cannot %s %s", what, path);
    error = tm_error_because(error, "%s", strerror(code));
    return code == EACCES ? tm_error_try(error, "ls -l %s", path) : error;
}

static struct tm_error *check_kind(const char *path, const struct stat *status)
{
    if (S_ISDIR(status->st_mode))
        return tm_image_refuse(path, "it is a directory");
    if (!S_ISREG(status->st_mode))
        return tm_image_refuse(path, "it is not a regular file");
    if (status->st_size == 0)
        return tm_error_try(tm_error_because(tm_error(TM_ERROR_NOT_A_CORE, "%s is empty", path),
                                             "the disk was full, or the limit on the size of cores is 0"),
                            "ulimit -c unlimited; df .");
    return NULL;
}

/* In place of a compressed file's descriptor comes that of what was in it. */
static struct tm_error *unpack(struct tm_image *image, const char *path, int *fd)
{
    uint8_t head[16];
    ssize_t size = pread(*fd, head, sizeof(head), 0);
    int unpacked;
    if (size <= 0 || !tm_unpack_format(head, (size_t)size))
        return NULL;
    struct tm_error *error = tm_unpack(image->target.face, *fd, path, &unpacked, &image->target.truncated);
    if (error)
        return error;
    close(*fd);
    *fd = unpacked;
    return NULL;
}

static struct tm_error *map_file(struct tm_image *image, const char *path)
{
    struct stat status;
    /* O_NONBLOCK: opening a pipe must not wait for its other end. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return cannot("open", path, errno);
    struct tm_error *error = fstat(fd, &status) ? cannot("read", path, errno) : check_kind(path, &status);
    if (!error)
        error = unpack(image, path, &fd);
    if (!error && fstat(fd, &status))
        error = cannot("read", path, errno);
    if (!error && !status.st_size)
        error = tm_image_refuse(path, "it is compressed, and ends before it says anything");
    if (!error) {
        image->size = (uint64_t)status.st_size;
        image->image = mmap(NULL, image->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (image->image == MAP_FAILED) {
            image->image = NULL;
            error = cannot("map", path, errno);
        }
    }
    close(fd);
    return error;
}

struct tm_error *tm_image_open(const struct tm_face *face, const char *path, struct tm_image **ret)
{
    struct tm_image *image = calloc(1, sizeof(*image));
    if (!image)
        return tm_error_no_memory();
    image->target.ops = &image_ops;
    image->target.face = face;
    image->target.name = strdup(path);
    struct tm_error *error = image->target.name ? map_file(image, path) : tm_error_no_memory();
    if (error) {
        tm_target_destroy(&image->target);
        return error;
    }
    *ret = image;
    return NULL;
}

struct tm_error *tm_image_finish(struct tm_image *image, const char *path)
{
    uint64_t room = image->size < UINT64_MAX / 8 ? image->size * 8 : UINT64_MAX;
    tm_regions_finish(&image->target);
    for (size_t i = 0; i < image->target.region_count; i++) {
        uint64_t saved = image->target.regions[i].saved;
        if (saved > room)
            return tm_error_because(tm_error(TM_ERROR_DAMAGED, "%s cannot be read", path),
                                    "it claims the same bytes again and again");
        room -= saved;
    }
    return NULL;
}

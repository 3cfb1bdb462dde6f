/* SPDX-License-Identifier: MIT */
/* Images: the whole table in a new file, written by C alone from inside a hook, so without a malloc and with little stack. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime.h"

#define RUN 512 /* pages that are looked at together */

bool tm_file_write(int file, const char *bytes, size_t size, off_t offset)
{
    while (size) {
        ssize_t written = pwrite(file, bytes, size, offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        size -= (size_t)written;
        offset += written;
    }
    return true;
}

static bool is_zeros(const char *page)
{
    return !page[0] && !memcmp(page, page + 1, TM_PAGE - 1);
}

/* Whether each page may hold anything.  /proc/self/pagemap tells (bit 63 present, 62 swapped: proc(5)), so that the others
 * need not be touched, which would cost memory where there is none left.  mincore(2) would not do: it says "no" of a page
 * that was swapped out, and of one of a file that was written back. */
static void look_at_pages(int pagemap, const char *start, size_t pages, bool *used)
{
    uint64_t entries[RUN];
    off_t at = (off_t)((uintptr_t)start / TM_PAGE * sizeof(entries[0]));
    ssize_t size = (ssize_t)(pages * sizeof(entries[0]));
    bool known = pagemap >= 0 && !tm_file_in_use() && pread(pagemap, entries, (size_t)size, at) == size;
    for (size_t i = 0; i < pages; i++)
        used[i] = (!known || entries[i] >> 62) && !is_zeros(start + i * TM_PAGE);
}

/* The file has holes where the table has nothing. */
static bool write_chunk(int file, int pagemap, const struct tm_chunk *chunk, off_t offset)
{
    const char *start = (const char *)chunk;
    bool used[RUN];
    size_t pages = chunk->bytes / TM_PAGE;
    for (size_t page = 0; page < pages; page += RUN) {
        size_t count = pages - page < RUN ? pages - page : RUN;
        look_at_pages(pagemap, start + page * TM_PAGE, count, used);
        for (size_t i = 0; i < count;) {
            size_t first = i;
            while (i < count && used[i])
                i++;
            if (i > first && !tm_file_write(file, start + (page + first) * TM_PAGE, (i - first) * TM_PAGE,
                                            offset + (off_t)((page + first) * TM_PAGE)))
                return false;
            while (i < count && !used[i])
                i++;
        }
    }
    return true;
}

/* The root comes last: a file without it is not read. */
static bool write_image(int file)
{
    static char page[TM_PAGE]; /* one image is written at a time (limit.c) */
    struct tm_root *root = (struct tm_root *)(void *)page;
    off_t offset = TM_PAGE;
    bool fine = true;
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    for (uint64_t at = tm_runtime.state->newest_chunk; at && fine; at = ((struct tm_chunk *)(uintptr_t)at)->previous) {
        const struct tm_chunk *chunk = (const struct tm_chunk *)(uintptr_t)at;
        fine = write_chunk(file, pagemap, chunk, offset);
        offset += (off_t)chunk->bytes;
    }
    if (pagemap >= 0)
        close(pagemap);
    memcpy(root, &tm_root, sizeof(*root));
    root->table_file[0] = '\0';
    return fine && !ftruncate(file, offset) && tm_file_write(file, page, sizeof(page), 0);
}

/* Not over somebody else's file.  renameat2() refuses where rename() would replace (Linux 3.15), but not every file system
 * has it; link() has always refused. */
static bool put_in_place(const char *unfinished, const char *path)
{
    if (!renameat2(AT_FDCWD, unfinished, AT_FDCWD, path, RENAME_NOREPLACE))
        return true;
    if (errno != EINVAL && errno != ENOSYS)
        return false;
    if (link(unfinished, path))
        return false;
    unlink(unfinished);
    return true;
}

bool tm_file_write_image(const char *path)
{
    static char unfinished[PATH_MAX];
    struct tm_file_guard guard;
    if (!tm_runtime.state) {
        errno = ENODATA;
        return false;
    }
    if (snprintf(unfinished, sizeof(unfinished), "%s.part", path) >= (int)sizeof(unfinished)) {
        errno = ENAMETOOLONG;
        return false;
    }
    int file = tm_file_new(unfinished);
    if (file < 0)
        return false;
    tm_file_guard(&guard);
    bool fine = write_image(file) && put_in_place(unfinished, path);
    tm_file_unguard(&guard);
    int saved_errno = errno;
    if (!fine)
        unlink(unfinished);
    close(file);
    errno = saved_errno;
    return fine;
}

/* SPDX-License-Identifier: MIT */
/*
 * Table files.  A file begins with a page that holds a tm_root, whose `self` is the address of that page in the traced
 * process; after it come chunks, back to back, whose headers tell their address and size.  So a reader maps addresses to
 * offsets by walking the headers (LAYOUT.md, "Table files").  A chunk with self == 0 is to be skipped.
 *
 * Two ways lead to one: the table lives in a shared file mapping and survives whatever kills the process
 * (PYTHONTM_FILE), or its image is written at a limit (limit.c).
 *
 * The file is opened again for every chunk: a descriptor kept open would be closed by the first program that tidies up
 * its descriptors, and then belong to somebody else's file.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tm_root *file_root; /* first page of the file; NULL: no file in use */
static char file_pattern[sizeof(tm_root.table_file)];
static dev_t file_device;
static ino_t file_inode;
static off_t file_end;

bool tm_file_in_use(void)
{
    return file_root != NULL;
}

bool tm_file_expand(const char *pattern, uint32_t number, char *path, size_t size)
{
    size_t used = 0;
    for (const char *at = pattern; *at; at++) {
        int length;
        if (at[0] == '%' && (at[1] == 'p' || at[1] == 'n'))
            length = snprintf(path + used, size - used, "%u", *++at == 'p' ? (unsigned)getpid() : number);
        else
            length = snprintf(path + used, size - used, "%c", *at);
        used += (size_t)length;
        if (used >= size) {
            errno = ENAMETOOLONG;
            return false;
        }
    }
    return true;
}

/* A new file, absolute path in `path`. */
static int create(const char *pattern, uint32_t number, char *path, size_t size)
{
    char name[PATH_MAX];
    char directory[PATH_MAX] = "";
    if (!tm_file_expand(pattern, number, name, sizeof(name)))
        return -1;
    if (name[0] != '/' && !getcwd(directory, sizeof(directory)))
        return -1;
    if ((size_t)snprintf(path, size, "%s%s%s", directory, directory[0] ? "/" : "", name) >= size) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* The table file again; -1 if another one has taken its name. */
static int reopen(void)
{
    struct stat status;
    int file = open(tm_root.table_file, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0)
        return -1;
    if (!fstat(file, &status) && status.st_dev == file_device && status.st_ino == file_inode)
        return file;
    close(file);
    return -1;
}

/* Disk space first: a hole that cannot be filled later would be a SIGBUS in somebody's malloc. */
static void *map_at_end(int file, void *address, size_t bytes)
{
    if (posix_fallocate(file, file_end, (off_t)bytes))
        return NULL;
    void *memory = mmap(address, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (address ? MAP_FIXED : 0), file, file_end);
    if (memory == MAP_FAILED)
        return NULL;
    file_end += (off_t)bytes;
    return memory;
}

void *tm_file_map(size_t bytes)
{
    pthread_mutex_lock(&lock);
    int saved_errno = errno;
    int file = reopen();
    void *memory = file < 0 ? NULL : map_at_end(file, NULL, bytes);
    if (file >= 0)
        close(file);
    errno = saved_errno;
    pthread_mutex_unlock(&lock);
    return memory;
}

static bool adopt(int file, const char *path, void *address)
{
    struct stat status;
    if (fstat(file, &status))
        return false;
    file_device = status.st_dev;
    file_inode = status.st_ino;
    file_end = 0;
    file_root = map_at_end(file, address, TM_PAGE);
    if (!file_root)
        return false;
    snprintf(tm_root.table_file, sizeof(tm_root.table_file), "%s", path);
    return true;
}

bool tm_file_create(const char *pattern)
{
    char path[sizeof(tm_root.table_file)];
    if (strlen(pattern) >= sizeof(file_pattern)) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(file_pattern, pattern);
    int file = create(pattern, 0, path, sizeof(path));
    if (file < 0)
        return false;
    bool fine = adopt(file, path, NULL);
    int saved_errno = errno;
    if (!fine)
        unlink(path);
    close(file);
    errno = saved_errno;
    return fine;
}

void tm_file_publish_root(void)
{
    if (!file_root)
        return;
    struct tm_root copy = tm_root;
    copy.self = (uintptr_t)file_root;
    memset(copy.magic, 0, sizeof(copy.magic));
    *file_root = copy;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy(file_root->magic, tm_root.magic, sizeof(file_root->magic));
}

/* ---- after fork ------------------------------------------------------------------------------------------------------------------ */

/* Puts private memory with the same content under a shared mapping; the parent goes on writing to the file. */
static bool detach(void *start, size_t bytes)
{
    void *copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (copy == MAP_FAILED)
        return false;
    static const char zeros[TM_PAGE];
    for (size_t at = 0; at < bytes; at += TM_PAGE)
        if (memcmp((char *)start + at, zeros, TM_PAGE) != 0)
            memcpy((char *)copy + at, (char *)start + at, TM_PAGE);
    return mremap(copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, start) != MAP_FAILED;
}

/* The same into a file of the child's own. */
static bool move_to_file(int file, void *start, size_t bytes)
{
    off_t offset = file_end;
    if (posix_fallocate(file, offset, (off_t)bytes) || pwrite(file, start, bytes, offset) != (ssize_t)bytes)
        return false;
    return map_at_end(file, start, bytes) != NULL;
}

void tm_file_after_fork_child(void)
{
    if (!file_root)
        return;
    pthread_mutex_init(&lock, NULL);

    char path[sizeof(tm_root.table_file)];
    bool own = strstr(file_pattern, "%p") != NULL;
    int file = own ? create(file_pattern, 0, path, sizeof(path)) : -1;
    struct tm_root *shared_root = file_root;
    bool fine = true;

    /* The state's chunk is the oldest: it is read to the end. */
    uint64_t at = tm_runtime.state->newest_chunk;
    if (file >= 0)
        fine = adopt(file, path, shared_root);
    for (; at && fine; at = ((struct tm_chunk *)(uintptr_t)at)->previous) {
        struct tm_chunk *chunk = (struct tm_chunk *)(uintptr_t)at;
        fine = file >= 0 ? move_to_file(file, chunk, chunk->bytes) : detach(chunk, chunk->bytes);
    }
    if (file < 0) {
        munmap(shared_root, TM_PAGE);
        file_root = NULL;
        tm_root.table_file[0] = '\0';
    }
    if (fine) {
        tm_root.pid = (uint32_t)getpid();
        tm_file_publish_root();
    } else { /* half of the table may still be the parent's: never touched again */
        tm_runtime.tracing = 0;
        tm_root.state = 0;
        file_root = NULL;
    }
    if (file >= 0)
        close(file);
}

/* ---- images ---------------------------------------------------------------------------------------------------------------------------- */

static bool write_all(int file, const char *bytes, size_t size, off_t offset)
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

/* Only pages that were ever written: the file has holes where the table has. */
static bool write_chunk(int file, const struct tm_chunk *chunk, off_t offset)
{
    const char *start = (const char *)chunk;
    size_t pages = chunk->bytes / TM_PAGE;
    for (size_t page = 0; page < pages;) {
        unsigned char resident[1024];
        size_t count = pages - page < sizeof(resident) ? pages - page : sizeof(resident);
        if (!tm_arena_resident_pages(start + page * TM_PAGE, count, resident))
            memset(resident, 1, count);
        for (size_t i = 0; i < count;) {
            size_t first = i;
            while (i < count && resident[i] & 1)
                i++;
            if (i > first && !write_all(file, start + (page + first) * TM_PAGE, (i - first) * TM_PAGE,
                                        offset + (off_t)((page + first) * TM_PAGE)))
                return false;
            while (i < count && !(resident[i] & 1))
                i++;
        }
        page += count;
    }
    return true;
}

static bool write_image(int file)
{
    char page[TM_PAGE] = {0};
    struct tm_root root = tm_root;
    off_t offset = TM_PAGE;

    for (uint64_t at = tm_runtime.state->newest_chunk; at; at = ((struct tm_chunk *)(uintptr_t)at)->previous) {
        const struct tm_chunk *chunk = (const struct tm_chunk *)(uintptr_t)at;
        if (!write_chunk(file, chunk, offset))
            return false;
        offset += (off_t)chunk->bytes;
    }
    root.table_file[0] = '\0';
    memcpy(page, &root, sizeof(root));
    return !ftruncate(file, offset) && write_all(file, page, sizeof(page), 0);
}

bool tm_file_write_image(const char *path)
{
    char unfinished[PATH_MAX];
    char absolute[PATH_MAX];
    if (!tm_runtime.state) {
        errno = ENODATA;
        return false;
    }
    if (snprintf(unfinished, sizeof(unfinished), "%s.part", path) >= (int)sizeof(unfinished)) {
        errno = ENAMETOOLONG;
        return false;
    }
    int file = create(unfinished, 0, absolute, sizeof(absolute));
    if (file < 0)
        return false;
    /* Not over somebody else's file: renameat2 refuses where rename would replace. */
    bool fine = write_image(file) && !renameat2(AT_FDCWD, unfinished, AT_FDCWD, path, RENAME_NOREPLACE);
    int saved_errno = errno;
    if (!fine)
        unlink(unfinished);
    close(file);
    errno = saved_errno;
    return fine;
}

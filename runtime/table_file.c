/* SPDX-License-Identifier: MIT */
/*
 * Table files.  A file begins with a page that holds a tm_root, whose `self` is the address of that page in the traced
 * process; after it come chunks, back to back, whose headers tell their address and size.  So a reader maps addresses to
 * offsets by walking the headers (LAYOUT.md, "Table files").  A chunk with self == 0 is to be skipped.
 *
 * Two ways lead to one: the table lives in a shared file mapping and survives whatever kills the process
 * (PYTHONTM_FILE), or its image is written at a limit (table_image.c).
 *
 * The file is opened again for every chunk: a descriptor kept open would be closed by the first program that tidies up
 * its descriptors, and then belong to somebody else's file.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime.h"

#define MAX_NAMES 1000      /* tries for a name that is free */
#define RETRY_AFTER 100     /* milliseconds, after the disk was full */
#define FORK_PATIENCE 10000 /* milliseconds that a parent waits for its child's copy */

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

/* RLIMIT_FSIZE: whoever makes a file too long gets SIGXFSZ (setrlimit(2)), which would end a program that never heard of
 * our file.  The signal goes to the calling thread, so it can be kept from being delivered, and taken back. */
void tm_file_guard(struct tm_file_guard *guard)
{
    sigset_t pending;
    sigemptyset(&guard->signal);
    sigaddset(&guard->signal, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &guard->signal, &guard->before);
    guard->was_pending = !sigpending(&pending) && sigismember(&pending, SIGXFSZ);
}

void tm_file_unguard(const struct tm_file_guard *guard)
{
    int saved_errno = errno;
    if (!guard->was_pending)
        sigtimedwait(&guard->signal, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
    errno = saved_errno;
}

int tm_file_new(const char *path)
{
    return open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* What is written over would need new space on a file system that copies on write, and be a SIGBUS where there is none. */
static void write_in_place(int file)
{
    int flags;
    if (!ioctl(file, FS_IOC_GETFLAGS, &flags)) {
        flags |= FS_NOCOW_FL;
        ioctl(file, FS_IOC_SETFLAGS, &flags); /* Btrfs takes it for an empty file; who does not, does not need it */
    }
}

/* A new file, absolute path in `path`.  Pids come again (in a container each life has pid 1; after exec it is the same
 * process): then a number is added.  A name without a pid was meant as it is. */
static int create(const char *pattern, char *path, size_t size)
{
    size_t length = 0;
    if (pattern[0] != '/') {
        if (!getcwd(path, size - 1))
            return -1;
        length = strlen(path);
        path[length++] = '/';
    }
    if (!tm_file_expand(pattern, 0, path + length, size - length))
        return -1;
    length = strlen(path);
    int file = tm_file_new(path);
    for (int number = 2; file < 0 && errno == EEXIST && strstr(pattern, "%p") && number < MAX_NAMES; number++) {
        if ((size_t)snprintf(path + length, size - length, ".%d", number) >= size - length) {
            errno = ENAMETOOLONG;
            return -1;
        }
        file = tm_file_new(path);
    }
    if (file >= 0)
        write_in_place(file);
    return file;
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
static bool make_room(int file, off_t offset, size_t bytes)
{
    struct tm_file_guard guard;
    int code;
    tm_file_guard(&guard);
    do
        code = posix_fallocate(file, offset, (off_t)bytes);
    while (code == EINTR); /* tmpfs gives up for any signal */
    tm_file_unguard(&guard);
    errno = code;
    return code == 0;
}

static void *map_at_end(int file, void *address, size_t bytes)
{
    if (!make_room(file, file_end, bytes))
        return NULL;
    void *memory = mmap(address, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (address ? MAP_FIXED : 0), file, file_end);
    if (memory == MAP_FAILED)
        return NULL;
    file_end += (off_t)bytes;
    return memory;
}

static int64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

void *tm_file_map(size_t bytes)
{
    /* A full disk refuses slowly (tmpfs fills up and clears away again), and every allocation would ask it. */
    static int64_t not_before;
    if (milliseconds() < __atomic_load_n(&not_before, __ATOMIC_RELAXED))
        return NULL;
    pthread_mutex_lock(&lock);
    int saved_errno = errno;
    int file = reopen();
    struct tm_chunk *chunk = file < 0 ? NULL : map_at_end(file, NULL, bytes);
    if (!chunk)
        __atomic_store_n(&not_before, milliseconds() + RETRY_AFTER, __ATOMIC_RELAXED);
    if (chunk) { /* before the next one follows, so that whoever walks over the file gets past it */
        chunk->self = (uintptr_t)chunk;
        chunk->bytes = bytes;
    }
    if (file >= 0)
        close(file);
    errno = saved_errno;
    pthread_mutex_unlock(&lock);
    return chunk;
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
    memcpy(file_pattern, pattern, strlen(pattern) + 1);
    int file = create(pattern, path, sizeof(path));
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
    if (file_root)
        tm_root_copy_to(file_root);
}

void tm_file_configure(void)
{
    const char *pattern = getenv("PYTHONTM_FILE");
    if (!pattern || !*pattern || tm_file_create(pattern))
        return;
    /* A file without a pid in its name belongs to the program that `tm run` started; its children know without a word. */
    const char *first = getenv("TM_RUN_PID");
    if (errno == EEXIST && first && atol(first) != (long)getpid())
        return;
    dprintf(STDERR_FILENO, "tm: no table file %s: %s; the table is kept in memory\n%s", pattern, strerror(errno),
            errno == EEXIST
                ? "    a file that exists is never overwritten: remove it, or put %p (the pid) into its name\n"
                : "");
}

/* ---- fork ------------------------------------------------------------------------------------------------------------------------ */

/*
 * After fork, both processes have the parent's file mapped, and the parent writes on.  The child copies the table as it
 * is, to a file of its own or to private memory, and the parent waits for that, because it would change what is copied.
 * It learns of the end, or the child's death, from a pipe.
 */
static int fork_pipe[2] = {-1, -1};

void tm_file_before_fork(void)
{
    if (file_root && pipe2(fork_pipe, O_CLOEXEC))
        fork_pipe[0] = fork_pipe[1] = -1;
}

static void close_pipe(int end)
{
    if (fork_pipe[end] >= 0)
        close(fork_pipe[end]);
    fork_pipe[end] = -1;
}

void tm_file_after_fork_parent(void)
{
    int saved_errno = errno;
    close_pipe(1);
    if (fork_pipe[0] >= 0) {
        struct pollfd end = {.fd = fork_pipe[0]};
        while (poll(&end, 1, FORK_PATIENCE) < 0 && errno == EINTR)
            ;
    }
    close_pipe(0);
    errno = saved_errno;
}

static struct tm_chunk *newest(void)
{
    return (struct tm_chunk *)(uintptr_t)tm_runtime.state->newest_chunk;
}

static struct tm_chunk *before(const struct tm_chunk *chunk)
{
    return (struct tm_chunk *)(uintptr_t)chunk->previous;
}

/* Puts private memory with the same content under a shared mapping. */
static bool detach(void *start, size_t bytes)
{
    void *copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (copy == MAP_FAILED)
        return false;
    static const char zeros[TM_PAGE];
    madvise(copy, bytes, MADV_NOHUGEPAGE); /* as arena.c */
    for (size_t at = 0; at < bytes; at += TM_PAGE)
        if (memcmp((char *)start + at, zeros, TM_PAGE) != 0)
            memcpy((char *)copy + at, (char *)start + at, TM_PAGE);
    return mremap(copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, start) != MAP_FAILED;
}

/* The state's chunk is the oldest: it is read to the end. */
static bool detach_all(void)
{
    for (struct tm_chunk *chunk = newest(), *next; chunk; chunk = next) {
        next = before(chunk);
        if (!detach(chunk, chunk->bytes))
            return false;
    }
    return true;
}

/* The same into a file of the child's own, all or nothing: nothing is mapped before everything is written. */
static bool write_all_chunks(int file)
{
    struct tm_file_guard guard;
    off_t end = TM_PAGE;
    for (struct tm_chunk *chunk = newest(); chunk; chunk = before(chunk))
        end += (off_t)chunk->bytes;
    bool fine = make_room(file, 0, (size_t)end);
    tm_file_guard(&guard);
    off_t offset = TM_PAGE;
    for (struct tm_chunk *chunk = newest(); chunk && fine; chunk = before(chunk)) {
        fine = tm_file_write(file, (const char *)chunk, chunk->bytes, offset);
        offset += (off_t)chunk->bytes;
    }
    tm_file_unguard(&guard);
    return fine;
}

static bool move_to_file(int file, const char *path)
{
    if (!write_all_chunks(file) || !adopt(file, path, file_root))
        return false;
    for (struct tm_chunk *chunk = newest(), *next; chunk; chunk = next) {
        next = before(chunk);
        if (!map_at_end(file, chunk, chunk->bytes))
            return false;
    }
    return true;
}

void tm_file_after_fork_child(void)
{
    static char path[sizeof(tm_root.table_file)];
    if (!file_root)
        return;
    close_pipe(0);
    pthread_mutex_init(&lock, NULL);
    struct tm_root *shared_root = file_root;
    int file = strstr(file_pattern, "%p") ? create(file_pattern, path, sizeof(path)) : -1;
    bool moved = file >= 0 && move_to_file(file, path);
    if (file >= 0 && !moved)
        unlink(path);
    if (file >= 0)
        close(file);
    tm_root.pid = (uint32_t)getpid();
    if (moved) {
        tm_file_publish_root();
    } else {
        munmap(shared_root, TM_PAGE);
        file_root = NULL;
        tm_root.table_file[0] = '\0';
        if (!detach_all()) { /* half of the table may still be the parent's: never touched again */
            tm_runtime.epoch |= TM_IDLE;
            tm_root.state = 0;
        }
    }
    close_pipe(1);
}

/* SPDX-License-Identifier: MIT */
/*
 * The process goes on meanwhile, and may be killed at any moment: that is why it is copied.  So what answers most for
 * the fewest bytes comes first: the state, then all that `top` needs in the order in which it was made, so that whatever
 * is counted is there; then the map of blocks, which is nearly all of the table.
 *
 * /proc/PID/pagemap tells which pages exist.  The others are not read: reading them would make the kernel map its page of
 * zeros there, which costs page tables on the account of a process that has no memory left.
 */
#define _GNU_SOURCE
#include "table_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "layout_decoder.h"
#include "new_file.h"

#define PAGE UINT64_C(4096)
#define RUN 256 /* pages that are read together */
#define MAX_CHUNKS (UINT64_C(1) << 24)
#define MAX_CHUNK (UINT64_C(1) << 36)

struct piece {
    uint64_t address;
    uint64_t bytes;
    bool leaf;
};

struct copy {
    struct tm_target *target;
    struct tm_new_file file;
    int pagemap;
    struct piece *pieces; /* newest first */
    size_t count;
    size_t room;
    uint64_t offset;
    uint64_t written;
    bool partial;
    uint8_t buffer[RUN * PAGE];
};

static bool read_bytes(struct copy *copy, uint64_t address, void *buffer, uint64_t size)
{
    return tm_target_read(copy->target, address, buffer, size).outcome == TM_READ_OK;
}

static struct tm_error *add_piece(struct copy *copy, const struct tm_chunk *head)
{
    if (copy->count == copy->room) {
        size_t room = copy->room ? copy->room * 2 : 256;
        struct piece *pieces = reallocarray(copy->pieces, room, sizeof(*pieces));
        if (!pieces)
            return tm_error_no_memory();
        copy->pieces = pieces;
        copy->room = room;
    }
    copy->pieces[copy->count++] = (struct piece){head->self, head->bytes, head->kind == TM_CHUNK_LEAF};
    return NULL;
}

static struct tm_error *list_pieces(struct copy *copy, const struct tm_root *root)
{
    struct {
        struct tm_chunk head;
        struct tm_state state;
    } first;
    if (!read_bytes(copy, root->state, &first, sizeof(first)) || first.head.magic != TM_CHUNK_MAGIC ||
        first.head.kind != TM_CHUNK_STATE)
        return tm_error(TM_ERROR_DAMAGED, "the trace table of %s cannot be read", copy->target->name);
    struct tm_error *error = NULL;
    struct tm_chunk head;
    uint64_t at = first.state.newest_chunk;
    for (uint64_t i = 0; at && !error; at = head.previous, i++) {
        if (i >= MAX_CHUNKS || !read_bytes(copy, at, &head, sizeof(head)) || head.magic != TM_CHUNK_MAGIC ||
            head.self != at || head.bytes % PAGE || !head.bytes || head.bytes > MAX_CHUNK) {
            copy->partial = true;
            break;
        }
        error = add_piece(copy, &head);
    }
    return error;
}

static bool is_zeros(const uint8_t *page)
{
    return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

/* Which of the pages exist: present (bit 63) or swapped (62); proc(5).  Of a table that lies in a file this cannot be told:
 * what the kernel wrote back and dropped is not present either. */
static void look_at_pages(const struct copy *copy, uint64_t address, size_t pages, bool *used)
{
    uint64_t entries[RUN];
    ssize_t size = (ssize_t)(pages * sizeof(entries[0]));
    const struct tm_region *region = tm_target_region(copy->target, address);
    bool known = copy->pagemap >= 0 && region && !region->path &&
                 pread(copy->pagemap, entries, (size_t)size, (off_t)(address / PAGE * sizeof(entries[0]))) == size;
    for (size_t i = 0; i < pages; i++)
        used[i] = !known || entries[i] >> 62;
}

static struct tm_error *write_pages(struct copy *copy, uint64_t offset, size_t pages)
{
    struct tm_error *error = NULL;
    for (size_t i = 0; i < pages && !error;) {
        size_t first = i;
        while (i < pages && !is_zeros(copy->buffer + i * PAGE))
            i++;
        if (i > first)
            error = tm_new_file_write_at(&copy->file, offset + first * PAGE, copy->buffer + first * PAGE,
                                         (i - first) * PAGE);
        copy->written += (i - first) * PAGE;
        while (i < pages && is_zeros(copy->buffer + i * PAGE))
            i++;
    }
    return error;
}

static struct tm_error *copy_pages(struct copy *copy, uint64_t address, size_t pages, uint64_t offset)
{
    bool used[RUN];
    struct tm_error *error = NULL;
    look_at_pages(copy, address, pages, used);
    for (size_t i = 0; i < pages && !error && !copy->partial;) {
        size_t first = i;
        while (i < pages && used[i])
            i++;
        if (i > first) {
            if (read_bytes(copy, address + first * PAGE, copy->buffer, (i - first) * PAGE))
                error = write_pages(copy, offset + first * PAGE, i - first);
            else
                copy->partial = true;
        }
        while (i < pages && !used[i])
            i++;
    }
    return error;
}

/* The OOM killer's reaper takes the pages of its victim away, upwards, while its memory can still be read as far as it is
 * there (mm/oom_kill.c, __oom_reap_task_mm): what then looks unused was not.  The head of a chunk is its first page, so
 * that while that is there, all of the chunk is. */
static bool still_there(struct copy *copy, const struct piece *piece)
{
    struct tm_chunk head;
    return read_bytes(copy, piece->address, &head, sizeof(head)) && head.magic == TM_CHUNK_MAGIC &&
           head.self == piece->address;
}

static struct tm_error *copy_piece(struct copy *copy, const struct piece *piece)
{
    struct tm_error *error = NULL;
    uint64_t pages = piece->bytes / PAGE;
    for (uint64_t page = 0; page < pages && !error && !copy->partial; page += RUN)
        error = copy_pages(copy, piece->address + page * PAGE, pages - page < RUN ? pages - page : RUN,
                           copy->offset + page * PAGE);
    if (!error && !copy->partial && !still_there(copy, piece))
        copy->partial = true;
    if (!copy->partial) /* a chunk of which a part is missing ends the file: it is truncated there */
        copy->offset += piece->bytes;
    return error;
}

static struct tm_error *copy_table(struct copy *copy, struct tm_root *root)
{
    struct tm_error *error = list_pieces(copy, root);
    copy->offset = PAGE;
    for (int leaves = 0; leaves < 2; leaves++) {
        for (size_t i = copy->count; !error && !copy->partial && i-- > 0;) {
            if (copy->pieces[i].leaf == leaves)
                error = copy_piece(copy, &copy->pieces[i]);
        }
        /* Without all that top needs, the file would be worth less than the one before it. */
        if (!error && copy->partial && !leaves)
            error = tm_error(TM_ERROR_GONE, "%s ended while its table was read", copy->target->name);
    }
    if (!error && ftruncate(copy->file.fd, (off_t)copy->offset))
        error = tm_error_because(tm_error(TM_ERROR_SYSTEM, "cannot write %s", copy->file.path), "%s", strerror(errno));
    memset(root->table_file, 0, sizeof(root->table_file));
    if (!error)
        error = tm_new_file_write_at(&copy->file, 0, root, sizeof(*root));
    copy->written += PAGE;
    return error ? error : tm_new_file_finish(&copy->file);
}

struct tm_error *tm_table_copy(struct tm_target *target, const char *path, uint64_t *written, bool *partial)
{
    struct tm_root root;
    uint64_t address;
    bool found;
    struct tm_error *error = layout_find_root(target, &root, &address, &found);
    if (error)
        return error;
    if (!found || !root.state)
        return tm_error_try(tm_error_because(tm_error(TM_ERROR_NO_TABLE, "%s has no trace table", target->name),
                                             "it does not run under tm, or tracing has not begun"),
                            "tm run -- python3 app.py");
    struct copy *copy = calloc(1, sizeof(*copy));
    if (!copy)
        return tm_error_no_memory();
    char pagemap[64];
    snprintf(pagemap, sizeof(pagemap), "/proc/%d/pagemap", (int)target->pid);
    copy->target = target;
    copy->pagemap = target->live && target->pid ? open(pagemap, O_RDONLY | O_CLOEXEC) : -1;
    error = tm_new_file_open(&copy->file, path, false);
    if (!error)
        error = copy_table(copy, &root);
    tm_new_file_close(&copy->file);
    if (copy->pagemap >= 0)
        close(copy->pagemap);
    *written = copy->written;
    *partial = copy->partial;
    free(copy->pieces);
    free(copy);
    return error;
}

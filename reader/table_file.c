/* SPDX-License-Identifier: MIT */
/*
 * Table files (LAYOUT.md, "Table files"): a page with the root, then chunks back to back.  A chunk's own head tells its
 * address, so the file carries the map of itself, and is a target like a core.
 *
 * The heads may be wrong: the process was killed while it wrote one, or the disk lied.  Then the next page that begins
 * as a chunk counts; whatever lies between is missing, and the decoder notices if anything refers to it.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "image.h"
#include "runtime/layout.h"

#define PAGE UINT64_C(4096)
#define ADDRESSES (UINT64_C(1) << 57) /* user space with five levels of page tables */

static const uint8_t magic[16] = TM_ROOT_MAGIC;

/* Where the hunt for the root looks first (layout_root.c). */
static const char root_path[] = "/_tm.root";

static bool begins_as_chunk(const struct tm_image *image, uint64_t offset, struct tm_chunk *ret)
{
    if (offset > image->size || image->size - offset < sizeof(*ret))
        return false;
    memcpy(ret, image->image + offset, sizeof(*ret));
    return ret->magic == TM_CHUNK_MAGIC;
}

static bool is_sane(const struct tm_chunk *head)
{
    return head->bytes && !(head->bytes % PAGE) && head->bytes < ADDRESSES && !(head->self % PAGE) &&
           head->self < ADDRESSES - head->bytes;
}

bool tm_table_file_recognise(const struct tm_image *image)
{
    static const uint8_t zeros[sizeof(magic)];
    struct tm_chunk first;
    if (image->size < sizeof(magic))
        return false;
    if (!memcmp(image->image, magic, sizeof(magic)))
        return true;
    /* A file whose root was never published: the magic is written last. */
    return !memcmp(image->image, zeros, sizeof(zeros)) && begins_as_chunk(image, PAGE, &first);
}

static struct tm_error *refuse(const char *path, enum tm_error_code code, const char *because)
{
    return tm_error_because(tm_error(code, "the table file %s cannot be read", path), "%s", because);
}

static struct tm_error *check_root(const struct tm_image *image, const char *path, struct tm_root *ret)
{
    if (memcmp(image->image, magic, sizeof(magic)) != 0)
        return refuse(path, TM_ERROR_NOT_STARTED, "the program ended before tracing had begun");
    if (image->size < PAGE)
        return refuse(path, TM_ERROR_DAMAGED, "it is truncated: it ends within its first page");
    memcpy(ret, image->image, sizeof(*ret));
    if (ret->byte_order == __builtin_bswap32(TM_BYTE_ORDER))
        return refuse(path, TM_ERROR_VERSION, "it comes from a machine of the other byte order");
    if (ret->byte_order != TM_BYTE_ORDER || ret->self % TM_ROOT_ALIGN || ret->self >= ADDRESSES)
        return refuse(path, TM_ERROR_DAMAGED, "its first page is damaged");
    return NULL;
}

static struct tm_error *add_region(struct tm_image *image, uint64_t offset, uint64_t address, uint64_t bytes,
                                   const char *path)
{
    struct tm_region region = {
        .start = address,
        .end = address + bytes,
        .saved = bytes,
        .offset = offset,
        .flags = TM_REGION_READ | TM_REGION_WRITE,
        .missing = TM_READ_TRUNCATED,
        .path = path,
    };
    if (image->size - offset < bytes) {
        region.saved = image->size - offset;
        image->target.truncated = true;
    }
    return tm_regions_add(&image->target, &image->region_room, &region);
}

static struct tm_error *read_chunks(struct tm_image *image)
{
    uint64_t offset = PAGE;
    struct tm_chunk head;
    while (offset < image->size && image->size - offset >= sizeof(head)) {
        if (!begins_as_chunk(image, offset, &head)) {
            memcpy(&head, image->image + offset, sizeof(head));
            /* One whose magic was still to be written says how long it is; otherwise go on to the next that has one. */
            offset += !head.magic && is_sane(&head) ? head.bytes : PAGE;
            continue;
        }
        if (!is_sane(&head)) {
            offset += PAGE;
            continue;
        }
        struct tm_error *error = add_region(image, offset, head.self, head.bytes, NULL);
        if (error)
            return error;
        /* Another head where this one should end, or the end; or else this one lies about its size. */
        struct tm_chunk next;
        bool believed = image->size - offset <= head.bytes || begins_as_chunk(image, offset + head.bytes, &next);
        offset += believed || tm_target_interrupted(&image->target) ? head.bytes : PAGE;
    }
    if (image->size % PAGE)
        image->target.truncated = true;
    return NULL;
}

/* A file of a process that lives goes on changing while it is read. */
static bool is_mapped_by(pid_t pid, const struct stat *file)
{
    char name[64], line[512];
    bool found = false;
    snprintf(name, sizeof(name), "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(name, "re");
    while (maps && !found && fgets(line, sizeof(line), maps)) {
        unsigned major = 0, minor = 0;
        uint64_t inode = 0;
        found = sscanf(line, "%*x-%*x %*s %*x %x:%x %" SCNu64, &major, &minor, &inode) == 3 && inode == file->st_ino &&
                makedev(major, minor) == file->st_dev;
    }
    if (maps)
        fclose(maps);
    return found;
}

struct tm_error *tm_table_file_read(struct tm_image *image, const char *path)
{
    struct tm_root root = {0};
    struct stat status;
    struct tm_error *error = check_root(image, path, &root);
    if (!error)
        error = add_region(image, 0, root.self, PAGE, root_path);
    if (!error)
        error = read_chunks(image);
    if (!error)
        error = tm_image_finish(image, path);
    if (error)
        return error;
    if (root.pid <= INT32_MAX) {
        image->target.pid = (pid_t)root.pid;
        image->target.live = !stat(path, &status) && is_mapped_by(image->target.pid, &status);
    }
    return NULL;
}

/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memmem, asprintf */
#include "stdlib_image.h"

#include <ctype.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNK (UINT64_C(1) << 20)

enum {
    RANK_PYTHON,   /* libpython3.11.so.1.0, python3.11 */
    RANK_OTHER,    /* a program that embeds the interpreter */
    RANK_NAMELESS, /* by size, smallest first */
};

static unsigned rank_of(const char *path)
{
    const char *name = strrchr(path, '/');
    return strstr(name ? name : path, "python") ? RANK_PYTHON : RANK_OTHER;
}

static int compare_images(const void *left, const void *right)
{
    const struct tm_stdlib_image *a = left, *b = right;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    uint64_t a_size = a->data[0].end - a->data[0].start, b_size = b->data[0].end - b->data[0].start;
    if (a->rank == RANK_NAMELESS && a_size != b_size)
        return a_size < b_size ? -1 : 1;
    return (a->start > b->start) - (a->start < b->start);
}

struct tm_error *tm_stdlib_images(struct tm_stdlib_memory *memory, struct tm_stdlib_image **ret, size_t *count)
{
    const struct tm_target *target = memory->target;
    struct tm_stdlib_image *images = calloc(target->region_count + 1, sizeof(*images));
    if (!images)
        return tm_error_no_memory();
    size_t done = 0, current = SIZE_MAX; /* the image whose regions are being collected */
    for (size_t i = 0; i < target->region_count; i++) {
        const struct tm_region *region = &target->regions[i];
        bool file = region->path && region->path[0] == '/' && strncmp(region->path, "/dev/", 5) != 0;
        bool writable = region->flags ? region->flags & TM_REGION_WRITE : true; /* a face may not know */
        if (file && (current == SIZE_MAX || strcmp(images[current].path, region->path) != 0)) {
            current = done++;
            images[current] =
                (struct tm_stdlib_image){.path = region->path, .start = region->start, .rank = rank_of(region->path)};
        }
        struct tm_stdlib_image *image = current == SIZE_MAX ? NULL : &images[current];
        if (!writable || !region->saved)
            continue;
        struct tm_stdlib_range *last = image && image->data_count ? &image->data[image->data_count - 1] : NULL;
        if (last && last->end == region->start && (file || !region->path)) {
            last->end = region->start + region->saved;
        } else if (file && image->data_count < TM_STDLIB_IMAGE_RANGES) {
            image->data[image->data_count++] = (struct tm_stdlib_range){region->start, region->start + region->saved};
        } else {
            struct tm_stdlib_image *nameless = &images[done++];
            *nameless = (struct tm_stdlib_image){.start = region->start, .data_count = 1, .rank = RANK_NAMELESS};
            nameless->data[0] = (struct tm_stdlib_range){region->start, region->start + region->saved};
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < done; i++) {
        if (images[i].data_count)
            images[kept++] = images[i];
    }
    qsort(images, kept, sizeof(*images), compare_images);
    *ret = images;
    *count = kept;
    return NULL;
}

/* ---- version ------------------------------------------------------------------------------------------------------ */

static const char *digits(const char *at, const char *end, unsigned *ret)
{
    const char *first = at;
    *ret = 0;
    while (at < end && isdigit((unsigned char)*at) && at - first < 3)
        *ret = *ret * 10 + (unsigned)(*at++ - '0');
    return at > first ? at : NULL;
}

/* "3.8.18 (default, Nov 20 2026, 10:00:00) \n[GCC 12.2.0]", "3.15.0b1+ free-threading build (main, ...": Python/getversion.c */
static bool parse_version(const char *at, const char *end, char python[64], uint32_t *version, bool *free_threaded)
{
    unsigned minor, micro, serial = 0, level = 0xf;
    const char *start = at;
    if (end - at < 16 || memcmp(at, "3.", 2) != 0)
        return false;
    at = digits(at + 2, end, &minor);
    if (!at || at >= end || *at++ != '.')
        return false;
    at = digits(at, end, &micro);
    if (!at || at >= end)
        return false;
    if (*at == 'a' || *at == 'b' || *at == 'r') {
        level = *at == 'a' ? 0xa : *at == 'b' ? 0xb : 0xc;
        at += *at == 'r' ? 2 : 1;
        at = at < end ? digits(at, end, &serial) : NULL;
        if (!at)
            return false;
    }
    const char *stop = at;
    if (at < end && *at == '+')
        at++;
    size_t left = (size_t)(end - at);
    bool plain = left > 3 && at[0] == ' ' && at[1] == '(' && isalpha((unsigned char)at[2]);
    bool threaded = left > 48 && at[0] == ' ' && memmem(at, 48, "free-threading build (", 22);
    /* Not a version that merely stands in some text: the compiler is named behind it. */
    if ((!plain && !threaded) || !memmem(at, left < 200 ? left : 200, "[", 1) || minor < 8 || minor > 99)
        return false;
    snprintf(python, 64, "%.*s", (int)(stop - start < 63 ? stop - start : 63), start);
    *version = UINT32_C(3) << 24 | minor << 16 | (micro & 0xff) << 8 | level << 4 | (serial & 0xf);
    *free_threaded = threaded;
    return true;
}

bool tm_stdlib_image_version(struct tm_stdlib_memory *memory, const struct tm_stdlib_image *image, char python[64],
                             uint32_t *version, bool *free_threaded)
{
    struct tm_bytes bytes = {0};
    bool found = false;
    for (unsigned i = 0; i < image->data_count && !found; i++) {
        uint64_t at = image->data[i].start;
        while (at < image->data[i].end && !found) {
            uint64_t size = image->data[i].end - at < CHUNK ? image->data[i].end - at : CHUNK;
            tm_bytes_load(&bytes, memory->target, at, size);
            const char *text = (const char *)bytes.data, *end = text + bytes.size, *hit = text;
            while (bytes.size && !found && (hit = memmem(hit, (size_t)(end - hit), "3.", 2))) {
                if (hit == text || !isalnum((unsigned char)hit[-1]))
                    found = parse_version(hit, end, python, version, free_threaded);
                hit++;
            }
            at += size > 256 && at + size < image->data[i].end ? size - 256 : size;
        }
    }
    tm_bytes_unload(&bytes);
    return found;
}

/* ---- symbols ------------------------------------------------------------------------------------------------------ */

static uint64_t symbol_in(Elf *elf, const char *name)
{
    Elf_Scn *section = NULL;
    while ((section = elf_nextscn(elf, section))) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header) || (header.sh_type != SHT_DYNSYM && header.sh_type != SHT_SYMTAB) ||
            !header.sh_entsize)
            continue;
        Elf_Data *data = elf_getdata(section, NULL);
        for (size_t i = 0; data && i < header.sh_size / header.sh_entsize; i++) {
            GElf_Sym symbol;
            if (!gelf_getsym(data, (int)i, &symbol) || symbol.st_shndx == SHN_UNDEF)
                continue;
            const char *text = elf_strptr(elf, header.sh_link, symbol.st_name);
            /* LTO makes "tracemalloc_traces.lto_priv.0" of a static variable. */
            size_t length = strlen(name);
            if (text && !strncmp(text, name, length) && (!text[length] || !strncmp(text + length, ".lto_priv", 9)))
                return symbol.st_value;
        }
    }
    return 0;
}

/* First address that the file asks for; the image's lowest region is what it got. */
static bool lowest_address(Elf *elf, uint64_t *ret)
{
    size_t count;
    if (elf_getphdrnum(elf, &count) != 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr header;
        if (gelf_getphdr(elf, (int)i, &header) && header.p_type == PT_LOAD) {
            *ret = header.p_vaddr & ~UINT64_C(0xfff);
            return true;
        }
    }
    return false;
}

/* The header page is in every core with the default filter; it has the build-id in it.  A file that was replaced since
 * has another one, and its symbols would lie. */
static bool same_file(struct tm_stdlib_memory *memory, const struct tm_stdlib_image *image, int fd)
{
    uint8_t mapped[1024], file[1024];
    return tm_target_peek(memory->target, image->start, mapped, sizeof(mapped)).outcome == TM_READ_OK &&
           pread(fd, file, sizeof(file), 0) == (ssize_t)sizeof(file) && !memcmp(mapped, file, sizeof(file));
}

uint64_t tm_stdlib_image_symbol(struct tm_stdlib_memory *memory, const struct tm_stdlib_image *image, const char *name)
{
    const struct tm_face *face = memory->target->face;
    uint64_t address = 0;
    if (face && face->symbol && face->symbol(face->data, name, &address) == 0 && address)
        return address;
    if (!image->path)
        return 0;
    char *path;
    if (asprintf(&path, "%s%s", memory->target->source_root ? memory->target->source_root : "", image->path) < 0)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    free(path);
    if (fd < 0)
        return 0;
    address = 0;
    uint64_t lowest, value;
    if (same_file(memory, image, fd)) {
        elf_version(EV_CURRENT);
        Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
        if (elf && lowest_address(elf, &lowest) && (value = symbol_in(elf, name)))
            address = value - lowest + image->start;
        elf_end(elf);
    }
    close(fd);
    return address;
}

/* SPDX-License-Identifier: MIT */
/*
 * Snapshot files with anything in them.  An input whose first byte is even is the file as it lies on the disk; otherwise the
 * rest is cut into sections, {kind, element size, 2 bytes of length, contents}, which get sound frames, checksums and a
 * directory, so that what lies behind those is met as well.
 */
#define _GNU_SOURCE /* memfd_create */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include "reader/snapshot.h"
#include "reader/tm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_SECTIONS 24

static uint8_t file[1 << 20];
static size_t file_size;

static void put_frame(const void *bytes, size_t size)
{
    static ZSTD_CCtx *compressor;
    if (!compressor) {
        compressor = ZSTD_createCCtx();
        ZSTD_CCtx_setParameter(compressor, ZSTD_c_checksumFlag, 1);
        ZSTD_CCtx_setParameter(compressor, ZSTD_c_compressionLevel, 1);
    }
    size_t done = ZSTD_compress2(compressor, file + file_size, sizeof(file) - file_size, bytes, size);
    if (!ZSTD_isError(done))
        file_size += done;
}

/* The wider an element, the more of it is zeros: few bytes of input make many small numbers. */
static size_t spread(const uint8_t *from, size_t size, uint8_t element, uint8_t *into, size_t room)
{
    size_t used = 0, step = element < 4 ? 1 : 4;
    for (size_t i = 0; i < size && used + step <= room; i++) {
        memset(into + used, 0, step);
        into[used] = from[i];
        if (step == 4 && from[i] == 0xff)
            memset(into + used, 0xff, step);
        used += step;
    }
    return used;
}

static void assemble(const uint8_t *data, size_t size)
{
    static uint8_t content[1 << 18];
    struct tm_snapshot_section sections[MAX_SECTIONS];
    struct tm_snapshot_header header = {.version = TM_SNAPSHOT_VERSION, .header_size = sizeof(header)};
    memcpy(header.magic, TM_SNAPSHOT_MAGIC, sizeof(header.magic));
    file_size = sizeof(header);
    while (size >= 4 && header.section_count < MAX_SECTIONS) {
        static const uint8_t sizes[] = {1, 200, 4, 1, 12, 12, 16, 24, 1, 24};
        struct tm_snapshot_section *section = &sections[header.section_count++];
        uint8_t kind = data[0] % 12, element = kind < sizeof(sizes) ? sizes[kind] : 1;
        if (data[1])
            element = data[1];
        size_t length = (size_t)data[2] << 8 | data[3];
        data += 4;
        size -= 4;
        if (length > size)
            length = size;
        size_t used = spread(data, length, element, content, sizeof(content));
        *section = (struct tm_snapshot_section){
            .kind = kind, .element_size = element, .offset = file_size, .count = used / element};
        put_frame(content, section->count * element);
        section->stored = file_size - section->offset;
        data += length;
        size -= length;
    }
    header.directory_offset = file_size;
    put_frame(sections, header.section_count * sizeof(sections[0]));
    header.directory_stored = file_size - header.directory_offset;
    header.file_size = file_size;
    memcpy(file, &header, sizeof(header));
}

static int32_t swallow(void *data, int32_t stream, const char *bytes, uint64_t size)
{
    (void)data;
    (void)stream;
    (void)bytes;
    (void)size;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const verbs[][4] = {
        {"top", "--json", "--by", "traceback"}, {"tree", "-p", "0", "-j"},      {"blocks", "--all", "-d", "7"},
        {"sizes", "--by", "lineno", "-j"},      {"top", "-c", "-x", "*a*:2"},   {"info", "--json", "-i", "*"},
        {"traceback", "0x10000", "-j", "-j"},   {"check", "-j", "-i", "*b*:1"},
    };
    if (size < 1 || size > sizeof(file))
        return 0;
    if (data[0] & 1) {
        assemble(data + 1, size - 1);
    } else {
        memcpy(file, data + 1, size - 1);
        file_size = size - 1;
    }
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (fd < 0 || write(fd, file, file_size) != (ssize_t)file_size)
        abort();
    const struct tm_face face = {.size = sizeof(face), .write = swallow};
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        const char *const *verb = verbs[i];
        tm_command(&face, 5, (const char *[]){verb[0], path, verb[1], verb[2], verb[3]});
    }
    tm_command(&face, 5, (const char *[]){"diff", path, path, "--by", "traceback"});
    close(fd);
    return 0;
}

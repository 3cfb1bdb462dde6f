/* SPDX-License-Identifier: MIT */
/*
 * Compressed cores: what systemd-coredump (zstd, lz4, xz), a pipe in core_pattern or a thrifty colleague (gzip) left.
 *
 * They are streamed into a file that has no name and has holes where pages are zeros: the memory of a core is read here
 * and there, so it must be addressable, and most of what a core has is zeros.  A stream that ends too early is read as
 * far as it goes, as is a core that was cut.  One whose bytes are wrong is refused: whatever comes out of it may be
 * anything.
 */
#define _GNU_SOURCE /* O_TMPFILE */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lz4frame.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "clock.h"
#include "image.h"

#define PAGE 4096
#define IN_ROOM (UINT64_C(1) << 18)
#define OUT_ROOM (UINT64_C(1) << 20) /* whole pages */
#define SPARE (UINT64_C(64) << 20)   /* of the disk, left to others */
#define LONGEST_MAGIC 6
#define SHOW_AFTER 500 /* milliseconds */

/* ---- formats -------------------------------------------------------------------------------------------------------- */

struct span {
    uint8_t *bytes;
    size_t size;
    size_t done; /* consumed of the input, filled of the output */
};

enum progress {
    MORE,
    FRAME_ENDS, /* another one may follow */
    DAMAGED,
};

struct format {
    const char *name;
    const char *magic;
    size_t magic_size;
    void *(*open)(void);
    enum progress (*step)(void *decoder, struct span *in, struct span *out);
    void (*close)(void *decoder);
};

static void *zstd_open(void)
{
    ZSTD_DStream *decoder = ZSTD_createDStream();
    /* zstd --long=31 and --ultra are rare, but not wrong. */
    if (decoder)
        ZSTD_DCtx_setParameter(decoder, ZSTD_d_windowLogMax, 31);
    return decoder;
}

static enum progress zstd_step(void *decoder, struct span *in, struct span *out)
{
    ZSTD_inBuffer from = {in->bytes, in->size, in->done};
    ZSTD_outBuffer to = {out->bytes, out->size, out->done};
    size_t left = ZSTD_decompressStream(decoder, &to, &from);
    in->done = from.pos;
    out->done = to.pos;
    if (ZSTD_isError(left))
        return DAMAGED;
    return left ? MORE : FRAME_ENDS;
}

static void zstd_close(void *decoder)
{
    ZSTD_freeDStream(decoder);
}

static void *lz4_open(void)
{
    LZ4F_dctx *decoder = NULL;
    return LZ4F_isError(LZ4F_createDecompressionContext(&decoder, LZ4F_VERSION)) ? NULL : decoder;
}

static enum progress lz4_step(void *decoder, struct span *in, struct span *out)
{
    size_t read = in->size - in->done, written = out->size - out->done;
    size_t left = LZ4F_decompress(decoder, out->bytes + out->done, &written, in->bytes + in->done, &read, NULL);
    if (LZ4F_isError(left))
        return DAMAGED;
    in->done += read;
    out->done += written;
    return left ? MORE : FRAME_ENDS;
}

static void lz4_close(void *decoder)
{
    LZ4F_freeDecompressionContext(decoder);
}

static void *xz_open(void)
{
    lzma_stream *decoder = calloc(1, sizeof(*decoder));
    if (decoder && lzma_stream_decoder(decoder, UINT64_C(1) << 30, 0) != LZMA_OK) {
        free(decoder);
        return NULL;
    }
    return decoder;
}

static void xz_close(void *decoder)
{
    lzma_end(decoder);
    free(decoder);
}

static enum progress xz_step(void *opaque, struct span *in, struct span *out)
{
    lzma_stream *decoder = opaque;
    decoder->next_in = in->bytes + in->done;
    decoder->avail_in = in->size - in->done;
    decoder->next_out = out->bytes + out->done;
    decoder->avail_out = out->size - out->done;
    lzma_ret result = lzma_code(decoder, LZMA_RUN);
    in->done = in->size - decoder->avail_in;
    out->done = out->size - decoder->avail_out;
    if (result == LZMA_STREAM_END) /* ready for the next one */
        return lzma_stream_decoder(decoder, UINT64_C(1) << 30, 0) == LZMA_OK ? FRAME_ENDS : DAMAGED;
    return result == LZMA_OK || result == LZMA_BUF_ERROR ? MORE : DAMAGED;
}

static void *gzip_open(void)
{
    z_stream *decoder = calloc(1, sizeof(*decoder));
    if (decoder && inflateInit2(decoder, 15 + 16) != Z_OK) {
        free(decoder);
        return NULL;
    }
    return decoder;
}

static void gzip_close(void *decoder)
{
    inflateEnd(decoder);
    free(decoder);
}

static enum progress gzip_step(void *opaque, struct span *in, struct span *out)
{
    z_stream *decoder = opaque;
    decoder->next_in = in->bytes + in->done;
    decoder->avail_in = (uInt)(in->size - in->done);
    decoder->next_out = out->bytes + out->done;
    decoder->avail_out = (uInt)(out->size - out->done);
    int result = inflate(decoder, Z_NO_FLUSH);
    in->done = in->size - decoder->avail_in;
    out->done = out->size - decoder->avail_out;
    if (result == Z_STREAM_END)
        return inflateReset(decoder) == Z_OK ? FRAME_ENDS : DAMAGED;
    return result == Z_OK || result == Z_BUF_ERROR ? MORE : DAMAGED;
}

static const struct format formats[] = {
    {"zstd", "\x28\xb5\x2f\xfd", 4, zstd_open, zstd_step, zstd_close},
    {"lz4", "\x04\x22\x4d\x18", 4, lz4_open, lz4_step, lz4_close},
    {"xz", "\xfd\x37zXZ", 6, xz_open, xz_step, xz_close}, /* its NUL included */
    {"gzip", "\x1f\x8b\x08", 3, gzip_open, gzip_step, gzip_close},
};

static const struct format *find_format(const void *bytes, size_t size)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (size >= formats[i].magic_size && !memcmp(bytes, formats[i].magic, formats[i].magic_size))
            return &formats[i];
    }
    return NULL;
}

const char *tm_unpack_format(const void *bytes, size_t size)
{
    const struct format *format = find_format(bytes, size);
    return format ? format->name : NULL;
}

/* ---- the temporary file --------------------------------------------------------------------------------------------- */

struct unpack {
    const struct tm_face *face;
    const char *path;
    const struct format *format;
    const char *folder; /* of the temporary file */
    int from;
    int to;
    uint64_t compressed; /* size of the file, how much of it was read, what came out */
    uint64_t read;
    uint64_t written;
    int64_t started;
    int64_t shown;
};

/* file-hierarchy(7): /var/tmp for what is large; /tmp is memory on many systems. */
static struct tm_error *create(struct unpack *unpack)
{
    const char *wanted = getenv("TMPDIR");
    const char *const folders[] = {wanted && *wanted ? wanted : "/var/tmp", wanted && *wanted ? NULL : "/tmp"};
    int code = 0;
    for (size_t i = 0; i < 2 && folders[i]; i++) {
        char name[4096];
        unpack->folder = folders[i];
        unpack->to = open(folders[i], O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
        if (unpack->to >= 0)
            return NULL;
        code = errno;
        /* Not every file system has O_TMPFILE (Linux 3.11), NFS for one. */
        if ((code == EOPNOTSUPP || code == EISDIR) &&
            snprintf(name, sizeof(name), "%s/tm-core-XXXXXX", folders[i]) < (int)sizeof(name)) {
            unpack->to = mkostemp(name, O_CLOEXEC);
            if (unpack->to >= 0) {
                unlink(name);
                return NULL;
            }
            code = errno;
        }
    }
    struct tm_error *error =
        tm_error(TM_ERROR_SYSTEM, "cannot make a temporary file in %s to unpack %s", unpack->folder, unpack->path);
    return tm_error_try(tm_error_because(error, "%s", strerror(code)), "TMPDIR=FOLDER, one with enough space");
}

static struct tm_error *disk_full(const struct unpack *unpack)
{
    struct tm_error *error =
        tm_error(TM_ERROR_SYSTEM, "not enough space in %s to unpack %s", unpack->folder, unpack->path);
    error = tm_error_because(error, "%" PRIu64 " MiB came out of the first %" PRIu64 " %% of it, which is %s",
                             unpack->written >> 20, unpack->read * 100 / (unpack->compressed ? unpack->compressed : 1),
                             unpack->format->name);
    return tm_error_try(error, "TMPDIR=FOLDER, one with more space");
}

static bool is_zeros(const uint8_t *page)
{
    return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

/* The bytes go behind what was written; pages of zeros become holes. */
static struct tm_error *put(struct unpack *unpack, const uint8_t *bytes, size_t size)
{
    struct statvfs disk;
    if (!fstatvfs(unpack->to, &disk) && (uint64_t)disk.f_bavail * disk.f_frsize < SPARE + size)
        return disk_full(unpack);
    for (size_t at = 0; at < size;) {
        size_t end = at;
        while (end < size && (size - end < PAGE || !is_zeros(bytes + end)))
            end += size - end < PAGE ? size - end : PAGE;
        while (at < end) {
            ssize_t done = pwrite(unpack->to, bytes + at, end - at, (off_t)(unpack->written + at));
            if (done < 0 && errno == EINTR)
                continue;
            if (done <= 0)
                return disk_full(unpack);
            at += (size_t)done;
        }
        while (at < size && size - at >= PAGE && is_zeros(bytes + at))
            at += PAGE;
    }
    unpack->written += size;
    return NULL;
}

/* ---- progress --------------------------------------------------------------------------------------------------------- */

static void say(const struct unpack *unpack, const char *text)
{
    unpack->face->write(unpack->face->data, TM_STREAM_ERR, text, strlen(text));
}

/* For somebody who waits at a terminal. */
static void show(struct unpack *unpack)
{
    const struct tm_face *face = unpack->face;
    int64_t now = tm_milliseconds();
    if (!face || !face->write || !face->width || now - unpack->started < SHOW_AFTER || now - unpack->shown < 200)
        return;
    char text[80];
    snprintf(text, sizeof(text), "\rtm: unpacking (%s): %3" PRIu64 " %%, %" PRIu64 " MiB", unpack->format->name,
             unpack->read * 100 / (unpack->compressed ? unpack->compressed : 1), unpack->written >> 20);
    say(unpack, text);
    unpack->shown = now;
}

static void clear(struct unpack *unpack)
{
    if (unpack->shown)
        say(unpack, "\r\x1b[K");
}

/* ---- all of it ---------------------------------------------------------------------------------------------------------- */

static struct tm_error *damaged(const struct unpack *unpack)
{
    struct tm_error *error = tm_error(TM_ERROR_NOT_A_CORE, "%s is damaged", unpack->path);
    error =
        tm_error_because(error, "it is compressed (%s), and what follows its first %" PRIu64 " bytes makes no sense",
                         unpack->format->name, unpack->read);
    return tm_error_try(error, "another copy of it");
}

/* Reads on, keeping what was not consumed; *ended: there is no more. */
static struct tm_error *refill(struct unpack *unpack, struct span *in, bool *ended)
{
    memmove(in->bytes, in->bytes + in->done, in->size - in->done);
    in->size -= in->done;
    in->done = 0;
    for (;;) {
        ssize_t got = read(unpack->from, in->bytes + in->size, IN_ROOM - in->size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return tm_error_because(tm_error(TM_ERROR_SYSTEM, "cannot read %s", unpack->path), "%s", strerror(errno));
        *ended = got == 0;
        in->size += (size_t)got;
        return NULL;
    }
}

/* Behind a frame there may be another one (pzstd, cat), one to be skipped (RFC 8878, 3.1.2), or padding. */
static bool another_frame(const struct unpack *unpack, const struct span *in)
{
    const uint8_t *next = in->bytes + in->done;
    size_t size = in->size - in->done;
    bool skippable = size >= 4 && (next[0] & 0xf0) == 0x50 && !memcmp(next + 1, "\x2a\x4d\x18", 3);
    return skippable || find_format(next, size) == unpack->format;
}

static struct tm_error *pump(struct unpack *unpack, void *decoder, struct span *in, struct span *out, bool *truncated)
{
    enum progress progress = FRAME_ENDS;
    struct tm_error *error = NULL;
    bool ended = false;
    for (;;) {
        if (!ended && in->size - in->done < LONGEST_MAGIC)
            error = refill(unpack, in, &ended);
        if (error || (progress == FRAME_ENDS && !another_frame(unpack, in)))
            break;
        size_t before = in->done, filled = out->done;
        progress = unpack->format->step(decoder, in, out);
        unpack->read += in->done - before;
        if (progress == DAMAGED)
            return damaged(unpack);
        bool moved = in->done != before || out->done != filled;
        if (out->done == OUT_ROOM) {
            error = put(unpack, out->bytes, out->done);
            out->done = 0;
            show(unpack);
            if (!error && unpack->face && unpack->face->interrupted && unpack->face->interrupted(unpack->face->data))
                error = tm_error(TM_ERROR_INTERRUPTED, "interrupted");
        } else if (!moved && ended) {
            *truncated = true;
            break;
        } else if (!moved && in->size - in->done >= LONGEST_MAGIC) {
            return damaged(unpack); /* it neither eats nor gives */
        }
    }
    if (!error && out->done)
        error = put(unpack, out->bytes, out->done);
    if (!error && ftruncate(unpack->to, (off_t)unpack->written))
        error = disk_full(unpack);
    return error;
}

struct tm_error *tm_unpack(const struct tm_face *face, int compressed, const char *path, int *ret, bool *truncated)
{
    uint8_t head[16];
    struct stat status;
    struct unpack unpack = {.face = face, .path = path, .from = compressed, .to = -1, .started = tm_milliseconds()};
    ssize_t size = pread(compressed, head, sizeof(head), 0);
    unpack.format = size > 0 ? find_format(head, (size_t)size) : NULL;
    if (!unpack.format || fstat(compressed, &status))
        return tm_image_refuse(path, "it cannot be read");
    unpack.compressed = (uint64_t)status.st_size;
    struct tm_error *error = create(&unpack);
    if (error)
        return error;
    struct span in = {malloc(IN_ROOM), 0, 0}, out = {malloc(OUT_ROOM), OUT_ROOM, 0};
    void *decoder = unpack.format->open();
    error = decoder && in.bytes && out.bytes ? pump(&unpack, decoder, &in, &out, truncated) : tm_error_no_memory();
    clear(&unpack);
    if (decoder)
        unpack.format->close(decoder);
    free(in.bytes);
    free(out.bytes);
    if (error) {
        close(unpack.to);
        return error;
    }
    *ret = unpack.to;
    return NULL;
}

/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* asprintf */
#include "stdlib_symbols.h"

#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- files ---------------------------------------------------------------------------------------------------------- */

static int open_file(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static Elf *begin_elf(int fd)
{
    elf_version(EV_CURRENT);
    return fd < 0 ? NULL : elf_begin(fd, ELF_C_READ_MMAP, NULL);
}

static void close_elf(Elf *elf, int fd)
{
    elf_end(elf);
    if (fd >= 0)
        close(fd);
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

static bool has_section(Elf *elf, const char *name)
{
    size_t strings;
    Elf_Scn *section = NULL;
    if (elf_getshdrstrndx(elf, &strings) != 0)
        return false;
    while ((section = elf_nextscn(elf, section))) {
        GElf_Shdr header;
        const char *found = gelf_getshdr(section, &header) ? elf_strptr(elf, strings, header.sh_name) : NULL;
        if (found && !strcmp(found, name) && header.sh_type != SHT_NOBITS)
            return true;
    }
    return false;
}

/* A file of debug information belongs to the one with the same build-id, and to no other. */
static bool try_debug(struct tm_stdlib_binary *binary, char *path, const void *id, size_t size)
{
    const void *other;
    if (!path)
        return false;
    binary->debug_fd = open_file(path);
    binary->debug = begin_elf(binary->debug_fd);
    free(path);
    if (binary->debug && dwelf_elf_gnu_build_id(binary->debug, &other) == (ssize_t)size && !memcmp(other, id, size))
        return true;
    close_elf(binary->debug, binary->debug_fd);
    binary->debug = NULL;
    binary->debug_fd = -1;
    return false;
}

__attribute__((format(printf, 1, 2))) static char *path_of(const char *format, ...)
{
    char *path;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&path, format, arguments);
    va_end(arguments);
    return length < 0 ? NULL : path;
}

/* Where GDB looks, too: by build-id, and by the name in .gnu_debuglink beside the file, below .debug, and below
 * /usr/lib/debug; in the target's own root, and in this one. */
static void find_debug(struct tm_stdlib_binary *binary, const char *root, const char *path)
{
    const void *id;
    GElf_Word checksum;
    ssize_t size = dwelf_elf_gnu_build_id(binary->elf, &id);
    char hex[129];
    if (has_section(binary->elf, ".debug_info") || size < 2 || size > 64)
        return;
    for (ssize_t i = 0; i < size; i++)
        snprintf(hex + 2 * i, 3, "%02x", ((const uint8_t *)id)[i]);
    const char *link = dwelf_elf_gnu_debuglink(binary->elf, &checksum);
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) : 0;
    for (bool last = false; !last; root = "") {
        last = !*root;
        if (try_debug(binary, path_of("%s/usr/lib/debug/.build-id/%.2s/%s.debug", root, hex, hex + 2), id,
                      (size_t)size))
            return;
        if (link && (try_debug(binary, path_of("%s%.*s/%s", root, folder, path, link), id, (size_t)size) ||
                     try_debug(binary, path_of("%s%.*s/.debug/%s", root, folder, path, link), id, (size_t)size) ||
                     try_debug(binary, path_of("%s/usr/lib/debug%.*s/%s", root, folder, path, link), id, (size_t)size)))
            return;
    }
}

/* The file at root/path, if it is the one that was mapped. */
static bool try_binary(struct tm_stdlib_memory *memory, const struct tm_stdlib_image *image, const char *root,
                       struct tm_stdlib_binary *binary)
{
    uint64_t lowest;
    char *path = image->path ? path_of("%s%s", root, image->path) : NULL;
    binary->fd = path ? open_file(path) : -1;
    free(path);
    if (binary->fd >= 0 && same_file(memory, image, binary->fd))
        binary->elf = begin_elf(binary->fd);
    if (!binary->elf || !lowest_address(binary->elf, &lowest)) {
        tm_stdlib_binary_close(binary);
        return false;
    }
    binary->bias = image->start - lowest;
    return true;
}

/* A container's process has paths of its own root, one that went into a chroot has those of everybody. */
bool tm_stdlib_binary_open(struct tm_stdlib_memory *memory, const struct tm_stdlib_image *image,
                           struct tm_stdlib_binary *ret)
{
    const char *root = memory->target->source_root ? memory->target->source_root : "";
    *ret = (struct tm_stdlib_binary){.fd = -1, .debug_fd = -1};
    if (!try_binary(memory, image, root, ret) && (!*root || !try_binary(memory, image, "", ret)))
        return false;
    find_debug(ret, root, image->path);
    return true;
}

void tm_stdlib_binary_close(struct tm_stdlib_binary *binary)
{
    close_elf(binary->debug, binary->debug_fd);
    close_elf(binary->elf, binary->fd);
    *binary = (struct tm_stdlib_binary){.fd = -1, .debug_fd = -1};
}

/* ---- symbols -------------------------------------------------------------------------------------------------------- */

/* Address in the file, and the kind of table that has it. */
static uint64_t symbol_in(Elf *elf, const char *name, uint64_t *size, const char **table)
{
    Elf_Scn *section = NULL;
    while (elf && (section = elf_nextscn(elf, section))) {
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
            if (text && !strncmp(text, name, length) && (!text[length] || !strncmp(text + length, ".lto_priv", 9))) {
                *size = symbol.st_size;
                *table = header.sh_type == SHT_DYNSYM ? ".dynsym" : ".symtab";
                return symbol.st_value;
            }
        }
    }
    return 0;
}

static uint64_t binary_symbol(const struct tm_stdlib_binary *binary, const char *name, uint64_t *size,
                              const char **table)
{
    uint64_t value = symbol_in(binary->elf, name, size, table);
    return value ? value : symbol_in(binary->debug, name, size, table);
}

static uint64_t face_symbol(const struct tm_face *face, const char *name)
{
    uint64_t address = 0;
    return face && face->symbol && face->symbol(face->data, name, &address) == 0 ? address : 0;
}

uint64_t tm_stdlib_symbol(struct tm_stdlib_memory *memory, const struct tm_stdlib_image *image, const char *name)
{
    struct tm_stdlib_binary binary;
    uint64_t value = 0, size;
    const char *table;
    if (tm_stdlib_binary_open(memory, image, &binary)) {
        value = binary_symbol(&binary, name, &size, &table);
        value += value ? binary.bias : 0;
        tm_stdlib_binary_close(&binary);
    }
    return value ? value : face_symbol(memory->target->face, name);
}

/* ---- what they say -------------------------------------------------------------------------------------------------- */

/* Everybody who knows where `traces` is, from the one who knows best. */
struct place {
    const char *source; /* "DWARF", ".symtab", "the debugger"; NULL: nobody knows */
    const char *name;
    uint64_t address;
    uint64_t size; /* the variable may lie anywhere in it; 0: is it */
};

static struct place find_place(struct tm_stdlib_memory *memory, const struct tm_stdlib_state *state,
                               const struct tm_stdlib_binary *binary, const struct tm_stdlib_dwarf *dwarf)
{
    static const char runtime[] = "_PyRuntime", member[] = "_PyRuntime.tracemalloc.traces";
    const struct tm_face *face = memory->target->face;
    bool fixed = state->family->state->fixed;
    const char *name = fixed ? member : "tracemalloc_traces", *lto = "tracemalloc_traces.lto_priv.0";
    struct place place = {.name = name};
    uint64_t size;
    if (dwarf->slot) {
        place.source = "DWARF";
        place.address = dwarf->slot + binary->bias;
        return place;
    }
    if (!fixed && binary->elf && (place.address = binary_symbol(binary, name, &size, &place.source))) {
        place.address += binary->bias;
        return place;
    }
    if ((place.address = face_symbol(face, name)) || (!fixed && (place.address = face_symbol(face, lto)))) {
        place.source = "the debugger";
        return place;
    }
    if (fixed && binary->elf && (place.address = binary_symbol(binary, runtime, &place.size, &place.source))) {
        place.address += binary->bias;
        place.name = runtime;
    }
    return place;
}

enum tm_stdlib_verdict tm_stdlib_compare(struct tm_stdlib_memory *memory, const struct tm_stdlib_state *state,
                                         char **sentence)
{
    struct tm_stdlib_binary binary;
    struct tm_stdlib_dwarf dwarf = {0};
    uint64_t size;
    const char *table;
    bool has_file = tm_stdlib_binary_open(memory, &state->image, &binary);
    bool has_dwarf = has_file && tm_stdlib_dwarf_read(binary.debug ? binary.debug : binary.elf, state->family,
                                                      binary_symbol(&binary, "_PyRuntime", &size, &table), &dwarf);
    struct place place = find_place(memory, state, &binary, &dwarf);
    bool here = place.size ? state->slot - place.address < place.size : state->slot == place.address;
    enum tm_stdlib_verdict verdict = TM_STDLIB_AGREES;
    char layout[64] = "no DWARF";
    if (has_dwarf)
        snprintf(layout, sizeof(layout), "DWARF confirms %u offsets and sizes", dwarf.agree);
    if (dwarf.contradiction[0]) {
        verdict = TM_STDLIB_CONTRADICTS;
        *sentence = path_of("DWARF contradicts: %s", dwarf.contradiction);
    } else if (place.source && !here) {
        verdict = TM_STDLIB_CONTRADICTS;
        *sentence = path_of("%s contradicts: %s is at 0x%" PRIx64 ", but the tables were found through 0x%" PRIx64,
                            place.source, place.name, place.address, state->slot);
    } else if (dwarf.slot) {
        *sentence = path_of("%s, and that the tables were found through %s", layout, place.name);
    } else if (place.source) {
        *sentence = path_of("%s; %s confirms that the tables were found %s %s", layout, place.source,
                            place.size ? "in" : "through", place.name);
    } else if (has_dwarf) {
        *sentence = path_of("%s; nothing tells where the tables are", layout);
    } else {
        verdict = TM_STDLIB_SILENT;
        *sentence = path_of("none: %s %s", state->image.path ? state->image.path : "the interpreter's file",
                            has_file            ? "has none of tracemalloc, and there is no debug file of it"
                            : state->image.path ? "is not there, or is another file now"
                                                : "is not known");
    }
    tm_stdlib_binary_close(&binary);
    return verdict;
}

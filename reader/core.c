/* SPDX-License-Identifier: MIT */
/*
 * Core files, read through one mmap.
 *
 * Nothing but the program headers is needed to read memory: gcore writes its notes last, so that a truncated gcore core
 * has none, and its section headers behind that.  The notes only add names.  elfutils' libdwfl is not used here: its
 * core reader fetches single words, and dwfl_core_file_report() takes seconds when there are many segments.
 */
#define _GNU_SOURCE
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <unistd.h>

#include "image.h"

/* Linux's core notes, also where <elf.h> is older */
#define NOTE_FILE 0x46494c45

/* ---- what kind of file is it ---------------------------------------------------------------------------------------- */

static struct tm_error *check_magic(const char *path, const uint8_t *image, uint64_t size)
{
    if (size < SELFMAG || memcmp(image, ELFMAG, SELFMAG) != 0)
        return tm_image_refuse(path, "it does not begin as an ELF file");
    if (size < sizeof(Elf64_Ehdr))
        return tm_image_refuse(path, "it ends within its ELF header");
    if (image[EI_CLASS] != ELFCLASS64)
        return tm_image_refuse(path, "it comes from a 32-bit program, and only 64-bit ones can be traced");
    const uint16_t one = 1;
    if (image[EI_DATA] != (*(const uint8_t *)&one ? ELFDATA2LSB : ELFDATA2MSB))
        return tm_image_refuse(path, "it comes from a machine of the other byte order");
    Elf64_Ehdr header;
    memcpy(&header, image, sizeof(header));
    if (header.e_type != ET_CORE)
        return tm_image_refuse(path, header.e_type == ET_EXEC || header.e_type == ET_DYN
                                         ? "it is a program or a library"
                                         : "its ELF header says so");
    if (header.e_phentsize != sizeof(Elf64_Phdr))
        return tm_image_refuse(path, "its ELF header is damaged");
    return NULL;
}

/* ---- segments --------------------------------------------------------------------------------------------------------- */

static bool program_header(const struct tm_image *core, const Elf64_Ehdr *header, uint64_t index, Elf64_Phdr *ret)
{
    uint64_t offset = header->e_phoff + index * sizeof(*ret);
    if (offset < header->e_phoff || offset > core->size || core->size - offset < sizeof(*ret))
        return false;
    memcpy(ret, core->image + offset, sizeof(*ret));
    return true;
}

/* More than 65,534 segments: the number stands in section header 0 (PN_XNUM, elf(5)), which the kernel writes at the
 * end of the file, where a truncated one lacks it.  But the headers end where the first segment's bytes begin. */
static uint64_t segment_count(const struct tm_image *core, const Elf64_Ehdr *header)
{
    if (header->e_phnum != PN_XNUM)
        return header->e_phnum;
    Elf64_Shdr section;
    if (header->e_shoff && header->e_shoff <= core->size && core->size - header->e_shoff >= sizeof(section)) {
        memcpy(&section, core->image + header->e_shoff, sizeof(section));
        return section.sh_info;
    }
    Elf64_Phdr first;
    if (!program_header(core, header, 0, &first) || first.p_offset < header->e_phoff)
        return 0;
    return (first.p_offset - header->e_phoff) / sizeof(first);
}

static struct tm_error *add_segment(struct tm_image *core, const Elf64_Phdr *segment)
{
    struct tm_region region = {
        .start = segment->p_vaddr,
        .end = segment->p_vaddr + segment->p_memsz,
        .saved = segment->p_filesz < segment->p_memsz ? segment->p_filesz : segment->p_memsz,
        .offset = segment->p_offset,
        .flags = segment->p_flags & (PF_R | PF_W | PF_X),
        .missing = TM_READ_NOT_SAVED,
    };
    if (region.end < region.start)
        return NULL;
    if (region.offset > core->size || core->size - region.offset < region.saved) {
        region.saved = region.offset > core->size ? 0 : core->size - region.offset;
        region.missing = TM_READ_TRUNCATED;
        core->target.truncated = true;
    }
    return tm_regions_add(&core->target, &core->region_room, &region);
}

/* ---- notes ------------------------------------------------------------------------------------------------------------ */

/* NT_FILE: count, page size, count * {start, end, offset}, count paths (fs/binfmt_elf.c, fill_files_note). */
static void name_regions(struct tm_image *core, const uint8_t *note, uint64_t size)
{
    uint64_t head[2];
    if (size < sizeof(head))
        return;
    memcpy(head, note, sizeof(head));
    uint64_t count = head[0];
    if (count > (size - sizeof(head)) / 24)
        return;
    const uint8_t *entry = note + sizeof(head);
    const char *path = (const char *)entry + count * 24, *end = (const char *)note + size;
    size_t at = 0;
    struct tm_region *regions = core->target.regions;
    for (uint64_t i = 0; i < count; i++, entry += 24) {
        uint64_t start, stop;
        memcpy(&start, entry, 8);
        memcpy(&stop, entry + 8, 8);
        const char *nul = memchr(path, 0, end - path);
        if (!nul)
            return;
        /* Both lists are sorted, unless somebody tampered with them: then names are missing, nothing else. */
        while (at < core->target.region_count && regions[at].start < start)
            at++;
        for (; at < core->target.region_count && regions[at].start < stop; at++)
            regions[at].path = path;
        path = nul + 1;
    }
}

static void read_status(struct tm_image *core, const uint8_t *note, uint64_t size)
{
    struct elf_prstatus status;
    if (core->target.signal || size < sizeof(status))
        return;
    memcpy(&status, note, sizeof(status)); /* the first one is the thread that was killed */
    core->target.signal = status.pr_cursig;
    if (!core->target.pid)
        core->target.pid = status.pr_pid;
}

static void read_process(struct tm_image *core, const uint8_t *note, uint64_t size)
{
    struct elf_prpsinfo process;
    if (core->target.program || size < sizeof(process))
        return;
    memcpy(&process, note, sizeof(process));
    core->target.pid = process.pr_pid;
    const char *text = process.pr_psargs[0] ? process.pr_psargs : process.pr_fname;
    size_t length = strnlen(text, process.pr_psargs[0] ? sizeof(process.pr_psargs) : sizeof(process.pr_fname));
    while (length && text[length - 1] == ' ') /* the kernel puts one behind each argument */
        length--;
    core->target.program = strndup(text, length);
}

static void read_notes(struct tm_image *core, Elf *elf, const Elf64_Phdr *segment)
{
    if (segment->p_offset >= core->size)
        return;
    uint64_t size = core->size - segment->p_offset;
    if (size > segment->p_filesz)
        size = segment->p_filesz;
    Elf_Data *data = elf_getdata_rawchunk(elf, segment->p_offset, size, ELF_T_NHDR);
    if (!data)
        return;
    /* Paths outlive libelf's data, which is a copy where the notes are not aligned: so they are read where they stand. */
    const uint8_t *notes = core->image + segment->p_offset;
    GElf_Nhdr note;
    size_t name, content, at = 0;
    while ((at = gelf_getnote(data, at, &note, &name, &content)) > 0) {
        const uint8_t *bytes = notes + content;
        if (note.n_namesz != 5 || memcmp(notes + name, "CORE", 5) != 0)
            continue;
        if (note.n_type == NT_PRSTATUS)
            read_status(core, bytes, note.n_descsz);
        else if (note.n_type == NT_PRPSINFO)
            read_process(core, bytes, note.n_descsz);
        else if (note.n_type == NOTE_FILE)
            name_regions(core, bytes, note.n_descsz);
    }
}

/* libelf refuses a file whose section headers lie behind its end, as those of a truncated gcore core do.  Nothing here
 * needs them, so they are taken out of the header in a private copy of its page. */
static Elf *open_elf(struct tm_image *core)
{
    long page = sysconf(_SC_PAGESIZE);
    elf_version(EV_CURRENT);
    if (mprotect(core->image, page, PROT_READ | PROT_WRITE) != 0)
        return NULL;
    Elf64_Ehdr *header = (Elf64_Ehdr *)core->image;
    header->e_shoff = 0;
    header->e_shnum = 0;
    header->e_shstrndx = 0;
    return elf_memory((char *)core->image, core->size);
}

static struct tm_error *read_segments(struct tm_image *core, const char *path)
{
    Elf64_Ehdr header;
    memcpy(&header, core->image, sizeof(header)); // NOLINT: the analyzer does not know that tm_error() is not NULL
    uint64_t count = segment_count(core, &header);
    Elf64_Phdr segment;
    for (uint64_t i = 0; i < count; i++) {
        if (!program_header(core, &header, i, &segment)) {
            core->target.truncated = true;
            break;
        }
        if (segment.p_type != PT_LOAD)
            continue;
        struct tm_error *error = add_segment(core, &segment);
        if (error)
            return error;
    }
    if (!core->target.region_count)
        return tm_image_refuse(path,
                               core->target.truncated ? "it ends before its list of segments" : "it holds no memory");
    struct tm_error *error = tm_image_finish(core, path);
    if (error)
        return error;
    Elf *elf = open_elf(core);
    if (!elf)
        return NULL; /* names are missing, memory is not */
    for (uint64_t i = 0; i < count && program_header(core, &header, i, &segment); i++) {
        if (segment.p_type == PT_NOTE)
            read_notes(core, elf, &segment);
    }
    elf_end(elf);
    return NULL;
}

/* ---- opening ------------------------------------------------------------------------------------------------------------ */

struct tm_error *tm_target_open_core(const struct tm_face *face, const char *path, struct tm_target **ret)
{
    struct tm_image *core;
    struct tm_error *error = tm_image_open(face, path, &core);
    if (error)
        return error;
    if (tm_table_file_recognise(core))
        error = tm_table_file_read(core, path);
    else
        error = check_magic(path, core->image, core->size);
    if (!error && !core->target.region_count)
        error = read_segments(core, path);
    if (error) {
        tm_target_destroy(&core->target);
        return error;
    }
    *ret = &core->target;
    return NULL;
}

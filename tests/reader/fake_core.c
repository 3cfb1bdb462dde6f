/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake.h"

#define NOTE_FILE 0x46494c45

void fake_core_init(struct fake_core *core, struct fake *fake)
{
    *core = (struct fake_core){.count = 2};
    core->segments[0] =
        (struct fake_segment){FAKE_DATA, fake->data_size, fake->data_size, PF_R | PF_W, fake->data, "/opt/tm/_tm.so"};
    core->segments[1] =
        (struct fake_segment){FAKE_ARENA, fake->arena_size, fake->arena_size, PF_R | PF_W, fake->arena, NULL};
}

static void add_note(FILE *file, uint32_t type, const void *bytes, size_t size)
{
    Elf64_Nhdr note = {.n_namesz = 5, .n_descsz = (Elf64_Word)size, .n_type = type};
    fwrite(&note, sizeof(note), 1, file);
    fwrite("CORE\0\0\0", 8, 1, file);
    fwrite(bytes, size, 1, file);
    fwrite("\0\0\0", -size & 3, 1, file);
}

static void make_notes(const struct fake_core *core, char **bytes, size_t *size)
{
    FILE *file = open_memstream(bytes, size), *files;
    struct elf_prstatus status = {.pr_pid = 1234, .pr_cursig = 6};
    struct elf_prpsinfo process = {.pr_pid = 1234, .pr_fname = "python3", .pr_psargs = "python3 app.py "};
    add_note(file, NT_PRSTATUS, &status, sizeof(status));
    add_note(file, NT_PRPSINFO, &process, sizeof(process));
    char *list = NULL;
    size_t list_size = 0;
    files = open_memstream(&list, &list_size);
    uint64_t head[2] = {0, 4096};
    for (size_t i = 0; i < core->count; i++)
        head[0] += core->segments[i].path != NULL;
    fwrite(head, sizeof(head), 1, files);
    for (size_t i = 0; i < core->count; i++) {
        const struct fake_segment *segment = &core->segments[i];
        uint64_t entry[3] = {segment->address, segment->address + segment->memory, 0};
        if (segment->path)
            fwrite(entry, sizeof(entry), 1, files);
    }
    for (size_t i = 0; i < core->count; i++) {
        if (core->segments[i].path)
            fwrite(core->segments[i].path, strlen(core->segments[i].path) + 1, 1, files);
    }
    fclose(files);
    add_note(file, NOTE_FILE, list, list_size);
    free(list);
    fclose(file);
}

static void put(int fd, uint64_t at, const void *bytes, size_t size)
{
    assert_int_equal(pwrite(fd, bytes, size, (off_t)at), size);
}

const char *fake_core_write(struct fake_core *core)
{
    static char path[64];
    char *notes = NULL;
    size_t notes_size = 0;
    snprintf(path, sizeof(path), "/tmp/tm-core.%d", (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    if (core->notes != FAKE_NO_NOTES)
        make_notes(core, &notes, &notes_size);
    Elf64_Half headers = (Elf64_Half)(core->count + (core->notes != FAKE_NO_NOTES));
    Elf64_Ehdr elf = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                      .e_type = ET_CORE,
                      .e_machine = EM_X86_64,
                      .e_version = EV_CURRENT,
                      .e_phoff = sizeof(elf),
                      .e_ehsize = sizeof(elf),
                      .e_phentsize = sizeof(Elf64_Phdr),
                      .e_phnum = core->many ? PN_XNUM : headers};
    uint64_t header = sizeof(elf), at = (sizeof(elf) + headers * sizeof(Elf64_Phdr));
    Elf64_Phdr note = {.p_type = PT_NOTE, .p_filesz = notes_size};
    if (core->notes == FAKE_NOTES_FIRST) {
        at += core->odd;
        note.p_offset = at;
        put(fd, header, &note, sizeof(note));
        put(fd, at, notes, notes_size);
        header += sizeof(note);
        at += notes_size;
    }
    at = (at + 4095) & ~UINT64_C(4095);
    for (size_t i = 0; i < core->count; i++) {
        const struct fake_segment *segment = &core->segments[i];
        Elf64_Phdr load = {.p_type = PT_LOAD,
                           .p_flags = segment->flags,
                           .p_offset = at,
                           .p_vaddr = segment->address,
                           .p_filesz = segment->file,
                           .p_memsz = segment->memory};
        put(fd, header, &load, sizeof(load));
        if (segment->bytes)
            put(fd, at, segment->bytes, segment->file);
        header += sizeof(load);
        at += segment->file;
    }
    if (core->notes == FAKE_NOTES_LAST) {
        at += core->odd;
        note.p_offset = at;
        put(fd, header, &note, sizeof(note));
        put(fd, at, notes, notes_size);
        at += notes_size;
    }
    if (core->notes == FAKE_NOTES_LAST || core->many) {
        Elf64_Shdr sections[2] = {{.sh_info = core->many ? headers : 0, .sh_size = 2}};
        elf.e_shoff = at;
        elf.e_shnum = 2;
        elf.e_shentsize = sizeof(sections[0]);
        put(fd, at, sections, sizeof(sections));
        at += sizeof(sections);
    }
    put(fd, 0, &elf, sizeof(elf));
    assert_int_equal(ftruncate(fd, (off_t)(core->cut ? core->cut : at)), 0);
    core->size = core->cut ? core->cut : at;
    close(fd);
    free(notes);
    return path;
}

static void fail_with(struct tm_error *error)
{
    if (error)
        fail_msg("%s; %s", error->what, error->because ? error->because : "");
}

struct tm_target *fake_core_open(struct fake_core *core)
{
    struct tm_target *target;
    const char *path = fake_core_write(core);
    fail_with(tm_target_open_core(NULL, path, &target));
    unlink(path);
    return target;
}

struct tm_model *fake_model(struct fake *fake)
{
    struct fake_core core;
    struct tm_model *model;
    fake_core_init(&core, fake);
    fail_with(tm_model_open(fake_core_open(&core), &model));
    return model;
}

void fake_model_destroy(struct tm_model *model)
{
    struct tm_target *target = model->target;
    tm_model_destroy(model);
    tm_target_destroy(target);
}

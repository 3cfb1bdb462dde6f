/* SPDX-License-Identifier: MIT */
/* Core files of every shape: reads across borders, and faults that say why and where. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake.h"

#define A UINT64_C(0x10000)

static uint8_t pattern[8 * 4096];

/* [A, +2 pages) saved, [+2, +4) of which one page is saved, a gap, [+5, +6) saved */
static void init(struct fake_core *core)
{
    *core = (struct fake_core){
        .segments = {{A, 8192, 8192, PF_R | PF_W, pattern, "/lib/one.so"},
                     {A + 8192, 8192, 4096, PF_R, pattern + 8192, NULL},
                     {A + 5 * 4096, 4096, 4096, PF_R | PF_X, pattern + 5 * 4096, "/lib/two.so"}},
        .count = 3,
    };
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i * 7 + i / 256);
}

static void assert_fault(struct tm_target *target, uint64_t address, uint64_t size, enum tm_outcome outcome,
                         uint64_t where)
{
    uint8_t buffer[16384];
    struct tm_fault fault = tm_target_read(target, address, buffer, size);
    assert_int_equal(fault.outcome, outcome);
    assert_int_equal(fault.address, where);
    /* What lies before the fault was read. */
    if (where > address)
        assert_memory_equal(buffer, pattern + (address - A), where - address);
    assert_int_equal(tm_target_available(target, address, size, NULL), where - address);
}

static void reads_cross_segments(void **state)
{
    (void)state;
    struct fake_core core;
    init(&core);
    struct tm_target *target = fake_core_open(&core);
    assert_fault(target, A + 8000, 400, TM_READ_OK, A + 8400);
    assert_fault(target, A, 12288, TM_READ_OK, A + 12288);
    assert_null(tm_target_view(target, A + 8000, 400));
    assert_memory_equal(tm_target_view(target, A + 100, 200), pattern + 100, 200);
    tm_target_destroy(target);
}

static void missing_memory_is_not_zero(void **state)
{
    (void)state;
    struct fake_core core;
    init(&core);
    struct tm_target *target = fake_core_open(&core);
    assert_fault(target, A + 8000, 5000, TM_READ_NOT_SAVED, A + 12288);
    assert_fault(target, A + 12288, 1, TM_READ_NOT_SAVED, A + 12288);
    assert_fault(target, A + 16384, 1, TM_READ_UNMAPPED, A + 16384);
    assert_fault(target, 0, 1, TM_READ_UNMAPPED, 0);
    assert_fault(target, UINT64_MAX, 1, TM_READ_UNMAPPED, UINT64_MAX);
    assert_fault(target, A + 5 * 4096 + 4000, 200, TM_READ_UNMAPPED, A + 6 * 4096);
    tm_target_destroy(target);
}

static void assert_named(enum fake_notes notes, bool odd)
{
    struct fake_core core;
    init(&core);
    core.notes = notes;
    core.odd = odd;
    struct tm_target *target = fake_core_open(&core);
    assert_fault(target, A, 8192, TM_READ_OK, A + 8192);
    if (notes != FAKE_NO_NOTES) {
        assert_int_equal(target->pid, 1234);
        assert_int_equal(target->signal, 6);
        assert_string_equal(target->program, "python3 app.py");
        assert_string_equal(target->regions[0].path, "/lib/one.so");
        assert_null(target->regions[1].path);
        assert_string_equal(target->regions[2].path, "/lib/two.so");
    } else {
        assert_int_equal(target->pid, 0);
        assert_null(target->program);
    }
    assert_false(target->truncated);
    tm_target_destroy(target);
}

static void notes_name_what_is_there(void **state)
{
    (void)state;
    for (enum fake_notes notes = FAKE_NOTES_FIRST; notes <= FAKE_NO_NOTES; notes++) {
        assert_named(notes, false);
        assert_named(notes, true); /* libelf copies notes that are not aligned, and frees the copy */
    }
}

static void every_cut_is_survived(void **state)
{
    (void)state;
    struct fake_core core;
    for (enum fake_notes notes = FAKE_NOTES_FIRST; notes <= FAKE_NO_NOTES; notes++) {
        init(&core);
        core.notes = notes;
        fake_core_write(&core);
        uint64_t size = core.size;
        for (uint64_t cut = 1; cut < size; cut += cut < 2048 ? 1 : 509) {
            core.cut = cut;
            struct tm_target *target = NULL;
            struct tm_error *error = tm_target_open_core(NULL, fake_core_write(&core), &target);
            if (error) {
                assert_int_equal(error->code, TM_ERROR_NOT_A_CORE);
                assert_true(cut < 4096);
                tm_error_destroy(error);
                continue;
            }
            uint8_t bytes[16384];
            struct tm_fault fault = tm_target_read(target, A, bytes, 12288);
            assert_memory_equal(bytes, pattern, fault.address - A);
            assert_true(fault.outcome != TM_READ_OK || fault.address == A + 12288);
            if (fault.outcome != TM_READ_OK && fault.outcome != TM_READ_UNMAPPED) {
                assert_int_equal(fault.outcome, TM_READ_TRUNCATED);
                assert_true(target->truncated);
            }
            tm_target_destroy(target);
        }
    }
    unlink(fake_core_write(&core));
}

static void many_segments(void **state)
{
    (void)state;
    struct fake_core core;
    init(&core);
    core.many = true;
    struct tm_target *target = fake_core_open(&core);
    assert_int_equal(target->region_count, 3);
    tm_target_destroy(target);
    /* Without its section header the number has to be worked out. */
    core.cut = core.size - 100;
    target = fake_core_open(&core);
    assert_int_equal(target->region_count, 3);
    assert_fault(target, A, 12288, TM_READ_OK, A + 12288);
    tm_target_destroy(target);
}

static void segments_out_of_order(void **state)
{
    (void)state;
    struct fake_core core;
    init(&core);
    struct fake_segment first = core.segments[0];
    core.segments[0] = core.segments[2];
    core.segments[2] = first;
    struct tm_target *target = fake_core_open(&core);
    assert_fault(target, A, 12288, TM_READ_OK, A + 12288);
    tm_target_destroy(target);
}

static void overlapping_segments(void **state)
{
    (void)state;
    struct fake_core core;
    init(&core);
    core.segments[0].memory = core.segments[0].file = sizeof(pattern);
    core.segments[2].memory = UINT64_MAX - 4096; /* ends behind the end of the address space */
    struct tm_target *target = fake_core_open(&core);
    assert_fault(target, A, 12288, TM_READ_OK, A + 12288);
    assert_int_equal(target->region_count, 2);
    tm_target_destroy(target);
}

static void assert_refused(const char *path, const char *word)
{
    struct tm_target *target;
    struct tm_error *error = tm_target_open_core(NULL, path, &target);
    assert_non_null(error);
    if (!strstr(error->what, word) && !(error->because && strstr(error->because, word)))
        fail_msg("%s; %s: no word of '%s'", error->what, error->because, word);
    tm_error_destroy(error);
}

static const char *file_with(const void *bytes, size_t size)
{
    static char path[64];
    snprintf(path, sizeof(path), "/tmp/tm-file.%d", (int)getpid());
    FILE *file = fopen(path, "w");
    fwrite(bytes, size, 1, file);
    fclose(file);
    return path;
}

static void what_is_no_core_says_so(void **state)
{
    (void)state;
    assert_refused("/nonexistent/core", "No such file");
    assert_refused("/", "directory");
    assert_refused("/dev/null", "not a regular file");
    assert_refused("/proc/self/exe", "a program or a library");
    assert_refused(file_with("", 0), "empty");
    assert_refused(file_with("x", 1), "does not begin as an ELF file");
    assert_refused(file_with("\177ELF\2\1\1", 7), "ends within its ELF header");
    assert_refused(file_with("\x28\xb5\x2f\xfd....", 8), "zstd");
    char elf[64] = "\177ELF\1\1\1";
    assert_refused(file_with(elf, sizeof(elf)), "32-bit");
    elf[4] = 2;
    elf[5] = 2;
    assert_refused(file_with(elf, sizeof(elf)), "byte order");
    elf[5] = 1;
    elf[16] = ET_CORE;
    assert_refused(file_with(elf, sizeof(elf)), "damaged");
    elf[54] = 56;
    assert_refused(file_with(elf, sizeof(elf)), "holds no memory");
    unlink(file_with("", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_cross_segments),
        cmocka_unit_test(missing_memory_is_not_zero),
        cmocka_unit_test(notes_name_what_is_there),
        cmocka_unit_test(every_cut_is_survived),
        cmocka_unit_test(many_segments),
        cmocka_unit_test(segments_out_of_order),
        cmocka_unit_test(overlapping_segments),
        cmocka_unit_test(what_is_no_core_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

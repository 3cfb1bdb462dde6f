/* SPDX-License-Identifier: MIT */
/* The decoder of the standard library's tables against every layout, whole and damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "fake_tables.h"

static const struct {
    unsigned family;
    const char *version;
    uint32_t hex;
    bool chars;
    bool wide_keys;
} versions[] = {
    {0, "3.8.18", 0x030812f0, false, false},
    {0, "3.8.20+", 0x030814f0, false, true},
    {1, "3.9.18", 0x030912f0, false, false},
    {1, "3.11.2", 0x030b02f0, false, false},
    {1, NULL, 0, false, false},
    {2, "3.12.1", 0x030c01f0, false, false},
    {2, "3.13.0rc2", 0x030d00c2, false, false},
    {2, NULL, 0, false, false},
    {3, "3.14.10", 0x030e0af0, false, false},
    {3, "3.15.0b1", 0x030f00b1, false, false},
    {3, "3.15.2", 0x030f02f0, true, false},
    {4, "3.13.18 experimental free-threading build", 0x030d12f0, false, false},
    {5, "3.14.10 free-threading build", 0x030e0af0, false, false},
    {5, "3.15.2 free-threading build", 0x030f02f0, true, false},
};
#define VERSIONS (sizeof(versions) / sizeof(versions[0]))

static struct fake *make_with(size_t number, bool foreign)
{
    return fake_create(&(struct fake_options){
        .family = &tm_stdlib_families[versions[number].family],
        .version = versions[number].version,
        .chars = versions[number].chars,
        .wide_keys = versions[number].wide_keys,
        .foreign = foreign,
        .traces = 300,
        .nframe = 4,
    });
}

static struct fake *make(size_t number)
{
    return make_with(number, true);
}

/* ---- whole -------------------------------------------------------------------------------------------------------- */

struct seen {
    uint64_t blocks;
    uint64_t bytes;
    uint64_t foreign;
    uint64_t last;
};

static struct tm_error *see(void *context, const struct tm_block *blocks, size_t count)
{
    struct seen *seen = context;
    for (size_t i = 0; i < count; i++) {
        if (blocks[i].domain == 0)
            assert_true(blocks[i].address > seen->last && !seen->foreign);
        seen->last = blocks[i].address;
        seen->blocks++;
        seen->bytes += blocks[i].size;
        seen->foreign += blocks[i].domain == FAKE_DOMAIN;
    }
    return NULL;
}

static struct tm_error *see_foreign(void *context, const struct tm_foreign_total *totals, size_t count)
{
    struct seen *seen = context;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(totals[i].domain, FAKE_DOMAIN);
        seen->blocks += (uint64_t)totals[i].total.blocks;
        seen->bytes += (uint64_t)totals[i].total.bytes;
    }
    return NULL;
}

static void no_finding(void *context, const char *finding)
{
    (void)context;
    fail_msg("%s", finding);
}

static void assert_name(const struct tm_model *model, uint32_t stack, const char *name, uint32_t line)
{
    const struct tm_model_location *location = &model->locations[model->stacks[stack].location];
    struct tm_string_ref text = tm_model_text(model, location->filename);
    assert_int_equal(text.length, strlen(name));
    assert_memory_equal(text.bytes, name, text.length);
    assert_int_equal(location->lineno, line);
}

static void every_version_is_read(void **state)
{
    (void)state;
    static const char *const names[] = {"a.py", "\xc3\xa9.py", "\xe6\x97\xa5.py", "\xf0\x9f\x98\x80.py",
                                        "\xed\xb3\xbf.py"};
    for (size_t i = 0; i < VERSIONS; i++) {
        struct fake *fake = make(i);
        struct tm_model *model = NULL;
        assert_null(tm_stdlib_decoder.open(&fake->target, &model));
        assert_non_null(model);
        assert_int_equal(model->incomplete_count, 0);
        assert_int_equal(model->size, fake->bytes);
        assert_int_equal(model->count, fake->blocks);
        assert_int_equal(model->peak, fake->bytes + 1000);
        assert_int_equal(model->frame_limit, 4);
        assert_true(model->tracing);
        assert_int_equal(model->python_version, versions[i].hex);
        struct seen seen = {0};
        assert_null(tm_model_each_block(model, see, &seen));
        assert_int_equal(seen.blocks, fake->blocks);
        assert_int_equal(seen.bytes, fake->bytes);
        assert_int_equal(seen.foreign, versions[i].family || versions[i].wide_keys ? 10 : 0);
        struct seen foreign = {0};
        assert_null(tm_model_each_foreign(model, see_foreign, &foreign));
        assert_int_equal(foreign.blocks, seen.foreign);
        assert_int_equal(foreign.bytes, 5 * seen.foreign);
        assert_null(model->ops->check(model, no_finding, NULL));
        for (unsigned block = 0; block < 5; block++) {
            struct tm_block found;
            bool there = false;
            assert_null(tm_model_find_block(model, fake_address(block), &found, &there));
            assert_true(there);
            assert_int_equal(found.size, fake_size(block));
            uint32_t stack = found.stack;
            for (unsigned frame = 0; frame < 4; frame++, stack = model->stacks[stack].parent) {
                assert_name(model, stack, names[(block + frame) % 5], 1 + block + 100 * frame);
                assert_int_equal(model->stacks[stack].depth, versions[i].family ? 7 - frame : 0);
            }
            assert_int_equal(stack, 0);
        }
        tm_model_destroy(model);
        fake_destroy(fake);
    }
}

static void a_block_is_found_by_any_address_in_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < VERSIONS; i++) {
        struct fake *fake = make(i);
        struct tm_model *model = NULL;
        struct tm_block found;
        bool there;
        assert_null(tm_stdlib_decoder.open(&fake->target, &model));
        for (unsigned offset = 0; offset < fake_size(99); offset++) {
            assert_null(tm_model_find_block(model, fake_address(99) + offset, &found, &there));
            assert_true(there);
            assert_int_equal(found.address, fake_address(99));
        }
        assert_null(tm_model_find_block(model, fake_address(99) + fake_size(99), &found, &there));
        assert_false(there);
        assert_null(tm_model_find_block(model, 0x1010, &found, &there));
        assert_int_equal(there, versions[i].family || versions[i].wide_keys);
        /* a number in a foreign domain is a name: nothing is inside of it */
        assert_null(tm_model_find_block(model, 0x1011, &found, &there));
        assert_false(there);
        tm_model_destroy(model);
        fake_destroy(fake);
    }
}

static void before_start_there_is_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < VERSIONS; i++) {
        struct fake *fake = make_with(i, false);
        struct tm_model *model = NULL;
        fake_set(fake, fake->slot, 0);
        memset(fake_at(fake, fake->table), 0, 80);
        struct tm_error *error = tm_stdlib_decoder.open(&fake->target, &model);
        assert_null(model);
        assert_int_equal(error != NULL, versions[i].version != NULL);
        if (error)
            assert_int_equal(error->code, TM_ERROR_NOT_STARTED);
        tm_error_destroy(error);
        fake_destroy(fake);
    }
}

static void a_future_version_is_read_if_the_sums_prove_it(void **state)
{
    (void)state;
    struct fake_options options = {
        .family = &tm_stdlib_families[3], .version = "3.19.0", .chars = true, .traces = 100, .nframe = 2};
    struct fake *fake = fake_create(&options);
    struct tm_model *model = NULL;
    assert_null(tm_stdlib_decoder.open(&fake->target, &model));
    assert_int_equal(model->size, fake->bytes);
    assert_int_equal(model->incomplete_count, 0);
    tm_model_destroy(model);

    model = NULL;
    fake_set(fake, fake->traced_at, fake->bytes + 1);
    struct tm_error *error = tm_stdlib_decoder.open(&fake->target, &model);
    assert_null(model);
    assert_int_equal(error->code, TM_ERROR_VERSION);
    assert_non_null(strstr(error->what, "3.19.0"));
    tm_error_destroy(error);
    fake_destroy(fake);
}

/* Wherever it stops, nothing is missing; only 3.8, where all sums are wrong by then, cannot prove the end of a chain. */
static void a_rehash_may_stop_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < VERSIONS; i++) {
        unsigned labelled = 0;
        for (unsigned moved = 0; moved <= 129; moved++) {
            struct fake *fake = fake_create(&(struct fake_options){
                .family = &tm_stdlib_families[versions[i].family],
                .version = versions[i].version,
                .chars = versions[i].chars,
                .wide_keys = versions[i].wide_keys,
                .traces = 129,
                .nbuckets = 256,
                .nframe = 2,
            });
            struct tm_model *model = NULL;
            fake_rehash(fake, moved);
            assert_null(tm_stdlib_decoder.open(&fake->target, &model));
            assert_non_null(model);
            assert_int_equal(model->incomplete_count != 0, model->proof == NULL);
            labelled += model->incomplete_count != 0;
            if (moved) {
                if (model->count != 129)
                    fail_msg("%s: %u of 129 after %u", versions[i].version, (unsigned)model->count, moved);
                assert_int_equal(model->size, fake->bytes);
                struct seen seen = {0};
                assert_null(tm_model_each_block(model, see, &seen));
                assert_int_equal(seen.bytes, fake->bytes);
                for (unsigned block = 0; block < 129; block++) {
                    struct tm_block found;
                    bool there = false;
                    assert_null(tm_model_find_block(model, fake_address(block), &found, &there));
                    assert_true(there);
                    assert_int_equal(found.size, fake_size(block));
                }
            }
            tm_model_destroy(model);
            fake_destroy(fake);
        }
        if (!tm_stdlib_families[versions[i].family].table->rehash_swaps_first)
            assert_int_equal(labelled, 0);
        else
            assert_true(labelled < 100);
    }
}

/* ---- damaged ------------------------------------------------------------------------------------------------------ */

static void one_circle(struct fake *fake)
{
    fake_set(fake, fake->first_entry, fake->first_entry);
}
static void absurd_count(struct fake *fake)
{
    fake_set(fake, fake->table + fake->options.family->table->nentries, FAKE_HEAP_SIZE / 64);
    fake_set(fake, fake->first_entry, fake->first_entry);
}
static void small_count(struct fake *fake)
{
    fake_set(fake, fake->table + fake->options.family->table->nentries, 200);
}
static void dangling_entry(struct fake *fake)
{
    fake_set(fake, fake->first_entry, UINT64_C(0x7f7777777770));
}
static void entry_at_the_end(struct fake *fake)
{
    fake_set(fake, fake->first_entry, FAKE_HEAP + FAKE_HEAP_SIZE - 8);
}
static void huge_size(struct fake *fake)
{
    const struct tm_stdlib_table_layout *layout = fake->options.family->table;
    uint64_t trace = layout->entry_value == TM_STDLIB_NONE
                         ? fake->first_entry + layout->entry_key + (fake->options.wide_keys ? 12 : 8)
                         : fake_get(fake, fake->first_entry + layout->entry_value);
    fake_set(fake, trace, UINT64_MAX - 3);
}
static void no_frames(struct fake *fake)
{
    memset(fake_at(fake, fake->first_traceback + fake->options.family->table->nframe), 0, 2);
}
static void too_many_frames(struct fake *fake)
{
    memset(fake_at(fake, fake->first_traceback + fake->options.family->table->nframe), 0xff, 2);
}
static void dangling_name(struct fake *fake)
{
    uint8_t nowhere[8] = {0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30};
    memcpy(fake_at(fake, fake->first_traceback + fake->options.family->table->first_frame), nowhere, 8);
}
static void wrong_sum(struct fake *fake)
{
    fake_set(fake, fake->traced_at, fake->bytes - 16);
}
static void heap_is_cut(struct fake *fake)
{
    fake->regions[2].saved = fake->first_entry + 8 - FAKE_HEAP;
    fake->regions[2].missing = TM_READ_TRUNCATED;
    fake->target.truncated = true;
}

static struct tm_error *count_blocks(void *context, const struct tm_block *blocks, size_t count)
{
    (void)blocks;
    *(uint64_t *)context += count;
    return NULL;
}

static void damage_is_told(void **state)
{
    (void)state;
    static void (*const damages[])(struct fake *) = {one_circle,       absurd_count, small_count, dangling_entry,
                                                     entry_at_the_end, huge_size,    no_frames,   too_many_frames,
                                                     dangling_name,    wrong_sum,    heap_is_cut};
    for (size_t i = 0; i < VERSIONS; i++) {
        for (size_t damage = 0; damage < sizeof(damages) / sizeof(damages[0]); damage++) {
            struct fake *fake = make(i);
            struct tm_model *model = NULL;
            damages[damage](fake);
            clock_t start = clock();
            struct tm_error *error = tm_stdlib_decoder.open(&fake->target, &model);
            /* An answer that is labelled, or none at all where nothing is left. */
            if (model) {
                uint64_t blocks = 0;
                if (!model->incomplete_count)
                    fail_msg("damage %zu of %s was not noticed", damage, versions[i].version);
                tm_error_destroy(tm_model_each_block(model, count_blocks, &blocks));
                tm_model_destroy(model);
            }
            tm_error_destroy(error);
            assert_true(clock() - start < CLOCKS_PER_SEC);
            fake_destroy(fake);
        }
    }
}

/* 3.15's "<unknown>" is a constant that cores leave out; it is no damage. */
static void unknown_needs_no_rodata(void **state)
{
    (void)state;
    struct fake *fake = make(10);
    struct tm_model *model = NULL;
    uint64_t frame = fake->first_traceback + 12, constant = FAKE_TEXT + 0x8000;
    memcpy(fake_at(fake, frame), &constant, 8);
    memset(fake_at(fake, frame + 8), 0, 4);
    assert_null(tm_stdlib_decoder.open(&fake->target, &model));
    assert_int_equal(model->incomplete_count, 0);
    struct tm_block found;
    bool there;
    assert_null(tm_model_find_block(model, fake_address(0), &found, &there));
    assert_int_equal(model->stacks[found.stack].location, 0);
    assert_name(model, found.stack, "<unknown>", 0);
    tm_model_destroy(model);
    fake_destroy(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_version_is_read),
        cmocka_unit_test(a_block_is_found_by_any_address_in_it),
        cmocka_unit_test(before_start_there_is_nothing),
        cmocka_unit_test(a_future_version_is_read_if_the_sums_prove_it),
        cmocka_unit_test(a_rehash_may_stop_anywhere),
        cmocka_unit_test(damage_is_told),
        cmocka_unit_test(unknown_needs_no_rodata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

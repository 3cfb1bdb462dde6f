/* SPDX-License-Identifier: MIT */
/* tm's own table, whole and damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake.h"

#define HEAP UINT64_C(0x7e0000000000)

/* Three lines of two files; stack `inner` is b.py:20 below a.py:10. */
struct sample {
    struct fake fake;
    uint32_t a10, b20, b21;
    uint32_t outer, inner, other;
};

static void sample_init(struct sample *sample)
{
    struct fake *fake = &sample->fake;
    fake_init(fake);
    sample->a10 = fake_location(fake, "/src/a.py", "main", 10);
    sample->b20 = fake_location(fake, "/src/b.py", "Cache.put", 20);
    sample->b21 = fake_location(fake, "/src/b.py", "Cache.get", 21);
    sample->outer = fake_stack(fake, TM_STACK_NONE, sample->a10);
    sample->inner = fake_stack(fake, sample->outer, sample->b20);
    sample->other = fake_stack(fake, sample->outer, sample->b21);
    fake_block(fake, HEAP, 100, sample->outer);
    fake_block(fake, HEAP + 0x1000, 1000, sample->inner);
    fake_block(fake, HEAP + 0x2000, 1001, sample->inner);
    fake_block(fake, HEAP + 0x3000, 0, sample->other);
}

static struct tm_model *open_sample(struct sample *sample)
{
    return fake_model(&sample->fake);
}

static void close_sample(struct sample *sample, struct tm_model *model)
{
    if (model)
        fake_model_destroy(model);
    fake_deinit(&sample->fake);
}

static void assert_text(const struct tm_model *model, uint32_t string, const char *expected)
{
    struct tm_string_ref text = tm_model_text(model, string);
    assert_int_equal(text.length, strlen(expected));
    assert_memory_equal(text.bytes, expected, text.length);
}

static void whole_table(void **state)
{
    (void)state;
    struct sample sample;
    sample_init(&sample);
    struct tm_model *model = open_sample(&sample);
    assert_string_equal(model->tracer, "tm");
    assert_string_equal(model->python, "3.12.1");
    assert_int_equal(model->pid, 1234);
    assert_true(model->tracing);
    assert_int_equal(model->frame_limit, 25);
    assert_int_equal(model->size, 2101);
    assert_int_equal(model->count, 4);
    assert_int_equal(model->peak, 2101);
    assert_int_equal(model->incomplete_count, 0);
    const struct tm_stack_node *inner = &model->stacks[sample.inner];
    assert_int_equal(inner->parent, sample.outer);
    assert_int_equal(inner->depth, 2);
    const struct tm_model_location *location = &model->locations[inner->location];
    assert_text(model, location->filename, "/src/b.py");
    assert_text(model, location->name, "Cache.put");
    assert_int_equal(location->lineno, 20);
    assert_int_equal(model->totals[sample.inner].bytes, 2001);
    assert_int_equal(model->totals[sample.inner].blocks, 2);
    char *source = tm_model_source(model);
    assert_string_equal(source, "pid 1234, CPython 3.12.1, tm");
    free(source);
    close_sample(&sample, model);
}

static void tables_of_many_chunks(void **state)
{
    (void)state;
    struct sample sample;
    sample_init(&sample);
    uint32_t stack = sample.outer;
    for (uint32_t i = 0; i < 2000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "f%u", i);
        stack = fake_stack(&sample.fake, stack, fake_location(&sample.fake, "/src/deep.py", name, i));
        fake_block(&sample.fake, HEAP + 0x10000 + i * 64, i, stack);
    }
    struct tm_model *model = open_sample(&sample);
    assert_int_equal(model->incomplete_count, 0);
    assert_int_equal(model->count, 2004);
    assert_int_equal(model->stacks[stack].depth, 2001);
    assert_text(model, model->locations[model->stacks[stack].location].name, "f1999");
    assert_int_equal(model->totals[stack].bytes, 1999);
    close_sample(&sample, model);
}

/* ---- blocks --------------------------------------------------------------------------------------------------------- */

struct seen {
    struct tm_block blocks[64];
    size_t count;
};

static struct tm_error *see(void *context, const struct tm_block *blocks, size_t count)
{
    struct seen *seen = context;
    for (size_t i = 0; i < count; i++)
        seen->blocks[seen->count++] = blocks[i];
    return NULL;
}

static void assert_block(const struct tm_block *block, uint64_t address, uint64_t size, uint32_t stack, uint32_t domain)
{
    assert_int_equal(block->address, address);
    assert_int_equal(block->size, size);
    assert_int_equal(block->stack, stack);
    assert_int_equal(block->domain, domain);
}

static void all_blocks(void **state)
{
    (void)state;
    struct sample sample;
    sample_init(&sample);
    struct fake *fake = &sample.fake;
    uint64_t last = (HEAP & -(UINT64_C(4) << 20)) + (UINT64_C(4) << 20) - 16; /* last slot of its leaf */
    fake_block(fake, last, UINT64_C(5) << 30, sample.other);
    fake_block(fake, HEAP + (UINT64_C(6) << 30), UINT32_MAX, sample.other);
    *fake_slot(fake, HEAP + 0x4000) = TM_SLOT_CODE;                                    /* older than start */
    *fake_slot(fake, HEAP + 0x5000) = TM_SLOT_EXTENSION | 12345;                       /* left behind */
    *fake_slot(fake, HEAP + 0x6000) = TM_SLOT_CODE | 7 | (uint64_t)sample.other << 32; /* a traced code object */
    fake_totals(fake, sample.other & 1, sample.other)->bytes += 7;
    fake_totals(fake, sample.other & 1, sample.other)->blocks += TM_COUNT_STEP;
    fake->state->shards[sample.other & 1].live_bytes += 7;
    fake_foreign(fake, 0xdead, 4096, 99, sample.inner);
    fake_foreign(fake, 0xbeef, 4096, 99, 0);
    struct tm_model *model = open_sample(&sample);
    struct seen seen = {.count = 0};
    assert_null(tm_model_each_block(model, see, &seen));
    assert_int_equal(model->incomplete_count, 0);
    assert_int_equal(seen.count, 8);
    assert_block(&seen.blocks[0], HEAP, 100, sample.outer, 0);
    assert_block(&seen.blocks[3], HEAP + 0x3000, 0, sample.other, 0);
    assert_block(&seen.blocks[4], HEAP + 0x6000, 7, sample.other, 0);
    assert_block(&seen.blocks[5], last, UINT64_C(5) << 30, sample.other, 0);
    assert_block(&seen.blocks[6], HEAP + (UINT64_C(6) << 30), UINT32_MAX, sample.other, 0);
    assert_block(&seen.blocks[7], 0xdead, 4096, sample.inner, 99);
    close_sample(&sample, model);
}

static void assert_found(struct tm_model *model, uint64_t address, uint64_t start, uint64_t size, uint32_t stack)
{
    struct tm_block block;
    bool found = false;
    assert_null(tm_model_find_block(model, address, &block, &found));
    assert_true(found);
    assert_block(&block, start, size, stack, block.domain);
}

static void assert_lost(struct tm_model *model, uint64_t address)
{
    struct tm_block block;
    bool found = true;
    assert_null(tm_model_find_block(model, address, &block, &found));
    assert_false(found);
}

static void addresses_inside_blocks(void **state)
{
    (void)state;
    struct sample sample;
    sample_init(&sample);
    struct fake *fake = &sample.fake;
    uint64_t huge = HEAP + (UINT64_C(1) << 30) - 16;
    fake_block(fake, huge, UINT64_C(90) << 30, sample.other); /* over missing leaves and directories */
    *fake_slot(fake, HEAP + 0x4000) = TM_SLOT_CODE;
    fake_foreign(fake, 0xdead, 4096, 99, sample.inner);
    struct tm_model *model = open_sample(&sample);
    assert_found(model, HEAP, HEAP, 100, sample.outer);
    assert_found(model, HEAP + 99, HEAP, 100, sample.outer);
    assert_lost(model, HEAP + 100);
    assert_lost(model, HEAP - 1);
    assert_found(model, HEAP + 0x1010, HEAP + 0x1000, 1000, sample.inner);
    assert_found(model, HEAP + 0x2000 + 1000, HEAP + 0x2000, 1001, sample.inner);
    assert_lost(model, HEAP + 0x2000 + 1001);
    assert_found(model, HEAP + 0x3000, HEAP + 0x3000, 0, sample.other);
    assert_lost(model, HEAP + 0x3001);
    assert_lost(model, HEAP + 0x4000); /* a block, but not a traced one */
    assert_found(model, huge + 16, huge, UINT64_C(90) << 30, sample.other);
    assert_found(model, huge + (UINT64_C(90) << 30) - 1, huge, UINT64_C(90) << 30, sample.other);
    assert_lost(model, huge + (UINT64_C(90) << 30));
    assert_found(model, 0xdead, 0xdead, 4096, sample.inner);
    assert_lost(model, 0xdeae);
    assert_lost(model, 0);
    assert_lost(model, UINT64_MAX);
    assert_int_equal(model->incomplete_count, 0);
    close_sample(&sample, model);
}

/* ---- roots ------------------------------------------------------------------------------------------------------------ */

static struct tm_error *open_error(struct fake_core *core, struct tm_target **target)
{
    struct tm_model *model = NULL;
    *target = fake_core_open(core);
    struct tm_error *error = tm_model_open(*target, &model);
    assert_non_null(error);
    return error;
}

static void assert_open_error(struct fake *fake, enum tm_error_code code, const char *word)
{
    struct fake_core core;
    struct tm_target *target;
    fake_core_init(&core, fake);
    struct tm_error *error = open_error(&core, &target);
    assert_int_equal(error->code, code);
    if (!strstr(error->what, word) && !(error->because && strstr(error->because, word)))
        fail_msg("%s; %s: no word of '%s'", error->what, error->because, word);
    tm_error_destroy(error);
    tm_target_destroy(target);
}

static void copies_of_the_root_do_not_count(void **state)
{
    (void)state;
    struct sample sample;
    sample_init(&sample);
    struct fake *fake = &sample.fake;
    struct fake_core core;
    static uint8_t buffer[8192];
    memcpy(buffer, fake->root, sizeof(*fake->root)); /* a file buffer, page-aligned and before the real one */
    memcpy(fake->data, fake->root, sizeof(*fake->root));
    fake_core_init(&core, fake);
    core.segments[2] = core.segments[1];
    core.segments[1] = core.segments[0];
    core.segments[0] = (struct fake_segment){0x400000, sizeof(buffer), sizeof(buffer), 6, buffer, NULL};
    core.count = 3;
    for (int named = 0; named < 2; named++) {
        core.segments[1].path = named ? "/opt/_tm.cpython-312.so" : NULL;
        struct tm_target *target = fake_core_open(&core);
        struct tm_model *model;
        assert_null(tm_model_open(target, &model));
        assert_int_equal(model->size, 2101);
        fake_model_destroy(model);
    }
    close_sample(&sample, NULL);
}

static void lose_state(struct fake *fake)
{
    struct tm_chunk *chunk = fake_at(fake, fake->root->state);
    chunk->magic = 0;
}

static void roots_that_cannot_be_read(void **state)
{
    (void)state;
    struct sample sample;
    sample_init(&sample);
    struct tm_root saved = *sample.fake.root;
    struct tm_root *root = sample.fake.root;
    root->layout_version = TM_LAYOUT_VERSION + 1;
    assert_open_error(&sample.fake, TM_ERROR_VERSION, "newer");
    *root = saved;
    root->byte_order = 0x04030201;
    root->self = __builtin_bswap64(root->self);
    assert_open_error(&sample.fake, TM_ERROR_VERSION, "byte order");
    *root = saved;
    root->table_size = 0;
    assert_open_error(&sample.fake, TM_ERROR_DAMAGED, "damaged");
    *root = saved;
    root->state = 0;
    assert_open_error(&sample.fake, TM_ERROR_NOT_STARTED, "never started");
    *root = saved;
    root->state = 0x1234;
    assert_open_error(&sample.fake, TM_ERROR_DAMAGED, "not mapped");
    *root = saved;
    root->magic[3] ^= 1;
    /* The state stands in for it. */
    struct tm_model *model = fake_model(&sample.fake);
    assert_int_equal(model->size, 2101);
    assert_int_equal(model->incomplete_count, 1);
    assert_non_null(strstr(model->incomplete[0], "the root of the table is missing"));
    fake_model_destroy(model);
    lose_state(&sample.fake);
    assert_open_error(&sample.fake, TM_ERROR_NO_TABLE, "did not run under tm");
    close_sample(&sample, NULL);
}

/* A core without anonymous memory, and one that ends early: the runtime's file is known from the notes. */
static void roots_that_were_not_saved(void **state)
{
    (void)state;
    struct sample sample;
    struct fake_core core;
    struct tm_target *target;
    sample_init(&sample);
    lose_state(&sample.fake);
    fake_core_init(&core, &sample.fake);
    core.segments[0].path = "/opt/tm/_tm.cpython-312-x86_64-linux-gnu.so";
    core.segments[0].file = 0;
    struct tm_error *error = open_error(&core, &target);
    assert_int_equal(error->code, TM_ERROR_MEMORY);
    assert_non_null(strstr(error->what, "the root of the trace table at 0x555555560000 was not saved"));
    assert_non_null(strstr(error->because, "coredump_filter"));
    tm_error_destroy(error);
    tm_target_destroy(target);
    core.segments[0].file = core.segments[0].memory;
    core.cut = 4096 + TM_ROOT_ALIGN;
    error = open_error(&core, &target);
    assert_int_equal(error->code, TM_ERROR_MEMORY);
    assert_non_null(strstr(error->what, "truncated"));
    tm_error_destroy(error);
    tm_target_destroy(target);
    close_sample(&sample, NULL);
}

/* ---- damage ----------------------------------------------------------------------------------------------------------- */

/* Opens, walks and looks up; the answer may be anything but unlabelled and wrong. */
static size_t notes_of(struct sample *sample)
{
    struct tm_model *model = open_sample(sample);
    struct seen seen = {.count = 0};
    struct tm_block block;
    bool found;
    assert_null(tm_model_each_block(model, see, &seen));
    assert_null(tm_model_find_block(model, HEAP + 0x1010, &block, &found));
    size_t notes = model->incomplete_count;
    if (!notes) {
        assert_int_equal(seen.count, 4);
        assert_int_equal(model->size, 2101);
        assert_int_equal(model->count, 4);
    }
    fake_model_destroy(model);
    return notes;
}

static void damaged_heads_are_noted(void **state)
{
    (void)state;
    struct sample sample;
    sample_init(&sample);
    struct fake *fake = &sample.fake;
    struct tm_chunk *chunks[] = {
        fake_chunk(fake, &fake->state->stacks, 0),
        fake_chunk(fake, &fake->state->locations, 0),
        fake_chunk(fake, &fake->state->strings, 0),
        fake_chunk(fake, &fake->state->shards[0].totals, 0),
        fake_leaf(fake, HEAP),
        fake_at(fake, fake->state->map),
        fake_at(fake, fake->state->stacks.directory),
    };
    assert_int_equal(notes_of(&sample), 0);
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        struct tm_chunk saved = *chunks[i];
        for (int damage = 0; damage < 7; damage++) {
            if (damage == 0)
                memset(chunks[i], 0, sizeof(saved)); /* as GDB reads what a core lacks */
            else if (damage == 1)
                chunks[i]->magic ^= 1;
            else if (damage == 2)
                chunks[i]->kind++;
            else if (damage == 3)
                chunks[i]->self += 4096;
            else if (damage == 4)
                chunks[i]->capacity = UINT64_MAX;
            else if (damage == 5)
                chunks[i]->data_offset = 0xffffffff;
            else
                chunks[i]->element_size = 1;
            assert_true(notes_of(&sample) > 0);
            *chunks[i] = saved;
        }
    }
    close_sample(&sample, NULL);
}

static void hostile_counts_are_capped(void **state)
{
    (void)state;
    struct sample sample;
    sample_init(&sample);
    struct tm_state *table = sample.fake.state, saved = *table;
    uint64_t *const counts[] = {&table->stacks.count, &table->locations.count, &table->strings.count,
                                &table->foreign.count};
    static const uint64_t values[] = {UINT64_MAX, UINT64_C(1) << 62, UINT64_C(1) << 31, 1 << 20};
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 4; j++) {
            *counts[i] = values[j];
            assert_true(notes_of(&sample) > 0);
            *table = saved;
        }
    }
    table->stacks.chunk_shift = 77;
    assert_true(notes_of(&sample) > 0);
    *table = saved;
    table->stacks.element_size = 0;
    assert_true(notes_of(&sample) > 0);
    *table = saved;
    table->shard_count = UINT32_MAX;
    assert_true(notes_of(&sample) > 0);
    *table = saved;
    close_sample(&sample, NULL);
}

static void chains_always_end(void **state)
{
    (void)state;
    struct sample sample;
    sample_init(&sample);
    struct fake *fake = &sample.fake;
    struct tm_stack *stacks =
        (struct tm_stack *)(void *)((uint8_t *)fake_chunk(fake, &fake->state->stacks, 0) + sizeof(struct tm_chunk));
    stacks[sample.outer].parent = sample.inner; /* a ring */
    stacks[sample.other].location = 4000;
    struct tm_model *model = open_sample(&sample);
    assert_true(model->incomplete_count > 0);
    for (uint32_t i = 1; i < model->stack_count; i++)
        assert_true(model->stacks[i].parent < i && model->stacks[i].location < model->location_count);
    close_sample(&sample, model);
}

static void long_strings_stay_in_their_chunk(void **state)
{
    (void)state;
    struct sample sample;
    sample_init(&sample);
    struct fake *fake = &sample.fake;
    uint8_t *units = (uint8_t *)fake_chunk(fake, &fake->state->strings, 0) + sizeof(struct tm_chunk);
    for (uint32_t length = 1; length; length = length << 4 | 15) {
        ((struct tm_string *)(void *)(units + 8))->length = length; /* "<unknown>" */
        struct tm_model *model = open_sample(&sample);
        fake_model_destroy(model);
        if (length == UINT32_MAX)
            break;
    }
    close_sample(&sample, NULL);
}

/* Every page of the core missing in turn. */
static void missing_pages_are_noted(void **state)
{
    (void)state;
    struct sample sample;
    sample_init(&sample);
    struct fake *fake = &sample.fake;
    size_t wrong = 0, pages = fake->arena_size / 4096;
    for (size_t page = 0; page < pages; page += page < 200 ? 1 : 37) {
        struct fake_core core;
        fake_core_init(&core, fake);
        uint64_t at = page * 4096;
        core.segments[1].memory = at + 4096;
        core.segments[1].file = at;
        core.segments[2] = (struct fake_segment){FAKE_ARENA + at + 4096,       fake->arena_size - at - 4096,
                                                 fake->arena_size - at - 4096, 6,
                                                 fake->arena + at + 4096,      NULL};
        core.count = 3;
        struct tm_target *target = fake_core_open(&core);
        struct tm_model *model = NULL;
        struct tm_error *error = tm_model_open(target, &model);
        if (error) {
            assert_int_equal(error->code, TM_ERROR_DAMAGED);
            tm_error_destroy(error);
        } else {
            struct seen seen = {.count = 0};
            assert_null(tm_model_each_block(model, see, &seen));
            wrong += !model->incomplete_count && (seen.count != 4 || model->count != 4 || model->size != 2101);
            tm_model_destroy(model);
        }
        tm_target_destroy(target);
    }
    assert_int_equal(wrong, 0);
    close_sample(&sample, NULL);
}

static void negative_shards_are_summed(void **state)
{
    (void)state;
    struct sample sample;
    sample_init(&sample);
    struct fake *fake = &sample.fake;
    /* allocated by one thread, freed by another */
    fake_totals(fake, 0, sample.inner)->bytes += 5000;
    fake_totals(fake, 0, sample.inner)->blocks += 5 * TM_COUNT_STEP;
    fake_totals(fake, 1, sample.inner)->bytes -= 5000;
    fake_totals(fake, 1, sample.inner)->blocks -= 5 * TM_COUNT_STEP;
    fake->state->shards[0].live_bytes += 5000;
    fake->state->shards[1].live_bytes -= 5000;
    struct tm_model *model = open_sample(&sample);
    assert_int_equal(model->size, 2101);
    assert_int_equal(model->count, 4);
    assert_int_equal(model->totals[sample.inner].bytes, 2001);
    close_sample(&sample, model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_table),
        cmocka_unit_test(tables_of_many_chunks),
        cmocka_unit_test(all_blocks),
        cmocka_unit_test(addresses_inside_blocks),
        cmocka_unit_test(copies_of_the_root_do_not_count),
        cmocka_unit_test(roots_that_cannot_be_read),
        cmocka_unit_test(roots_that_were_not_saved),
        cmocka_unit_test(damaged_heads_are_noted),
        cmocka_unit_test(hostile_counts_are_capped),
        cmocka_unit_test(chains_always_end),
        cmocka_unit_test(long_strings_stay_in_their_chunk),
        cmocka_unit_test(missing_pages_are_noted),
        cmocka_unit_test(negative_shards_are_summed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

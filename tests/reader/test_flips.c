/* SPDX-License-Identifier: MIT */
/* Every bit of a small table, turned: the answer is the same, or it is labelled, or refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "reader/text.h"

#define HEAP UINT64_C(0x7e0000000000)

static struct fake fake;
static struct fake_memory memory;

static void build(void)
{
    uint32_t locations[4], stacks[4];
    char name[] = "Cache.put0";
    fake_init(&fake);
    for (uint32_t i = 0; i < 4; i++, name[9]++) {
        locations[i] = fake_location(&fake, i % 2 ? "/src/a.py" : "/src/b.py", name, 10 + i);
        stacks[i] = fake_stack(&fake, i ? stacks[i - 1] : TM_STACK_NONE, locations[i]);
        fake_block(&fake, HEAP + 0x1000 * i, 100 + i, stacks[i]);
    }
    fake_stack(&fake, stacks[1], locations[0]); /* nothing lives there */
    fake_block(&fake, HEAP + 0x10000, 0, fake_stack(&fake, stacks[3], locations[0]));
    fake_block(&fake, HEAP + 0x20000, UINT64_C(5) << 30, stacks[2]);
    fake_foreign(&fake, 0xdead, 4096, 99, stacks[1]);
    fake_memory_init(&memory, &fake);
}

/* ---- an answer as text -------------------------------------------------------------------------------------------------- */

struct answer {
    bool refused;
    bool labelled;
    uint64_t size, count, lost;
    struct tm_text top;    /* what lives for each traceback */
    struct tm_text blocks; /* single blocks of domain 0 */
};

static void add_traceback(struct tm_text *text, const struct tm_model *model, uint32_t stack)
{
    for (; stack; stack = model->stacks[stack].parent) {
        const struct tm_model_location *place = &model->locations[model->stacks[stack].location];
        tm_text_print(text, " <");
        tm_text_add_name(text, tm_model_text(model, place->filename));
        tm_text_print(text, ":%u ", place->lineno);
        tm_text_add_name(text, tm_model_text(model, place->name));
    }
    tm_text_print(text, "\n");
}

struct taker {
    struct tm_model *model;
    struct answer *answer;
};

static struct tm_error *take(void *context, const struct tm_block *blocks, size_t count)
{
    struct taker *taker = context;
    for (size_t i = 0; i < count; i++) {
        tm_text_print(&taker->answer->blocks, "%lx %lu", blocks[i].domain ? 0ul : (unsigned long)blocks[i].address,
                      (unsigned long)blocks[i].size);
        add_traceback(&taker->answer->blocks, taker->model, blocks[i].stack);
    }
    return NULL;
}

static void ask(struct answer *answer, bool walk)
{
    struct tm_model *model = NULL;
    struct tm_error *error = tm_layout_decoder.open(&memory.target, &model);
    struct taker taker = {model, answer};
    answer->refused = !model;
    if (model && walk)
        assert_null(tm_model_each_block(model, take, &taker));
    for (uint32_t i = 0; model && i < model->stack_count; i++) {
        const struct tm_total *total = &model->totals[i];
        if (!total->bytes && !total->blocks)
            continue;
        tm_text_print(&answer->top, "%ld %ld", (long)total->bytes, (long)total->blocks);
        add_traceback(&answer->top, model, i);
    }
    if (model) {
        answer->labelled = model->incomplete_count > 0;
        answer->size = model->size;
        answer->count = model->count;
        answer->lost = model->lost;
        tm_model_destroy(model);
    }
    tm_error_destroy(error);
}

static void forget(struct answer *answer)
{
    tm_text_free(&answer->top);
    tm_text_free(&answer->blocks);
    *answer = (struct answer){.size = 0};
}

/* ---- every bit ------------------------------------------------------------------------------------------------------------ */

static const char *text_of(const struct tm_text *text)
{
    return text->bytes ? text->bytes : "";
}

struct tally {
    size_t same, labelled, refused;
};

/* One bit of a byte that lies at `address` in the fake process. */
static void turn(struct tally *tally, const struct answer *sound, uint8_t *byte, uint64_t address, bool walk)
{
    for (int bit = 0; bit < 8; bit++) {
        struct answer answer = {.size = 0};
        *byte ^= (uint8_t)(1 << bit);
        ask(&answer, walk);
        *byte ^= (uint8_t)(1 << bit);
        tally->refused += answer.refused;
        tally->labelled += answer.labelled;
        if (!answer.refused && !answer.labelled) {
            tally->same++;
            bool same = answer.size == sound->size && answer.count == sound->count && answer.lost == sound->lost &&
                        !strcmp(text_of(&answer.top), text_of(&sound->top)) &&
                        (!walk || !strcmp(text_of(&answer.blocks), text_of(&sound->blocks)));
            if (!same)
                fail_msg("bit %d of 0x%lx changes the answer without a word: %lu bytes, %lu blocks\n%s%s", bit,
                         (unsigned long)address, (unsigned long)answer.size, (unsigned long)answer.count,
                         text_of(&answer.top), text_of(&answer.blocks));
        }
        forget(&answer);
    }
}

/* Words that hold something, and their neighbours; no others matter to anybody. */
static bool near_something(const uint64_t *words, uint64_t at, uint64_t count)
{
    return words[at] || (at && words[at - 1]) || (at + 1 < count && words[at + 1]);
}

static void turn_all(uint8_t *bytes, uint64_t size, uint64_t address, bool walk)
{
    struct answer sound = {.size = 0};
    struct tally tally = {0};
    ask(&sound, walk);
    assert_false(sound.refused || sound.labelled);
    assert_int_equal(sound.count, 7);
    for (uint64_t at = 0; at < size / 8; at++) {
        if (!near_something((const uint64_t *)(void *)bytes, at, size / 8))
            continue;
        for (uint64_t i = 8 * at; i < 8 * at + 8; i++)
            turn(&tally, &sound, bytes + i, address + i, walk);
    }
    print_message("%zu bits mean nothing, %zu were told, %zu refused\n", tally.same, tally.labelled, tally.refused);
    assert_true(tally.labelled > 100);
    forget(&sound);
}

static void totals_of_a_damaged_table(void **state)
{
    (void)state;
    build();
    turn_all(fake.arena, fake.arena_size, FAKE_ARENA, false);
    fake_deinit(&fake);
}

static void blocks_of_a_damaged_map(void **state)
{
    (void)state;
    build();
    struct tm_chunk *leaf = fake_leaf(&fake, HEAP);
    turn_all((uint8_t *)leaf, leaf->bytes, leaf->self, true);
    struct tm_chunk *foreign = fake_chunk(&fake, &fake.state->foreign, 0);
    turn_all((uint8_t *)foreign, foreign->bytes, foreign->self, true);
    fake_deinit(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(totals_of_a_damaged_table),
        cmocka_unit_test(blocks_of_a_damaged_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

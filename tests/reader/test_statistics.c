/* SPDX-License-Identifier: MIT */
/* Statistics against the plain way: every trace on its own, tracebacks as arrays, as tracemalloc.py does it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "reader/statistics.h"

#define MAX_STACKS 200
#define MAX_FRAMES 200

struct frame {
    char filename[16];
    uint32_t lineno;
    char name[16];
};

struct group {
    struct frame frames[MAX_FRAMES]; /* oldest first; what is not part of the key is zero */
    size_t frame_count;
    int64_t size;
    int64_t count;
};

static uint32_t seed;

static uint32_t pick(uint32_t below)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 16) % below;
}

static void frame_of(const struct tm_model *model, uint32_t location, struct frame *ret)
{
    const struct tm_model_location *place = &model->locations[location];
    struct tm_string_ref filename = tm_model_text(model, place->filename), name = tm_model_text(model, place->name);
    memset(ret, 0, sizeof(*ret));
    memcpy(ret->filename, filename.bytes, filename.length);
    memcpy(ret->name, name.bytes, name.length);
    ret->lineno = place->lineno;
}

static int compare_frames(const struct frame *left, const struct frame *right)
{
    int order = strcmp(left->filename, right->filename);
    if (!order && left->lineno != right->lineno)
        order = left->lineno < right->lineno ? -1 : 1;
    return order ? order : strcmp(left->name, right->name);
}

static int compare_keys(const struct group *left, const struct group *right)
{
    for (size_t i = 0; i < left->frame_count && i < right->frame_count; i++) {
        int order = compare_frames(&left->frames[i], &right->frames[i]);
        if (order)
            return order;
    }
    return (left->frame_count > right->frame_count) - (left->frame_count < right->frame_count);
}

static int compare_groups(const void *left, const void *right)
{
    const struct group *a = left, *b = right;
    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return -compare_keys(a, b);
}

static size_t add_to(struct group *groups, size_t count, const struct group *key, const struct tm_total *total)
{
    size_t i = 0;
    while (i < count && compare_keys(&groups[i], key) != 0)
        i++;
    if (i == count) {
        groups[i] = *key;
        groups[i].size = groups[i].count = 0;
        count++;
    }
    groups[i].size += total->bytes;
    groups[i].count += total->blocks;
    return count;
}

static void keep_key(struct frame *frame, enum tm_group group)
{
    if (group == TM_GROUP_FILENAME || group == TM_GROUP_FUNCTION)
        frame->lineno = 0;
    if (group != TM_GROUP_FUNCTION)
        memset(frame->name, 0, sizeof(frame->name));
}

static size_t plain_way(const struct tm_model *model, enum tm_group by, bool cumulative, struct group *groups)
{
    size_t count = 0;
    for (uint32_t i = 1; i < model->stack_count; i++) {
        if (!model->totals[i].blocks)
            continue;
        struct group newest_first = {0}, key = {0};
        for (uint32_t stack = i; stack && newest_first.frame_count < model->frame_limit;
             stack = model->stacks[stack].parent) {
            struct frame *frame = &newest_first.frames[newest_first.frame_count++];
            frame_of(model, model->stacks[stack].location, frame);
            keep_key(frame, by);
        }
        if (by == TM_GROUP_TRACEBACK) {
            key.frame_count = newest_first.frame_count;
            for (size_t j = 0; j < key.frame_count; j++)
                key.frames[j] = newest_first.frames[key.frame_count - 1 - j];
            count = add_to(groups, count, &key, &model->totals[i]);
            continue;
        }
        key.frame_count = 1;
        for (size_t j = 0; j < (cumulative ? newest_first.frame_count : 1); j++) {
            key.frames[0] = newest_first.frames[j];
            count = add_to(groups, count, &key, &model->totals[i]);
        }
    }
    qsort(groups, count, sizeof(*groups), compare_groups);
    return count;
}

static void assert_same(const struct tm_model *model, enum tm_group by, bool cumulative, size_t limit)
{
    static struct group groups[MAX_STACKS * MAX_FRAMES / 10];
    size_t count = plain_way(model, by, cumulative, groups);
    struct tm_statistics statistics;
    assert_null(tm_statistics_make(model, NULL, by, cumulative, limit, &statistics));
    assert_int_equal(statistics.groups, count);
    assert_int_equal(statistics.count, limit && limit < count ? limit : count);
    int64_t rest = 0;
    for (size_t i = 0; i < count; i++) {
        if (i >= statistics.count) {
            rest += groups[i].size;
            continue;
        }
        const struct tm_statistic *item = &statistics.items[i];
        assert_int_equal(item->size, groups[i].size);
        assert_int_equal(item->count, groups[i].count);
        struct frame frame;
        frame_of(model, item->location, &frame);
        keep_key(&frame, by);
        assert_int_equal(compare_frames(&frame, &groups[i].frames[groups[i].frame_count - 1]), 0);
        if (by != TM_GROUP_TRACEBACK)
            continue;
        uint32_t stack = item->stack;
        for (size_t j = groups[i].frame_count; j-- > 0; stack = model->stacks[stack].parent) {
            frame_of(model, model->stacks[stack].location, &frame);
            keep_key(&frame, by);
            assert_int_equal(compare_frames(&frame, &groups[i].frames[j]), 0);
        }
        assert_true(!stack || groups[i].frame_count == model->frame_limit);
    }
    assert_int_equal(rest, statistics.rest_size);
    tm_statistics_free(&statistics);
}

/* Few lines and small sizes, so that much is alike and ties are the rule. */
static struct tm_model *random_model(struct fake *fake, uint32_t limit)
{
    static const char *const files[] = {"a.py", "b.py", "a", "<x>", "\xc3\xa9.py"};
    static const char *const names[] = {"f", "g", "h"};
    uint32_t locations[24], stacks[MAX_STACKS], count = 1;
    fake_init(fake);
    fake->state->frame_limit = limit;
    for (size_t i = 0; i < 24; i++)
        locations[i] = fake_location(fake, files[pick(5)], names[pick(3)], 1 + pick(3));
    stacks[0] = TM_STACK_NONE;
    for (; count < MAX_STACKS; count++) {
        /* mostly deeper and deeper, to get past the limit */
        uint32_t parent = pick(4) ? stacks[count - 1] : stacks[pick(count)];
        stacks[count] = fake_stack(fake, parent, locations[pick(24)]);
    }
    for (uint32_t i = 0; i < 150; i++)
        fake_block(fake, UINT64_C(0x7e0000000000) + i * 64, 16 * (1 + pick(3)), stacks[1 + pick(count - 1)]);
    return fake_model(fake);
}

static void same_as_the_plain_way(void **state)
{
    (void)state;
    static const uint32_t limits[] = {1, 2, 3, 7, 25, 100, 65535};
    for (uint32_t round = 0; round < 21; round++) {
        struct fake fake;
        seed = round + 1;
        struct tm_model *model = random_model(&fake, limits[round % 7]);
        for (enum tm_group by = TM_GROUP_LINENO; by <= TM_GROUP_TRACEBACK; by++) {
            for (int cumulative = 0; cumulative < (by == TM_GROUP_TRACEBACK ? 1 : 2); cumulative++) {
                assert_same(model, by, cumulative, 0);
                assert_same(model, by, cumulative, 1);
                assert_same(model, by, cumulative, 7);
            }
        }
        fake_model_destroy(model);
        fake_deinit(&fake);
    }
}

static void nothing_lives(void **state)
{
    (void)state;
    struct fake fake;
    fake_init(&fake);
    struct tm_model *model = fake_model(&fake);
    for (enum tm_group by = TM_GROUP_LINENO; by <= TM_GROUP_TRACEBACK; by++)
        assert_same(model, by, false, 10);
    fake_model_destroy(model);
    fake_deinit(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_the_plain_way),
        cmocka_unit_test(nothing_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

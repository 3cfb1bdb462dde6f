/* SPDX-License-Identifier: MIT */
/* Single blocks: all of them in order of address, the one at an address, and what does not fit together. */
#define _GNU_SOURCE /* asprintf */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "stdlib_model.h"
#include "stdlib_symbols.h"

#define RADIX_BITS 11
#define BATCH 4096

struct tm_error *tm_stdlib_each_trace(struct tm_model *model, bool foreign, tm_stdlib_traces_fn fn, void *context,
                                      struct tm_stdlib_walked *ret)
{
    struct tm_stdlib *stdlib = model->private;
    struct tm_error *error = NULL;
    *ret = (struct tm_stdlib_walked){0};
    /* Tables do not share their entries: together they cannot fill more than the memory. */
    uint64_t budget = stdlib->memory.readable / stdlib->state.family->table->entry_size;
    size_t first = foreign && !stdlib->state.family->table->domain_in_key;
    for (size_t i = first; i < stdlib->domain_count && !error; i++) {
        struct tm_stdlib_walk walk;
        struct tm_stdlib_trace traces[TM_STDLIB_BATCH];
        tm_stdlib_walk_init(&walk, &stdlib->memory, &stdlib->domains[i].table);
        if (walk.limit > budget)
            walk.limit = budget;
        unsigned count;
        while (!error && (count = tm_stdlib_walk_next(&walk, stdlib->domains[i].domain, traces))) {
            error = fn(model, traces, count, context);
            tm_target_progress(model->target, ret->walked + walk.walked, stdlib->expected);
        }
        if (walk.failed && !error)
            error = tm_error(TM_ERROR_INTERRUPTED, "interrupted");
        if (!ret->unreadable)
            ret->fault = walk.fault;
        ret->walked += walk.walked;
        ret->unreadable += walk.unreadable;
        ret->torn += walk.torn;
        ret->endless |= walk.endless;
        budget -= walk.walked < budget ? walk.walked : budget;
        tm_stdlib_walk_deinit(&walk);
    }
    return error;
}

/* ---- in order of address ------------------------------------------------------------------------------------------ */

struct collection {
    struct tm_block *blocks;
    size_t count;
    size_t room;
    uint64_t varying; /* bits in which addresses differ */
};

static struct tm_error *collect(struct tm_model *model, const struct tm_stdlib_trace *traces, unsigned count,
                                void *context)
{
    struct tm_stdlib *stdlib = model->private;
    struct collection *collection = context;
    if (collection->room - collection->count < count) {
        size_t room = collection->room ? collection->room * 2 : stdlib->expected < 4096 ? 4096 : model->count + 64;
        struct tm_block *blocks = reallocarray(collection->blocks, room, sizeof(*blocks));
        if (!blocks)
            return tm_error_no_memory();
        collection->blocks = blocks;
        collection->room = room;
    }
    for (unsigned i = 0; i < count; i++) {
        struct tm_block *block = &collection->blocks[collection->count++];
        *block = (struct tm_block){traces[i].address, traces[i].size, 0, traces[i].domain};
        struct tm_error *error = tm_stdlib_stack(&stdlib->stacks, traces[i].traceback, &block->stack);
        if (error)
            return error;
        collection->varying |= block->address ^ collection->blocks[0].address;
    }
    return NULL;
}

/* By address, 11 bits at a time, skipping bits that are the same in all: millions of blocks, which differ in 30 bits. */
static struct tm_error *sort(struct collection *collection)
{
    const uint64_t mask = (1 << RADIX_BITS) - 1;
    struct tm_block *from = collection->blocks, *to = NULL;
    if (collection->varying && !(to = reallocarray(NULL, collection->count, sizeof(*to))))
        return tm_error_no_memory();
    for (unsigned shift = 0; shift < 64; shift += RADIX_BITS) {
        size_t place[1 << RADIX_BITS] = {0};
        if (!(collection->varying >> shift & mask))
            continue;
        for (size_t i = 0; i < collection->count; i++)
            place[from[i].address >> shift & mask]++;
        for (size_t i = 0, sum = 0; i <= mask; i++) {
            size_t size = place[i];
            place[i] = sum;
            sum += size;
        }
        for (size_t i = 0; i < collection->count; i++)
            to[place[from[i].address >> shift & mask]++] = from[i];
        struct tm_block *swap = from;
        from = to;
        to = swap;
    }
    collection->blocks = from;
    free(to);
    return NULL;
}

static struct tm_error *load(struct tm_model *model, struct collection *ret)
{
    struct tm_stdlib_walked walked;
    struct tm_error *error = tm_stdlib_each_trace(model, false, collect, ret, &walked);
    return error || !ret->count ? error : sort(ret);
}

/* Hands on those of one domain, in batches; says which domain comes next. */
static struct tm_error *emit(const struct collection *collection, uint32_t domain, tm_blocks_fn fn, void *context,
                             uint32_t *next, bool *more)
{
    struct tm_block batch[BATCH];
    size_t count = 0;
    struct tm_error *error = NULL;
    *more = false;
    for (size_t i = 0; i < collection->count && !error; i++) {
        const struct tm_block *block = &collection->blocks[i];
        if (block->domain == domain)
            batch[count++] = *block;
        else if (block->domain > domain && (!*more || block->domain < *next)) {
            *next = block->domain;
            *more = true;
        }
        if (count == BATCH || (count && i == collection->count - 1)) {
            error = fn(context, batch, count);
            count = 0;
        }
    }
    return error;
}

struct tm_error *tm_stdlib_each_block(struct tm_model *model, tm_blocks_fn fn, void *context)
{
    struct collection collection = {0};
    struct tm_error *error = load(model, &collection);
    uint32_t domain = 0;
    /* Few domains exist; hostile ones are as many as blocks, and are then handed on in no order. */
    bool more = !error && collection.count;
    for (unsigned rounds = 0; more && !error && rounds < 64; rounds++)
        error = emit(&collection, domain, fn, context, &domain, &more);
    for (size_t i = 0; more && !error && i < collection.count; i++) {
        if (collection.blocks[i].domain >= domain)
            error = fn(context, &collection.blocks[i], 1);
    }
    free(collection.blocks);
    return error;
}

/* ---- foreign domains ------------------------------------------------------------------------------------------------- */

struct foreign {
    tm_foreign_fn fn;
    void *context;
};

static struct tm_error *hand_on(struct tm_model *model, const struct tm_stdlib_trace *traces, unsigned count,
                                void *context)
{
    struct tm_stdlib *stdlib = model->private;
    const struct foreign *foreign = context;
    struct tm_foreign_total totals[TM_STDLIB_BATCH];
    size_t kept = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!traces[i].domain)
            continue;
        struct tm_foreign_total *total = &totals[kept++];
        *total = (struct tm_foreign_total){traces[i].domain, 0, {(int64_t)traces[i].size, 1}};
        struct tm_error *error = tm_stdlib_stack(&stdlib->stacks, traces[i].traceback, &total->stack);
        if (error)
            return error;
    }
    return kept ? foreign->fn(foreign->context, totals, kept) : NULL;
}

struct tm_error *tm_stdlib_each_foreign(struct tm_model *model, tm_foreign_fn fn, void *context)
{
    struct foreign foreign = {fn, context};
    struct tm_stdlib_walked walked;
    return tm_stdlib_each_trace(model, true, hand_on, &foreign, &walked);
}

/* ---- the block at an address -------------------------------------------------------------------------------------- */

static bool holds(const struct tm_stdlib_trace *trace, uint64_t address)
{
    uint64_t offset = address - trace->address;
    return offset == 0 || (trace->address <= address && offset < trace->size);
}

struct search {
    uint64_t address;
    struct tm_stdlib_trace found;
    bool done;
};

/* A foreign domain's addresses are names, not memory: only the exact one counts, and real memory goes first. */
static struct tm_error *search(struct tm_model *model, const struct tm_stdlib_trace *traces, unsigned count,
                               void *context)
{
    (void)model;
    struct search *search = context;
    for (unsigned i = 0; i < count; i++) {
        const struct tm_stdlib_trace *trace = &traces[i];
        bool hit = trace->domain ? trace->address == search->address && !search->done
                                 : holds(trace, search->address) && (!search->done || search->found.domain ||
                                                                     trace->address > search->found.address);
        if (hit) {
            search->found = *trace;
            search->done = true;
        }
    }
    return NULL;
}

struct tm_error *tm_stdlib_find_block(struct tm_model *model, uint64_t address, struct tm_block *ret, bool *found)
{
    struct tm_stdlib *stdlib = model->private;
    struct search asked = {.address = address};
    struct tm_error *error = NULL;
    /* An object lies behind its PyGC_Head (16 bytes), its managed dict and weakrefs (16 bytes, 3.11+), both or neither.
     * Asking for all of them needs no type, and is right where the standard library itself is not: 3.11's
     * get_object_traceback() forgets the managed dict, and knows no plain instance (gh-101430). */
    for (uint64_t before = 0; before <= 32 && !asked.done; before += 16) {
        /* The default domain has one table, or the two halves of one that was caught in a rehash. */
        for (size_t i = 0; i < stdlib->domain_count && !asked.done; i++)
            asked.done =
                !stdlib->domains[i].domain &&
                tm_stdlib_table_find(&stdlib->memory, &stdlib->domains[i].table, 0, address - before, &asked.found) &&
                holds(&asked.found, address);
    }
    if (!asked.done) {
        struct tm_stdlib_walked walked;
        error = tm_stdlib_each_trace(model, false, search, &asked, &walked);
    }
    uint32_t stack = 0;
    if (!error && asked.done)
        error = tm_stdlib_stack(&stdlib->stacks, asked.found.traceback, &stack);
    if (error)
        return error;
    *found = asked.done;
    if (asked.done)
        *ret = (struct tm_block){asked.found.address, asked.found.size, stack, asked.found.domain};
    return NULL;
}

/* ---- what does not fit together ----------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void say(tm_finding_fn fn, void *context, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) >= 0)
        fn(context, text);
    va_end(arguments);
    free(text);
}

struct tm_error *tm_stdlib_check(struct tm_model *model, tm_finding_fn fn, void *context)
{
    struct tm_stdlib *stdlib = model->private;
    struct collection collection = {0};
    struct tm_stdlib_walked walked;
    struct tm_error *error = tm_stdlib_each_trace(model, false, collect, &collection, &walked);
    if (!error && collection.count)
        error = sort(&collection);
    if (error) {
        free(collection.blocks);
        return error;
    }
    if (walked.walked != (stdlib->proven ? stdlib->walked : stdlib->expected))
        say(fn, context, "the tables have %" PRIu64 " traces, where they count %" PRIu64, walked.walked,
            stdlib->expected);
    if (walked.torn)
        say(fn, context,
            "%" PRIu64
            " traces are not what they should be: their address does not have its hash, or their size is absurd",
            walked.torn);
    uint64_t sum = 0, overlaps = 0, example = 0;
    const struct tm_block *last = NULL;
    for (size_t i = 0; i < collection.count; i++) {
        const struct tm_block *block = &collection.blocks[i];
        sum += block->size;
        if (block->domain)
            continue;
        if (last && block->address - last->address < last->size && !overlaps++)
            example = block->address;
        last = block;
    }
    if (stdlib->traced_known && sum != (stdlib->proven ? model->size : stdlib->traced_memory))
        say(fn, context, "sizes add up to %" PRIu64 " bytes, where tracemalloc counts %" PRIu64, sum,
            stdlib->traced_memory);
    char *sentence;
    if (tm_stdlib_compare(&stdlib->memory, &stdlib->state, &sentence) == TM_STDLIB_CONTRADICTS)
        say(fn, context, "%s", sentence);
    free(sentence);
    if (overlaps)
        say(fn, context, "%" PRIu64 " blocks begin within another one; the first at 0x%" PRIx64, overlaps, example);
    free(collection.blocks);
    return NULL;
}

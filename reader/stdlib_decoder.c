/* SPDX-License-Identifier: MIT */
/*
 * The standard library's own tracemalloc, read from outside: CPython 3.8 to 3.15, without symbols, without running
 * anything in the target.
 *
 *   stdlib_layout  how it lies in memory, version by version: data
 *   stdlib_memory  small reads at many places             stdlib_image  mapped files, interpreter's version
 *   stdlib_find    where the tables are                   stdlib_table  one hash table: recognise, walk, look up
 *   stdlib_rehash  a table that was being rebuilt         stdlib_stacks tracebacks -> stacks of the model
 *   stdlib_text    file names                             stdlib_symbols, stdlib_dwarf  what files on disk say of it
 *   stdlib_blocks  blocks, one by one                     stdlib_decoder (this file) the model, and its proof
 *
 * Proof: every entry that the tables count was found, and the sizes add up to traced_memory, which tracemalloc keeps
 * beside them.  Where that does not hold, the model says so and its numbers are a lower bound.
 */
#define _GNU_SOURCE /* asprintf */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cache.h"
#include "stdlib_model.h"
#include "stdlib_rehash.h"
#include "stdlib_symbols.h"

#define MAX_DOMAINS 4096
#define LIVE_TRIES 5

/* Tables that change while they are read tell nothing of the moment. */
static bool moves(const struct tm_target *target)
{
    return target->live && !target->still;
}

/* What to do about it, where whatever is amiss may be so because they changed. */
static const char *advice(const struct tm_model *model)
{
    return moves(model->target) ? "; --stop would read them at one moment" : "";
}

/* ---- tables ------------------------------------------------------------------------------------------------------- */

static struct tm_error *list_tables(struct tm_model *model)
{
    struct tm_stdlib *stdlib = model->private;
    struct tm_stdlib_state *state = &stdlib->state;
    uint64_t(*pairs)[2] = NULL;
    size_t count = 0;
    uint64_t room = state->has_domains ? state->domains.nentries : 0;
    if (room > MAX_DOMAINS)
        room = MAX_DOMAINS;
    free(stdlib->domains);
    stdlib->domains = calloc(1 + room, sizeof(*stdlib->domains));
    if (!stdlib->domains || (room && !(pairs = calloc(room, sizeof(*pairs)))))
        return tm_error_no_memory();
    stdlib->domains[0].table = state->traces;
    stdlib->domain_count = 1;
    stdlib->expected = state->traces.nentries;
    if (room)
        count = tm_stdlib_table_pairs(&stdlib->memory, &state->domains, pairs, room);
    for (size_t i = 0; i < count; i++) {
        struct tm_stdlib_domain *domain = &stdlib->domains[stdlib->domain_count];
        domain->domain = (uint32_t)pairs[i][0];
        if (tm_stdlib_table_read(&stdlib->memory, state->traces.layout, pairs[i][1], &domain->table)) {
            stdlib->expected += domain->table.nentries;
            stdlib->domain_count++;
        }
    }
    free(pairs);
    if (state->has_domains && stdlib->domain_count - 1 != state->domains.nentries)
        tm_model_incomplete(model, "%zu of %" PRIu64 " domains can be read%s", stdlib->domain_count - 1,
                            state->domains.nentries, advice(model));
    return NULL;
}

static struct tm_error *count(struct tm_model *model, const struct tm_stdlib_trace *traces, unsigned number,
                              void *context)
{
    struct tm_stdlib *stdlib = model->private;
    uint64_t *sum = context;
    for (unsigned i = 0; i < number; i++) {
        uint32_t stack;
        struct tm_error *error = tm_stdlib_stack(&stdlib->stacks, traces[i].traceback, &stack);
        if (error)
            return error;
        struct tm_total *total = &model->totals[stack];
        /* unsigned: a hostile size may overflow, which must not be undefined */
        total->bytes = (int64_t)((uint64_t)total->bytes + traces[i].size);
        total->blocks++;
        *sum += traces[i].size;
    }
    return NULL;
}

/* Tables of which traces are missing may have been caught in a rehash: then each becomes two. */
static struct tm_error *rebuild(struct tm_model *model)
{
    struct tm_stdlib *stdlib = model->private;
    size_t tables = stdlib->domain_count;
    struct tm_stdlib_domain *domains = reallocarray(stdlib->domains, 2 * tables, sizeof(*domains));
    if (!domains)
        return tm_error_no_memory();
    stdlib->domains = domains;
    for (size_t i = 0; i < tables; i++) {
        struct tm_stdlib_table pair[2];
        bool found;
        struct tm_error *error = tm_stdlib_rehash(&stdlib->memory, &domains[i].table, pair, &found);
        if (error)
            return error;
        if (!found)
            continue;
        stdlib->guessed |= pair[0].rest != 0;
        domains[i].table = pair[0];
        domains[stdlib->domain_count++] = (struct tm_stdlib_domain){pair[1], domains[i].domain};
        stdlib->rebuilt = true;
    }
    return NULL;
}

/* All traces of all tables, into totals by stack. */
static struct tm_error *walk(struct tm_model *model, struct tm_stdlib_walked *walked, uint64_t *sum)
{
    struct tm_stdlib *stdlib = model->private;
    const struct tm_target *target = model->target;
    *sum = 0;
    struct tm_error *error = tm_stdlib_each_trace(model, false, count, sum, walked);
    if (error || walked->endless || walked->walked >= stdlib->expected || moves(target))
        return error;
    error = rebuild(model);
    if (error || !stdlib->rebuilt)
        return error;
    memset(model->totals, 0, model->stack_count * sizeof(*model->totals));
    *sum = 0;
    return tm_stdlib_each_trace(model, false, count, sum, walked);
}

/* ---- proof -------------------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void say_proof(struct tm_model *model, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&model->proof, format, arguments) < 0)
        model->proof = NULL;
    va_end(arguments);
}

/* Whether all is there.  One trace may be in the middle of its way: tracemalloc counts it in the table, in traced_memory,
 * in both, or in neither yet.  A rehash is begun by nothing else; but then the sums must be equal if something was put into
 * the table by its shape. */
static void prove(struct tm_model *model, const struct tm_stdlib_walked *walked, uint64_t sum)
{
    struct tm_stdlib *stdlib = model->private;
    const char *rebuilt = stdlib->rebuilt ? "; rebuilt from a rehash in progress" : "";
    bool all = walked->walked == stdlib->expected;
    bool one_less = walked->walked + 1 == stdlib->expected && !moves(model->target);
    bool equal = stdlib->traced_memory == sum;
    if (walked->unreadable || walked->torn || walked->endless || !stdlib->traced_known)
        return;
    stdlib->proven = (equal && (all || one_less)) || (all && stdlib->rebuilt && !stdlib->guessed);
    if (!stdlib->proven)
        return;
    if (equal)
        say_proof(model,
                  "all %" PRIu64 " traces that the tables count are there%s, and their sizes add up to "
                  "traced_memory, %" PRIu64 " bytes%s",
                  walked->walked, all ? "" : ", but for one that was just being added", sum, rebuilt);
    else
        say_proof(model,
                  "all %" PRIu64 " traces that the tables count are there, and their sizes add up to %" PRIu64
                  " bytes; traced_memory, %" PRIu64 " bytes, did not count the one yet that was just being %s%s",
                  walked->walked, sum, stdlib->traced_memory, sum > stdlib->traced_memory ? "added" : "removed",
                  rebuilt);
}

/* Names why the numbers cannot be trusted to be all. */
static void doubt_tables(struct tm_model *model, const struct tm_stdlib_walked *walked, uint64_t sum)
{
    struct tm_stdlib *stdlib = model->private;
    const char *why = moves(model->target)       ? "they changed while they were read, which --stop would prevent"
                      : stdlib->state.locked     ? "another thread was changing them at that moment"
                      : model->target->truncated ? "the core is truncated"
                                                 : "they were being changed at that moment, or are damaged";
    if (walked->unreadable)
        tm_model_incomplete(
            model, "%" PRIu64 " parts of tracemalloc's tables are missing: memory at 0x%" PRIx64 " %s%s",
            walked->unreadable, walked->fault.address, tm_outcome_text(walked->fault.outcome), advice(model));
    if (walked->endless)
        tm_model_incomplete(model, "tracemalloc's tables hold more traces than the %" PRIu64 " that they count: %s",
                            stdlib->expected, why);
    else if ((walked->walked != stdlib->expected || walked->torn) && !walked->unreadable)
        tm_model_incomplete(model, "%" PRIu64 " traces were found where tracemalloc's tables count %" PRIu64 ": %s",
                            walked->walked, stdlib->expected, why);
    if (!stdlib->traced_known)
        tm_model_incomplete(model,
                            "tracemalloc's own sum (traced_memory) was not found: nothing proves that these %" PRIu64
                            " bytes are all%s",
                            sum, advice(model));
    else if (stdlib->traced_memory != sum)
        tm_model_incomplete(model, "sizes add up to %" PRIu64 " bytes where tracemalloc counts %" PRIu64 ": %s", sum,
                            stdlib->traced_memory, why);
}

static void doubt_stacks(struct tm_model *model)
{
    const struct tm_stdlib_stacks *stacks = &((struct tm_stdlib *)model->private)->stacks;
    const char *first = stacks->fault.outcome ? ": the first " : "";
    const char *why = stacks->fault.outcome ? tm_outcome_text(stacks->fault.outcome) : "";
    if (stacks->damaged_tracebacks)
        tm_model_incomplete(model, "%" PRIu64 " tracebacks cannot be read%s%s%s", stacks->damaged_tracebacks, first,
                            why, advice(model));
    if (stacks->damaged_names)
        tm_model_incomplete(model, "%" PRIu64 " file names cannot be read%s%s%s", stacks->damaged_names, first, why,
                            advice(model));
}

static struct tm_error *decode(struct tm_model *model)
{
    struct tm_stdlib *stdlib = model->private;
    struct tm_stdlib_state *state = &stdlib->state;
    struct tm_error *error = tm_stdlib_stacks_init(&stdlib->stacks, model, &stdlib->memory, state);
    if (!error)
        error = list_tables(model);
    struct tm_stdlib_walked walked;
    uint64_t sum = 0;
    if (!error)
        error = walk(model, &walked, &sum);
    if (error)
        return error;
    model->tracer = "tracemalloc";
    snprintf(model->python, sizeof(model->python), "%s", state->python);
    model->python_version = state->version;
    model->pid = model->target->pid;
    if (!model->pid && model->target->face)
        model->pid = model->target->face->process;
    model->tracing = state->tracing;
    model->frame_limit = state->max_nframe ? state->max_nframe : stdlib->stacks.max_nframe;
    if (!model->frame_limit)
        model->frame_limit = 1;
    model->size = sum;
    model->count = walked.walked;
    stdlib->stacks.frozen = true;
    stdlib->walked = walked.walked;
    uint64_t peak = 0;
    stdlib->traced_known = tm_stdlib_traced_memory(&stdlib->memory, &stdlib->state, sum, &stdlib->traced_memory, &peak);
    model->peak = peak > sum ? peak : sum;
    prove(model, &walked, sum);
    if (!stdlib->proven)
        doubt_tables(model, &walked, sum);
    doubt_stacks(model);
    return NULL;
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

static void destroy(struct tm_model *model)
{
    struct tm_stdlib *stdlib = model->private;
    if (!stdlib)
        return;
    tm_stdlib_stacks_deinit(&stdlib->stacks);
    tm_target_destroy(stdlib->target);
    free(stdlib->domains);
    free(stdlib);
}

static char *symbols(struct tm_model *model, bool *agree, bool *silent)
{
    struct tm_stdlib *stdlib = model->private;
    char *sentence;
    enum tm_stdlib_verdict verdict = tm_stdlib_compare(&stdlib->memory, &stdlib->state, &sentence);
    *agree = verdict != TM_STDLIB_CONTRADICTS;
    *silent = verdict == TM_STDLIB_SILENT;
    return sentence;
}

static const struct tm_model_ops ops = {
    .each_block = tm_stdlib_each_block,
    .each_foreign = tm_stdlib_each_foreign,
    .find_block = tm_stdlib_find_block,
    .check = tm_stdlib_check,
    .symbols = symbols,
    .destroy = destroy,
};

static struct tm_error *try_open(struct tm_target *target, struct tm_model **ret)
{
    struct tm_stdlib_memory memory;
    struct tm_stdlib_state state;
    bool found;
    tm_stdlib_memory_init(&memory, target);
    struct tm_error *error = tm_stdlib_find(&memory, &state, &found);
    if (error)
        return error;
    if (!found && state.python[0])
        return tm_error_try(
            tm_error_because(tm_error(TM_ERROR_NOT_STARTED, "CPython %s is in %s, but nothing was traced in it",
                                      state.python, target->name),
                             "the program ran neither under tm nor with tracemalloc"),
            "tm run -- python3 app.py, or PYTHONTRACEMALLOC=25 in its environment");
    if (!found)
        return NULL;
    struct tm_model *model;
    error = tm_model_create(&ops, target, &model);
    if (error)
        return error;
    struct tm_stdlib *stdlib = calloc(1, sizeof(*stdlib));
    model->private = stdlib;
    if (stdlib) {
        stdlib->memory = memory;
        stdlib->state = state;
        error = decode(model);
    } else {
        error = tm_error_no_memory();
    }
    /* Nothing but the sums tells whether a version that did not exist when this was written still lies like this. */
    if (!error && model->incomplete_count && state.version >> 16 > tm_stdlib_newest())
        error = tm_error_because(
            tm_error(TM_ERROR_VERSION, "tracemalloc's tables in CPython %s are not known to this reader", state.python),
            "%s", model->incomplete[0] ? model->incomplete[0] : "they do not add up");
    if (error) {
        tm_model_destroy(model);
        return error;
    }
    *ret = model;
    return NULL;
}

/* Memory that a live process mapped since its list of regions was read is not to be seen: a list of today. */
static struct tm_target *look_again(struct tm_target *target)
{
    struct tm_target *fresh = NULL;
    if (target->pid > 0)
        tm_error_destroy(tm_target_open_process(target->face, target->pid, &fresh));
    if (fresh && fresh->ops != target->ops) { /* a debugger's view is not to be replaced by another */
        tm_target_destroy(fresh);
        fresh = NULL;
    }
    if (!fresh) {
        tm_cache_destroy(target->cache);
        target->cache = NULL;
    }
    return fresh;
}

/* How far the sizes are from what tracemalloc counts itself. */
static uint64_t doubt(const struct tm_model *model)
{
    const struct tm_stdlib *stdlib = model->private;
    if (!model->incomplete_count)
        return 0;
    if (!stdlib->traced_known)
        return UINT64_MAX;
    return 1 + (model->size > stdlib->traced_memory ? model->size - stdlib->traced_memory
                                                    : stdlib->traced_memory - model->size);
}

/* A live process goes on allocating.  A moment in which it did not while it was read is worth a few tries; then the
 * nearest is shown for what it is. */
static struct tm_error *open_tables(struct tm_target *target, struct tm_model **ret)
{
    struct tm_model *best = NULL;
    struct tm_error *error = try_open(target, &best);
    for (int i = 0; i < LIVE_TRIES && moves(target) && !tm_target_interrupted(target); i++) {
        if (error ? error->code != TM_ERROR_NOT_STARTED || i == 2 : !best || !doubt(best))
            break;
        nanosleep(&(struct timespec){.tv_nsec = 2000000L << i}, NULL);
        struct tm_target *fresh = look_again(target);
        struct tm_model *model = NULL;
        struct tm_error *failed = try_open(fresh ? fresh : target, &model);
        if (model)
            ((struct tm_stdlib *)model->private)->target = fresh;
        else
            tm_target_destroy(fresh);
        if (model && (!best || doubt(model) < doubt(best))) {
            tm_model_destroy(best);
            best = model;
        } else {
            tm_model_destroy(model);
        }
        tm_error_destroy(error);
        error = failed;
        if (best) {
            tm_error_destroy(error);
            error = NULL;
        }
    }
    if (!error)
        *ret = best;
    return error;
}

const struct tm_decoder tm_stdlib_decoder = {
    .name = "tracemalloc",
    .open = open_tables,
};

/* SPDX-License-Identifier: MIT */
/*
 * The tables are recognised by their shape, because nothing else is always there: 3.8 to 3.11 export no symbol for
 * them, a stripped interpreter has no debug information, its offset within _PyRuntime moved between 3.13.0 and 3.13.18,
 * and the file itself may be gone.  Shape means: a word in the writable data of a mapped file leads to a hash table
 * whose functions are code, whose size is a power of two, and whose keys hash to where they lie, with traces of at
 * least one frame.  Symbols are used for one thing only: to tell whether 3.8 to 3.11 are tracing at that moment.
 */
#include "stdlib_symbols.h"

#include <stdlib.h>

#define CHUNK (UINT64_C(1) << 20)
#define NEAR 1024 /* bytes around the slot in which its neighbours are looked for */
#define MAX_DOMAINS 65536
#define MAX_SAMPLES 4096            /* tables that look right from outside; an honest program has one or two */
#define AROUND (UINT64_C(32) << 20) /* the regions of one image lie closer together */
#define NEIGHBOURS 256

/* ---- neighbours of the slot --------------------------------------------------------------------------------------- */

static bool word(struct tm_stdlib_memory *memory, uint64_t address, uint64_t *ret)
{
    return tm_target_peek(memory->target, address, ret, sizeof(*ret)).outcome == TM_READ_OK;
}

/* struct _PyTraceMalloc_Config: {int initialized, tracing, max_nframe} */
static bool read_config(struct tm_stdlib_memory *memory, uint64_t address, bool *tracing, uint32_t *max_nframe)
{
    uint32_t config[3];
    if (tm_target_peek(memory->target, address, config, sizeof(config)).outcome != TM_READ_OK)
        return false;
    if (config[0] > 2 || config[1] > 1 || config[2] < 1 || config[2] > UINT16_MAX)
        return false;
    *tracing = config[1];
    *max_nframe = config[2];
    return true;
}

/* Members of _PyRuntime.tracemalloc lie around the slot: a config, and three allocators full of functions. */
static bool is_runtime_state(struct tm_stdlib_memory *memory, const struct tm_stdlib_state_layout *layout,
                             uint64_t slot)
{
    bool tracing;
    uint32_t max_nframe;
    if (!read_config(memory, slot + layout->config, &tracing, &max_nframe))
        return false;
    for (int i = 0; i < 3; i++) {
        uint64_t allocator[5]; /* ctx, malloc, calloc, realloc, free */
        if (tm_target_peek(memory->target, slot + layout->allocators + i * sizeof(allocator), allocator,
                           sizeof(allocator))
                .outcome != TM_READ_OK)
            return false;
        for (int f = 1; f < 5; f++) {
            if (!tm_stdlib_function(memory, allocator[f]))
                return false;
        }
    }
    return true;
}

/* {domain -> table}: compares keys as the traces do, but hashes numbers and destroys tables. */
static bool is_domains(struct tm_stdlib_memory *memory, const struct tm_stdlib_table *traces, uint64_t address,
                       struct tm_stdlib_table *ret)
{
    uint64_t pairs[4][2];
    struct tm_stdlib_table inner;
    if (!tm_stdlib_table_read(memory, traces->layout, address, ret) || ret->compare != traces->compare ||
        ret->hash == traces->hash || ret->value_destroy == traces->value_destroy || ret->nentries > MAX_DOMAINS ||
        ret->nbuckets > 32 * MAX_DOMAINS)
        return false;
    size_t count = tm_stdlib_table_pairs(memory, ret, pairs, 4);
    for (size_t i = 0; i < count; i++) {
        if (!tm_stdlib_table_read(memory, traces->layout, pairs[i][1], &inner) || inner.hash != traces->hash)
            return false;
    }
    return true;
}

static void find_domains(struct tm_stdlib_memory *memory, struct tm_stdlib_state *state)
{
    const struct tm_stdlib_state_layout *layout = state->family->state;
    uint64_t address;
    if (state->family->table->domain_in_key)
        return;
    if (layout->fixed) {
        state->has_domains = word(memory, state->slot + layout->domains, &address) &&
                             is_domains(memory, &state->traces, address, &state->domains);
        return;
    }
    for (uint64_t distance = 8; distance <= NEAR && !state->has_domains; distance += 8) {
        state->has_domains = (word(memory, state->slot - distance, &address) &&
                              is_domains(memory, &state->traces, address, &state->domains)) ||
                             (word(memory, state->slot + distance, &address) &&
                              is_domains(memory, &state->traces, address, &state->domains));
    }
}

/* ---- which version ------------------------------------------------------------------------------------------------ */

/* The row that fits what was seen; the version only chooses among rows that do. */
static const struct tm_stdlib_family *choose_family(struct tm_stdlib_memory *memory,
                                                    const struct tm_stdlib_state *state)
{
    const struct tm_stdlib_family *fits = NULL;
    uint16_t version = (uint16_t)(state->version >> 16);
    for (size_t i = 0; i < tm_stdlib_family_count; i++) {
        const struct tm_stdlib_family *family = &tm_stdlib_families[i];
        if (family->table != state->traces.layout || family->free_threaded != state->free_threaded)
            continue;
        if (family->state->fixed && !is_runtime_state(memory, family->state, state->slot))
            continue;
        if (version >= family->first && version <= family->last)
            return family;
        /* An unknown version is read as the oldest that fits, a future one as the newest; sums will tell. */
        bool future = version > tm_stdlib_newest();
        if (!fits || future || (family->state->fixed && !fits->state->fixed))
            fits = family;
    }
    return fits;
}

/* ---- the scan ----------------------------------------------------------------------------------------------------- */

struct candidate {
    uint64_t slot;
    struct tm_stdlib_table table;
    unsigned samples; /* taken so far */
};

/* The variables of tracemalloc stand together: two more tables, of tracebacks and of names, are near the slot.  Where
 * regions have no names, this tells it from a copy of the pointer on a stack. */
static bool has_neighbours(struct tm_stdlib_memory *memory, const struct tm_stdlib_table *table, uint64_t slot)
{
    unsigned count = 0;
    uint64_t address, last = table->address;
    for (uint64_t at = slot - NEIGHBOURS; at <= slot + NEIGHBOURS && count < 2; at += 8) {
        if (at != slot && word(memory, at, &address) && address != last && address != table->address &&
            tm_stdlib_table_resembles(memory, table, address)) {
            last = address;
            count++;
        }
    }
    return count == 2;
}

/* Is the word a pointer to the table of traces? */
static void consider(struct tm_stdlib_memory *memory, uint64_t slot, uint64_t address, bool nameless,
                     struct candidate *best)
{
    for (size_t i = 0; i < tm_stdlib_family_count; i++) {
        const struct tm_stdlib_table_layout *layout = tm_stdlib_families[i].table;
        struct tm_stdlib_table table;
        bool seen = false;
        for (size_t j = 0; j < i; j++)
            seen |= tm_stdlib_families[j].table == layout;
        if (seen || !tm_stdlib_table_read(memory, layout, address, &table))
            continue;
        if (best->samples++ == MAX_SAMPLES || (nameless && !has_neighbours(memory, &table, slot)))
            return;
        unsigned good, bad;
        tm_stdlib_table_sample(memory, &table, &good, &bad);
        /* The first moment of a rehash: the new buckets are still empty. */
        bool emptied = layout->rehash_swaps_first && !good && !bad && table.nentries && !best->slot &&
                       has_neighbours(memory, &table, slot);
        if (emptied || (good > bad && (!best->slot || table.nentries > best->table.nentries))) {
            best->slot = slot;
            best->table = table;
        }
    }
}

static struct tm_error *scan(struct tm_stdlib_memory *memory, const struct tm_stdlib_image *image,
                             struct candidate *best)
{
    struct tm_bytes bytes = {0};
    struct tm_error *error = NULL;
    for (unsigned i = 0; i < image->data_count && !error; i++) {
        uint64_t at = (image->data[i].start + 7) & ~UINT64_C(7);
        while (at < image->data[i].end && !error) {
            if (tm_target_interrupted(memory->target))
                error = tm_error(TM_ERROR_INTERRUPTED, "interrupted");
            uint64_t size = image->data[i].end - at < CHUNK ? image->data[i].end - at : CHUNK;
            tm_bytes_load(&bytes, memory->target, at, size);
            for (uint64_t offset = 0; offset + 8 <= bytes.size && !error; offset += 8) {
                uint64_t value = tm_stdlib_u64(bytes.data + offset);
                if (value % 8 == 0 && tm_stdlib_pointer(value) && best->samples <= MAX_SAMPLES)
                    consider(memory, at + offset, value, !image->path, best);
            }
            at += size;
        }
    }
    tm_bytes_unload(&bytes);
    return error;
}

/* In images that lie around an address; 0: in all. */
static bool find_version(struct tm_stdlib_memory *memory, const struct tm_stdlib_image *images, size_t count,
                         uint64_t around, struct tm_stdlib_state *state)
{
    for (size_t i = 0; i < count; i++) {
        if (around && images[i].start - (around - AROUND) > 2 * AROUND)
            continue;
        if (tm_stdlib_image_version(memory, &images[i], state->python, &state->version, &state->free_threaded))
            return true;
    }
    return false;
}

struct tm_error *tm_stdlib_find(struct tm_stdlib_memory *memory, struct tm_stdlib_state *ret, bool *found)
{
    struct tm_stdlib_image *images;
    size_t count;
    *ret = (struct tm_stdlib_state){.tracing = true};
    *found = false;
    struct tm_error *error = tm_stdlib_images(memory, &images, &count);
    if (error)
        return error;
    struct candidate best = {0};
    const struct tm_stdlib_image *image = NULL;
    for (size_t i = 0; i < count && !best.slot && !error; i++) {
        /* Files first.  Heaps are large, and only worth it where nobody knows which memory the interpreter's is. */
        if (!images[i].path && i && images[i - 1].path && find_version(memory, images, i, 0, ret))
            break;
        image = &images[i];
        error = scan(memory, image, &best);
    }
    if (!error && best.slot) {
        ret->image = *image;
        ret->slot = best.slot;
        ret->traces = best.table;
        if (!find_version(memory, image, 1, 0, ret) && !image->path)
            find_version(memory, images, count, ret->slot, ret);
        ret->family = choose_family(memory, ret);
        *found = ret->family;
    }
    if (*found) {
        const struct tm_stdlib_state_layout *layout = ret->family->state;
        find_domains(memory, ret);
        if (layout->fixed)
            ret->config_at = ret->slot + layout->config;
        else
            ret->config_at = tm_stdlib_symbol(memory, image, "_Py_tracemalloc_config");
        if (ret->config_at && !read_config(memory, ret->config_at, &ret->tracing, &ret->max_nframe))
            ret->config_at = 0;
        uint8_t lock;
        ret->locked = layout->lock_byte &&
                      tm_target_peek(memory->target, ret->slot + layout->lock_byte, &lock, 1).outcome == TM_READ_OK &&
                      (lock & 1);
    }
    free(images);
    return error;
}

/* ---- traced_memory ------------------------------------------------------------------------------------------------ */

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* The peak is the neighbour of traced_memory, on one side or the other; never smaller, and no pointer. */
static uint64_t peak_near(struct tm_stdlib_memory *memory, uint64_t address, uint64_t traced)
{
    uint64_t neighbour, peak = 0;
    for (int side = -8; side <= 8; side += 16) {
        if (word(memory, address + side, &neighbour) && neighbour >= traced && neighbour <= memory->mapped &&
            (!peak || neighbour < peak))
            peak = neighbour;
    }
    return peak;
}

bool tm_stdlib_traced_memory(struct tm_stdlib_memory *memory, struct tm_stdlib_state *state, uint64_t sum,
                             uint64_t *ret, uint64_t *peak)
{
    const struct tm_stdlib_state_layout *layout = state->family->state;
    uint64_t value;
    *peak = 0;
    if (layout->fixed) {
        state->traced_at = state->slot + layout->traced[0];
        return word(memory, state->traced_at, ret) && word(memory, state->traced_at + 8, peak);
    }
    if (!sum)
        return false; /* nothing was read: every 0 would do */
    /* Where it was seen, then anywhere near: exactly the sum.  Otherwise what is within an eighth of it. */
    uint64_t nearest = UINT64_MAX;
    for (int i = 0; i < 2 + 2 * NEAR / 8 && nearest; i++) {
        uint64_t address = i < 2 ? state->slot + layout->traced[i] : state->slot - NEAR + 8 * (i - 2);
        if (address == state->slot || !word(memory, address, &value) || distance(value, sum) >= nearest ||
            distance(value, sum) > sum / 8)
            continue;
        nearest = distance(value, sum);
        state->traced_at = address;
        *ret = value;
    }
    /* A core from within a rehash lacks most traces: then a pair that can be traced_memory and its peak. */
    for (int i = 0; i < 2 && nearest == UINT64_MAX; i++) {
        uint64_t address = state->slot + layout->traced[i];
        if (!word(memory, address, &value) || value < sum || !peak_near(memory, address, value))
            continue;
        nearest = distance(value, sum);
        state->traced_at = address;
        *ret = value;
    }
    if (nearest == UINT64_MAX)
        return false;
    *peak = peak_near(memory, state->traced_at, *ret);
    return true;
}

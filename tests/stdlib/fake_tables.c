/* SPDX-License-Identifier: MIT */
#include "fake_tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a target ----------------------------------------------------------------------------------------------------- */

uint8_t *fake_at(struct fake *fake, uint64_t address)
{
    if (address - FAKE_DATA < FAKE_DATA_SIZE)
        return fake->data + (address - FAKE_DATA);
    if (address - FAKE_HEAP < FAKE_HEAP_SIZE)
        return fake->heap + (address - FAKE_HEAP);
    return NULL;
}

static const void *view(struct tm_target *target, uint64_t address, uint64_t size)
{
    const struct tm_region *region = tm_target_region(target, address);
    if (!region || address - region->start > region->saved || region->saved - (address - region->start) < size)
        return NULL;
    return fake_at((struct fake *)target, address);
}

static struct tm_fault read_bytes(struct tm_target *target, uint64_t address, void *buffer, uint64_t size)
{
    uint64_t done = 0;
    while (done < size) {
        struct tm_fault fault;
        uint64_t piece = tm_target_available(target, address + done, size - done, &fault);
        const struct tm_region *region = tm_target_region(target, address + done);
        if (!piece || !region)
            return fault;
        if (piece > region->end - (address + done))
            piece = region->end - (address + done);
        memcpy((uint8_t *)buffer + done, fake_at((struct fake *)target, address + done), piece);
        done += piece;
    }
    return (struct tm_fault){TM_READ_OK, address + size};
}

static void destroy(struct tm_target *target)
{
    (void)target; /* fake_destroy() does it */
}

static const struct tm_target_ops ops = {.read = read_bytes, .view = view, .destroy = destroy};

/* ---- building ----------------------------------------------------------------------------------------------------- */

static uint64_t allocate(struct fake *fake, uint64_t size)
{
    uint64_t address = FAKE_HEAP + fake->used;
    fake->used += (size + 15) & ~UINT64_C(15);
    if (fake->used > FAKE_HEAP_SIZE)
        abort();
    return address;
}

static void put(struct fake *fake, uint64_t address, uint64_t value, size_t size)
{
    memcpy(fake_at(fake, address), &value, size);
}

void fake_set(struct fake *fake, uint64_t address, uint64_t value)
{
    put(fake, address, value, sizeof(value));
}

uint64_t fake_get(struct fake *fake, uint64_t address)
{
    uint64_t value;
    memcpy(&value, fake_at(fake, address), sizeof(value));
    return value;
}

static uint64_t code(unsigned number)
{
    return FAKE_TEXT + 4096 + 16 * (uint64_t)number;
}

/* A str of one character per kind: 'a', 0xe9, U+65E5, U+1F600, and a lone surrogate; then ".py". */
static uint64_t make_name(struct fake *fake, unsigned number)
{
    static const uint32_t first[] = {'a', 0xe9, 0x65e5, 0x1f600, 0xdcff};
    static const char *const utf8[] = {"a.py", "\xc3\xa9.py", "\xe6\x97\xa5.py", "\xf0\x9f\x98\x80.py",
                                       "\xed\xb3\xbf.py"};
    static const unsigned kinds[] = {1, 1, 2, 4, 2};
    const struct tm_stdlib_text_layout *layout = fake->options.family->text;
    unsigned kind = kinds[number], length = 4;
    uint64_t address = allocate(fake, 128);
    if (fake->options.chars) {
        memcpy(fake_at(fake, address), utf8[number], strlen(utf8[number]) + 1);
        return address;
    }
    uint64_t type = FAKE_DATA + 0x100; /* PyUnicode_Type */
    put(fake, address, 1, 8);
    put(fake, address + layout->type, type, 8);
    put(fake, type + layout->type_flags, UINT64_C(1) << 28 | 1 << 12, 8);
    put(fake, address + layout->length, length, 8);
    bool ascii = first[number] < 0x80, compact = number != 2; /* that one is of a subclass of str */
    put(fake, address + layout->state,
        (uint64_t)kind << layout->kind_bit | (uint64_t)compact << layout->compact_bit |
            (uint64_t)ascii << layout->ascii_bit,
        4);
    uint64_t at = compact ? address + (ascii ? layout->ascii_data : layout->compact_data) : allocate(fake, 16);
    if (!compact)
        put(fake, address + layout->pointer, at, 8);
    const uint32_t text[] = {first[number], '.', 'p', 'y'};
    for (unsigned i = 0; i < length; i++)
        put(fake, at + (uint64_t)i * kind, text[i], kind);
    return address;
}

static uint64_t make_traceback(struct fake *fake, unsigned nframe, const uint64_t *names, unsigned number)
{
    const struct tm_stdlib_table_layout *layout = fake->options.family->table;
    uint64_t address = allocate(fake, layout->first_frame + (uint64_t)nframe * TM_STDLIB_FRAME);
    put(fake, address + layout->nframe, nframe, layout->nframe_bytes);
    if (layout->total_nframe != TM_STDLIB_NONE)
        put(fake, address + layout->total_nframe, nframe + 3, 2);
    for (unsigned i = 0; i < nframe; i++) {
        uint64_t frame = address + layout->first_frame + (uint64_t)i * TM_STDLIB_FRAME;
        put(fake, frame, names[(number + i) % 5], 8);
        put(fake, frame + 8, 1 + number + 100 * i, 4);
    }
    return address;
}

static uint64_t make_table(struct fake *fake, uint64_t nbuckets, unsigned hash, unsigned destroy_value)
{
    const struct tm_stdlib_table_layout *layout = fake->options.family->table;
    uint64_t address = allocate(fake, layout->size);
    uint64_t buckets = allocate(fake, nbuckets * 8);
    put(fake, address + layout->nbuckets, nbuckets, 8);
    put(fake, address + layout->buckets, buckets, 8);
    put(fake, address + layout->hash, code(hash), 8);
    put(fake, address + layout->compare, code(1), 8);
    put(fake, address + layout->allocate, code(2), 8);
    put(fake, address + layout->allocate + 8, code(3), 8);
    if (layout->get_entry != TM_STDLIB_NONE)
        put(fake, address + layout->get_entry, code(4), 8);
    if (layout->value_destroy != TM_STDLIB_NONE)
        put(fake, address + layout->value_destroy, code(destroy_value), 8);
    if (layout->key_size != TM_STDLIB_NONE) {
        put(fake, address + layout->key_size, fake->options.wide_keys ? 12 : 8, 8);
        put(fake, address + layout->data_size, TM_STDLIB_TRACE, 8);
    }
    return address;
}

static uint64_t add_entry(struct fake *fake, uint64_t table, uint64_t hash, uint64_t key, uint32_t domain,
                          uint64_t value)
{
    const struct tm_stdlib_table_layout *layout = fake->options.family->table;
    uint64_t entry = allocate(fake, layout->entry_size + 12 + TM_STDLIB_TRACE);
    uint64_t nbuckets = fake_get(fake, table + layout->nbuckets);
    uint64_t head = fake_get(fake, table + layout->buckets) + (hash & (nbuckets - 1)) * 8;
    put(fake, entry, fake_get(fake, head), 8);
    put(fake, head, entry, 8);
    put(fake, entry + layout->entry_hash, hash, 8);
    put(fake, entry + layout->entry_key, key, 8);
    if (layout->entry_value != TM_STDLIB_NONE)
        put(fake, entry + layout->entry_value, value, 8);
    else if (fake->options.wide_keys)
        put(fake, entry + layout->entry_key + 8, domain, 4);
    put(fake, table + layout->nentries, fake_get(fake, table + layout->nentries) + 1, 8);
    return entry;
}

static void add_trace(struct fake *fake, uint64_t table, uint64_t address, uint32_t domain, uint64_t size,
                      uint64_t traceback)
{
    const struct tm_stdlib_table_layout *layout = fake->options.family->table;
    uint64_t hash = address >> 4 | address << 60;
    uint64_t trace = layout->entry_value == TM_STDLIB_NONE ? 0 : allocate(fake, TM_STDLIB_TRACE);
    uint64_t entry = add_entry(fake, table, fake->options.wide_keys ? hash ^ domain : hash, address, domain, trace);
    if (!trace)
        trace = entry + layout->entry_key + (fake->options.wide_keys ? 12 : 8);
    put(fake, trace, size, 8);
    put(fake, trace + 8, traceback, 8);
    if (!fake->first_entry)
        fake->first_entry = entry;
    fake->last_entry = entry;
    fake->bytes += size;
    fake->blocks++;
}

static void add_foreign(struct fake *fake, uint64_t traceback)
{
    const struct tm_stdlib_family *family = fake->options.family;
    uint64_t table = fake->table;
    if (!family->table->domain_in_key) {
        uint64_t domains = make_table(fake, 16, 5, 6);
        table = make_table(fake, 64, 0, 7);
        add_entry(fake, domains, FAKE_DOMAIN, FAKE_DOMAIN, 0, table);
        put(fake, fake->slot + (family->state->fixed ? family->state->domains : -8), domains, 8);
    } else if (!fake->options.wide_keys) {
        return;
    }
    for (unsigned i = 0; i < 10; i++)
        add_trace(fake, table, UINT64_C(0x1000) + 16 * i, FAKE_DOMAIN, 5, traceback);
}

static void make_state(struct fake *fake)
{
    const struct tm_stdlib_state_layout *layout = fake->options.family->state;
    fake->slot = FAKE_DATA + 0x800;
    put(fake, fake->slot, fake->table, 8);
    fake->traced_at = fake->slot + layout->traced[0];
    if (!layout->fixed) { /* beside it, the tables of tracebacks and of names */
        for (unsigned i = 1; i <= 2; i++) {
            uint64_t table = make_table(fake, 16, 0, 7);
            put(fake, table + fake->options.family->table->compare, code(20 + i), 8);
            put(fake, fake->slot + 8 * (uint64_t)i, table, 8);
        }
        return;
    }
    put(fake, fake->slot + layout->config, 1, 4);
    put(fake, fake->slot + layout->config + 4, 1, 4);
    put(fake, fake->slot + layout->config + 8, fake->options.nframe, 4);
    for (int i = 0; i < 3; i++) {
        for (int f = 1; f < 5; f++)
            put(fake, fake->slot + layout->allocators + 40 * i + 8 * f, code(10 + f), 8);
    }
}

struct fake *fake_create(const struct fake_options *options)
{
    struct fake *fake = calloc(1, sizeof(*fake));
    uint64_t names[5], tracebacks[8];
    if (!fake || !(fake->data = calloc(1, FAKE_DATA_SIZE)) || !(fake->heap = calloc(1, FAKE_HEAP_SIZE)))
        abort();
    fake->options = *options;
    fake->regions[0] = (struct tm_region){
        .start = FAKE_TEXT,
        .end = FAKE_TEXT + FAKE_TEXT_SIZE,
        .flags = TM_REGION_READ | TM_REGION_EXECUTE,
        .missing = TM_READ_NOT_SAVED,
        .path = "/no/such/libpython3.so",
    };
    fake->regions[1] = (struct tm_region){
        .start = FAKE_DATA,
        .end = FAKE_DATA + FAKE_DATA_SIZE,
        .saved = FAKE_DATA_SIZE,
        .flags = TM_REGION_READ | TM_REGION_WRITE,
        .missing = TM_READ_NOT_SAVED,
        .path = "/no/such/libpython3.so",
    };
    fake->regions[2] = (struct tm_region){
        .start = FAKE_HEAP,
        .end = FAKE_HEAP + FAKE_HEAP_SIZE,
        .saved = FAKE_HEAP_SIZE,
        .flags = TM_REGION_READ | TM_REGION_WRITE,
        .missing = TM_READ_NOT_SAVED,
    };
    fake->target = (struct tm_target){
        .ops = &ops, .regions = fake->regions, .region_count = 3, .name = "fake", .live = options->live};

    for (unsigned i = 0; i < 5; i++)
        names[i] = make_name(fake, i);
    for (unsigned i = 0; i < 8; i++)
        tracebacks[i] = make_traceback(fake, options->nframe, names, i);
    fake->nbuckets = options->nbuckets ? options->nbuckets : 16;
    while (!options->nbuckets && fake->nbuckets < 2 * (uint64_t)options->traces)
        fake->nbuckets *= 2;
    fake->table = make_table(fake, fake->nbuckets, 0, 7);
    fake->buckets = fake_get(fake, fake->table + options->family->table->buckets);
    fake->first_traceback = tracebacks[0];
    fake->first_name = names[0];
    make_state(fake);
    for (unsigned i = 0; i < options->traces; i++)
        add_trace(fake, fake->table, fake_address(i), 0, fake_size(i), tracebacks[i % 8]);
    if (options->foreign)
        add_foreign(fake, tracebacks[3]);
    put(fake, fake->traced_at, fake->bytes, 8);
    put(fake, fake->traced_at + 8, fake->bytes + 1000, 8);
    if (options->version)
        snprintf((char *)fake->data + 0x2000, 128, "%s (main, Jan  1 2026, 10:00:00) [GCC 12.2.0]", options->version);
    return fake;
}

void fake_rehash(struct fake *fake, unsigned moved)
{
    const struct tm_stdlib_table_layout *layout = fake->options.family->table;
    uint64_t nbuckets = 2 * fake->nbuckets, buckets = allocate(fake, nbuckets * 8);
    for (uint64_t bucket = 0; bucket < fake->nbuckets; bucket++) {
        uint64_t entry = fake_get(fake, fake->buckets + bucket * 8);
        for (; entry && moved; moved--) {
            uint64_t next = fake_get(fake, entry);
            uint64_t head = buckets + 8 * (fake_get(fake, entry + layout->entry_hash) & (nbuckets - 1));
            fake_set(fake, entry, fake_get(fake, head));
            fake_set(fake, head, entry);
            entry = next;
        }
    }
    if (layout->rehash_swaps_first) {
        fake_set(fake, fake->table + layout->buckets, buckets);
        fake_set(fake, fake->table + layout->nbuckets, nbuckets);
    } else { /* the one that made it necessary is counted, but not there yet */
        fake_set(fake, fake->table + layout->nentries, fake_get(fake, fake->table + layout->nentries) + 1);
    }
}

void fake_destroy(struct fake *fake)
{
    free(fake->data);
    free(fake->heap);
    free(fake);
}

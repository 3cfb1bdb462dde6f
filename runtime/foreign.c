/* SPDX-License-Identifier: MIT */
/* Blocks that no allocator hook sees: whoever made them tells us (PyTraceMalloc_Track's domain and pointer). */
#include "index.h"
#include "table.h"

#define FOREIGN_CHUNK_SHIFT 14
#define MAX_FOREIGN (UINT64_C(1) << 28)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tm_index known;     /* address, tagged with the domain -> record + 1 */
static struct tm_index known_nil; /* the same at address 0, which is no key: domain + 1 */
static uint32_t first_free;       /* record + 1; linked through `size` */
static uint64_t used_records;
static uint64_t live_records;

void tm_foreign_lock(void)
{
    pthread_mutex_lock(&lock);
}

void tm_foreign_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void tm_foreign_after_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
}

bool tm_foreign_init(void)
{
    return tm_index_init(&known, 8) && tm_index_init(&known_nil, 4) &&
           tm_table_init(&tm_runtime.state->foreign, TM_CHUNK_FOREIGN, sizeof(struct tm_foreign), FOREIGN_CHUNK_SHIFT,
                         MAX_FOREIGN);
}

static uint32_t number_of(uint32_t domain, uint64_t address)
{
    return address ? tm_index_find(&known, address, domain) : tm_index_find(&known_nil, domain + UINT64_C(1), 0);
}

static bool set_number(uint32_t domain, uint64_t address, uint32_t number)
{
    return address ? tm_index_set(&known, address, domain, number)
                   : tm_index_set(&known_nil, domain + UINT64_C(1), 0, number);
}

static struct tm_foreign *record_at(uint32_t number)
{
    return number ? tm_table_at(&tm_runtime.state->foreign, number - 1) : NULL;
}

static struct tm_foreign *find(uint32_t domain, uint64_t address, uint32_t *number)
{
    *number = number_of(domain, address);
    return record_at(*number);
}

/* {domain, stack} is one aligned 8-byte store: layout.h promises it. */
static void publish(struct tm_foreign *record, uint32_t domain, uint32_t stack)
{
    uint64_t both;
    const uint32_t halves[2] = {domain, stack};
    __builtin_memcpy(&both, halves, sizeof(both));
    __atomic_store_n((uint64_t *)&record->domain, both, __ATOMIC_RELEASE);
}

static void retract(struct tm_foreign *record, uint32_t number)
{
    tm_totals_add_shared(record->stack, -(int64_t)record->size, -1);
    publish(record, record->domain, TM_STACK_NONE);
    record->size = first_free;
    first_free = number;
    live_records--;
}

/* The keys of blocks that have gone stay in the index.  Rather than grow for them it is made anew from what lives;
 * nobody reads it without the lock. */
static void sweep(void)
{
    if (!tm_index_is_full(&known) || live_records > tm_index_capacity(&known) / 4)
        return;
    tm_index_clear(&known);
    for (uint32_t number = 1; number <= used_records; number++) {
        const struct tm_foreign *record = record_at(number);
        if (record->stack && record->address)
            tm_index_add(&known, record->address, record->domain, number);
    }
}

static uint32_t take_record(void)
{
    if (first_free) {
        uint32_t number = first_free;
        first_free = (uint32_t)record_at(number)->size;
        return number;
    }
    if (!tm_table_reserve(&tm_runtime.state->foreign, used_records))
        return 0;
    if (++used_records > tm_runtime.state->foreign.count)
        tm_table_publish(&tm_runtime.state->foreign, used_records);
    return (uint32_t)used_records;
}

bool tm_foreign_track(uint32_t domain, uint64_t address, uint64_t size, uint32_t stack)
{
    uint32_t number;
    bool tracked = false;

    if (!stack) /* no memory for it: with this stack the record would be a free one */
        return false;
    tm_foreign_lock();
    if (!tm_is_tracing()) { /* any more: whoever stopped it waits for the lock, and then forgets everything */
        tm_foreign_unlock();
        return true;
    }
    struct tm_foreign *record = find(domain, address, &number);
    if (record)
        retract(record, number);
    number = take_record();
    if (!number)
        goto out;
    record = record_at(number);
    sweep();
    if (!set_number(domain, address, number)) {
        record->size = first_free;
        first_free = number;
        goto out;
    }
    record->address = address;
    record->size = size;
    publish(record, domain, stack);
    tm_totals_add_shared(stack, (int64_t)size, 1);
    live_records++;
    tracked = true;
out:
    tm_foreign_unlock();
    return tracked;
}

void tm_foreign_untrack(uint32_t domain, uint64_t address)
{
    uint32_t number;
    tm_foreign_lock();
    struct tm_foreign *record = find(domain, address, &number);
    if (record) {
        set_number(domain, address, 0);
        retract(record, number);
    }
    tm_foreign_unlock();
}

bool tm_foreign_find(uint32_t domain, uint64_t address, struct tm_foreign *ret)
{
    uint32_t number;
    tm_foreign_lock();
    const struct tm_foreign *record = find(domain, address, &number);
    if (record)
        *ret = *record;
    tm_foreign_unlock();
    return record != NULL;
}

void tm_foreign_clear(void)
{
    tm_foreign_lock();
    tm_index_clear(&known);
    tm_index_clear(&known_nil);
    tm_table_wipe(&tm_runtime.state->foreign);
    first_free = 0;
    live_records = 0;
    used_records = 0; /* the published count stays: wiped records read as free */
    tm_foreign_unlock();
}

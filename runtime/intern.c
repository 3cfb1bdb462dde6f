/* SPDX-License-Identifier: MIT */
/*
 * The slow path: what has never been seen before gets its number here, under one lock.
 *
 *   position   an instruction of a code object, numbered for as long as the code lives: start of the code + offset
 *   location   file, function, line; many positions share one
 *   stack      parent stack + location
 *   path       96-bit hash of the locations of a whole stack (stack_cache.h)
 *
 * Positions end with their code object: its block is flagged in the address map, so the free hook sees it die, and the
 * next code at the same address gets new numbers.  Nothing stale can name a wrong line.  Should a program make so many
 * code objects that the numbers run out, a new generation of them begins.
 *
 * The ways from a position to its location and from a path to its stack are read without the lock.  The former may forget:
 * then the location is found again by what it is.  So programs that make code all day do not make the index grow.
 */
#include "intern.h"
#include "lines.h"
#include "map.h"
#include "record_index.h"
#include "table.h"

/* glibc 2.32 and newer know when a program has one thread; a second one does not begin while that is in here. */
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define ALONE __libc_single_threaded
#else
#define ALONE false
#endif

#define LOCATION_CHUNK_SHIFT 14
#define MAX_LOCATIONS (UINT64_C(1) << 28)
#define MAX_POSITION UINT32_MAX
#define MAX_DEPTH_WALK 1000000
#define FORGETFUL_CAPACITY (UINT64_C(1) << 18) /* entries: 4 MiB */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tm_record_index locations; /* file name, function name, line -> location */

/* Read without the lock. */
static uint32_t generation = 1;
static struct tm_index codes;         /* code object's address, tagged -> what is known of it while it lives */
static struct tm_index positions;     /* position, tagged with the generation -> location */
static struct tm_record_index stacks; /* path -> stack */
static uint32_t next_position = 1;

/* The path of each stack, in chunks as long as those of stacks. */
struct path {
    uint64_t hash;
    uint32_t check;
} __attribute__((packed, aligned(4)));
static struct path *paths[TM_MAX_STACKS >> TM_STACK_CHUNK_SHIFT];

/* Tags of what is known of a code object. */
enum {
    CODE_START, /* position of its first instruction */
    CODE_NAMES, /* a location that has its names */
};

bool tm_intern_lock(void)
{
    if (ALONE)
        return false;
    pthread_mutex_lock(&lock);
    return true;
}

void tm_intern_unlock(bool locked)
{
    if (locked)
        pthread_mutex_unlock(&lock);
}

void tm_intern_after_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
}

static uint64_t pair(uint32_t high, uint32_t low)
{
    return (uint64_t)high << 32 | low;
}

/* ---- records by what they hold ------------------------------------------------------------------------------------------- */

static uint64_t hash_of_names(uint32_t filename, uint32_t name, uint32_t lineno)
{
    return tm_fold(pair(filename, name) ^ UINT64_C(0x9e3779b97f4a7c15), lineno ^ UINT64_C(0xe7037ed1a0b428db));
}

static uint64_t hash_of_location(uint32_t number)
{
    const struct tm_location *location = tm_table_at(&tm_runtime.state->locations, number);
    return hash_of_names(location->filename, location->name, location->lineno);
}

static TM_ALWAYS_INLINE bool is_location(uint32_t number, const void *wanted)
{
    const struct tm_location *location = tm_table_at(&tm_runtime.state->locations, number);
    const struct tm_location *other = wanted;
    return location->lineno == other->lineno && location->name == other->name && location->filename == other->filename;
}

static TM_ALWAYS_INLINE struct path *path_of(uint32_t stack)
{
    return &paths[stack >> TM_STACK_CHUNK_SHIFT][stack % (1 << TM_STACK_CHUNK_SHIFT)];
}

static uint64_t hash_of_stack(uint32_t number)
{
    return path_of(number)->hash;
}

static TM_ALWAYS_INLINE bool is_stack(uint32_t number, const void *wanted)
{
    const struct path *path = path_of(number), *other = wanted;
    return path->hash == other->hash && path->check == other->check;
}

/* ---- stacks ---------------------------------------------------------------------------------------------------------- */

/* Whoever learns a stack's number adds to its totals at once. */
static bool reserve_totals_and_path(uint64_t stack)
{
    struct tm_state *state = tm_runtime.state;
    if (stack >= TM_MAX_STACKS)
        return false;
    for (int shard = 0; shard < TM_SHARDS; shard++) {
        const struct tm_totals *totals = tm_table_reserve(&state->shards[shard].totals, stack);
        if (!totals)
            return false;
        if (shard == TM_SHARD_GIL)
            tm_totals_know((uint32_t)stack, totals);
    }
    struct path **chunk = &paths[stack >> TM_STACK_CHUNK_SHIFT];
    if (!*chunk)
        *chunk = tm_arena_private(sizeof(struct path) << TM_STACK_CHUNK_SHIFT);
    return *chunk;
}

static uint32_t append_stack(uint32_t parent, uint32_t location, uint32_t depth)
{
    struct tm_state *state = tm_runtime.state;
    uint64_t number = state->stacks.count;
    if (number % (1 << TM_STACK_CHUNK_SHIFT) == 0 && !reserve_totals_and_path(number)) /* chunks of all are as long */
        return TM_STACK_NONE;
    struct tm_stack *stack = tm_table_reserve(&state->stacks, number);
    if (!stack)
        return TM_STACK_NONE;
    *stack = (struct tm_stack){.parent = parent, .location = location, .depth = depth};
    stack->check = tm_stack_check((uint32_t)number, stack);
    tm_table_publish(&state->stacks, number + 1);
    return (uint32_t)number;
}

static uint32_t append_location(const struct tm_location *content)
{
    struct tm_table *table = &tm_runtime.state->locations;
    uint64_t number = table->count;
    struct tm_location *location = tm_table_reserve(table, number);
    if (!location)
        return 0;
    *location = *content;
    location->check = tm_location_check((uint32_t)number, location);
    tm_table_publish(table, number + 1);
    return (uint32_t)number;
}

bool tm_intern_init(void)
{
    struct tm_state *state = tm_runtime.state;
    if (!tm_index_init(&codes, 10) || !tm_index_init(&positions, 12) || !tm_strings_init() ||
        !tm_record_index_init(&locations, 12, hash_of_location) || !tm_record_index_init(&stacks, 14, hash_of_stack) ||
        !tm_table_init(&state->locations, TM_CHUNK_LOCATIONS, sizeof(struct tm_location), LOCATION_CHUNK_SHIFT,
                       MAX_LOCATIONS) ||
        !tm_table_init(&state->stacks, TM_CHUNK_STACKS, sizeof(struct tm_stack), TM_STACK_CHUNK_SHIFT, TM_MAX_STACKS))
        return false;
    for (int shard = 0; shard < TM_SHARDS; shard++)
        if (!tm_table_init(&state->shards[shard].totals, TM_CHUNK_TOTALS, sizeof(struct tm_totals),
                           TM_STACK_CHUNK_SHIFT, TM_MAX_STACKS))
            return false;
    uint32_t unknown = tm_intern_bytes("<unknown>", 9);
    if (!unknown)
        return false;
    append_location(&(struct tm_location){.filename = unknown, .name = unknown});
    append_stack(TM_STACK_NONE, 0, 0); /* TM_STACK_NONE */
    append_stack(TM_STACK_NONE, 0, 1); /* TM_STACK_UNKNOWN */
    return state->locations.count == 1 && state->stacks.count == 2;
}

static PyObject *name_of(const PyCodeObject *code)
{
#if PY_VERSION_HEX >= 0x030B0000
    return code->co_qualname;
#else
    return code->co_name;
#endif
}

/* `lasting`: the death of the code object will be noticed. */
static uint32_t intern_location(const PyCodeObject *code, uintptr_t instruction, bool lasting)
{
    uint32_t known = lasting ? tm_index_find(&codes, (uintptr_t)code, CODE_NAMES) : 0;
    struct tm_location wanted = {0};
    if (known) {
        wanted = *(const struct tm_location *)tm_table_at(&tm_runtime.state->locations, known);
    } else {
        wanted.filename = tm_intern_string(code->co_filename);
        wanted.name = tm_intern_string(name_of(code));
        if (!wanted.filename || !wanted.name)
            return 0;
    }
    wanted.lineno = tm_code_line(code, tm_frame_offset(code, instruction), lasting);

    uint64_t hash = hash_of_names(wanted.filename, wanted.name, wanted.lineno);
    uint32_t location;
    uint32_t *place = tm_record_index_find(&locations, hash, is_location, &wanted, &location);
    if (!location) {
        location = append_location(&wanted);
        if (!location || !tm_record_index_add(&locations, place, hash, location))
            return 0;
    }
    if (lasting && !known && !tm_index_set(&codes, (uintptr_t)code, CODE_NAMES, location))
        return 0;
    return location;
}

/* Frames from this one outwards; what tracemalloc calls total_nframe.  Asked once per outermost stack of a cache. */
static uint32_t depth_from(const tm_frame *frame)
{
    uint32_t depth = 0;
    for (int steps = 0; frame && steps < MAX_DEPTH_WALK; frame = tm_frame_older(frame), steps++)
        depth += tm_frame_code(frame) != NULL;
    return depth;
}

/* ---- code objects ----------------------------------------------------------------------------------------------------- */

static void forget_code(void)
{
    tm_lines_forget_all();
    tm_index_clear(&codes);
    tm_index_clear(&positions);
    next_position = 1;
    __atomic_store_n(&generation, generation + 1, __ATOMIC_SEQ_CST);
    tm_next_epoch();
}

bool tm_code_lies_at(uintptr_t address)
{
    uint64_t *slot = tm_map_slot(address);
    if (slot && !(__atomic_load_n(slot, __ATOMIC_RELAXED) & TM_SLOT_CODE))
        __atomic_fetch_or(slot, TM_SLOT_CODE, __ATOMIC_RELAXED);
    return slot;
}

static uint32_t register_code(PyCodeObject *code)
{
    uint64_t needed = tm_code_units(code) + 1; /* one more: a frame may stand before its first instruction */
    if (needed >= MAX_POSITION - next_position)
        forget_code();
    /* The code object's block begins with the object: its type has no GC head in GIL builds, none at all without GIL. */
    bool known = tm_code_never_dies(code) || tm_code_lies_at((uintptr_t)code);
    uint32_t start = next_position + 1;
    if (needed >= MAX_POSITION - next_position || !known || !tm_index_set(&codes, (uintptr_t)code, CODE_START, start))
        return 0;
    next_position += (uint32_t)needed;
    return start;
}

/* Position of a code object's first instruction, numbered if need be; 0: no memory.  Holds until the epoch changes. */
static uint32_t code_start(void *code)
{
    uint32_t start = tm_index_find(&codes, (uintptr_t)code, CODE_START);
    if (TM_LIKELY(start))
        return start;
    bool locked = tm_intern_lock();
    start = tm_index_find(&codes, (uintptr_t)code, CODE_START);
    if (!start)
        start = register_code(code);
    tm_intern_unlock(locked);
    return start;
}

void tm_code_died(uintptr_t address)
{
    bool locked = tm_intern_lock();
    tm_lines_forget(address);
    tm_index_set(&codes, address, CODE_START, 0);
    tm_index_set(&codes, address, CODE_NAMES, 0);
    tm_next_epoch();
    tm_intern_unlock(locked);
}

void tm_code_forget_all(void)
{
    bool locked = tm_intern_lock();
    forget_code();
    tm_intern_unlock(locked);
}

/* ---- from a frame to a stack ---------------------------------------------------------------------------------------------- */

uint32_t tm_intern_find(uint64_t path, uint32_t check)
{
    uint32_t stack;
    tm_record_index_find(&stacks, path, is_stack, &(struct path){path, check}, &stack);
    return stack;
}

uint32_t tm_intern_stack(uint64_t path, uint32_t check, uint32_t parent, uint32_t location, const void *frame)
{
    uint32_t stack;
    const struct path wanted = {path, check};
    uint32_t *place = tm_record_index_find(&stacks, path, is_stack, &wanted, &stack);
    if (stack)
        return stack;
    const struct tm_stack *below = parent ? tm_table_at(&tm_runtime.state->stacks, parent) : NULL;
    stack = append_stack(parent, location, below ? below->depth + 1 : depth_from(frame));
    if (!stack)
        return TM_STACK_NONE;
    *path_of(stack) = wanted;
    return tm_record_index_add(&stacks, place, path, stack) ? stack : TM_STACK_NONE;
}

/* Positions of code that has died are never asked for again, and rather than grow for them, a big index begins anew.  Without
 * the entry: slower, not wrong. */
static void remember_location(uint32_t position, uint32_t location)
{
    if (tm_index_is_full(&positions) && tm_index_capacity(&positions) >= FORGETFUL_CAPACITY &&
        tm_index_capacity(&positions) >= 8 * tm_runtime.state->stacks.count)
        tm_index_clear(&positions);
    tm_index_add(&positions, position, generation, location);
}

uint32_t tm_intern_location(void *code, uintptr_t instruction, bool *lasting)
{
    uint32_t tag = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
    uint32_t start = code_start(code);
    uint32_t position = start ? start + (uint32_t)tm_frame_offset(code, instruction) : 0;
    uint32_t location = position ? tm_index_find(&positions, position, tag) : 0;

    *lasting = position != 0;
    if (TM_LIKELY(location))
        return location;
    bool locked = tm_intern_lock();
    location = intern_location(code, instruction, position && tag == generation);
    if (location && position && tag == generation && !tm_index_find(&positions, position, tag))
        remember_location(position, location);
    tm_intern_unlock(locked);
    tm_foreign_calls_redirect(); /* new code: a module may have been loaded */
    return location;
}

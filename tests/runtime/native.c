/* SPDX-License-Identifier: MIT */
/*
 * Threads that Python does not know, for programs that load this with ctypes: they call the raw allocator, which needs no
 * GIL.  The allocator's functions come as pointers, so that one build serves every interpreter.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
} allocator;

typedef struct {
    const allocator *raw;
    uint64_t seed;
    size_t steps;
    size_t keep;
    size_t *sizes; /* of what it keeps */
    void **blocks;
} worker;

static atomic_bool stop_background;
static pthread_t background[64];
static int background_count;
static allocator background_raw;

static uint32_t next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33);
}

static size_t some_size(uint64_t *seed)
{
    return 1 + next(seed) % 240;
}

static void *allocate(const allocator *raw, size_t size, uint32_t how)
{
    return how % 4 == 0 ? raw->calloc(1, size) : raw->malloc(size);
}

/* Fills, replaces and reallocates a set of blocks; leaves all of it alive. */
static void *work(void *argument)
{
    worker *self = argument;
    for (size_t i = 0; i < self->keep; i++) {
        self->sizes[i] = some_size(&self->seed);
        self->blocks[i] = allocate(self->raw, self->sizes[i], (uint32_t)i);
    }
    for (size_t step = 0; step < self->steps && self->keep; step++) {
        size_t i = next(&self->seed) % self->keep;
        size_t size = some_size(&self->seed);
        if (step % 5 == 0) {
            self->blocks[i] = self->raw->realloc(self->blocks[i], size);
        } else {
            self->raw->free(self->blocks[i]);
            self->blocks[i] = allocate(self->raw, size, (uint32_t)step);
        }
        self->sizes[i] = size;
    }
    return NULL;
}

/* `threads` of them at once, each with `keep` live blocks at the end, whose sizes and addresses are given. */
int native_storm(const allocator *raw, int threads, size_t steps, size_t keep, size_t *sizes, void **blocks)
{
    pthread_t running[64];
    worker workers[64];
    for (int i = 0; i < threads; i++) {
        workers[i] = (worker){raw, (uint64_t)i + 1, steps, keep, sizes + (size_t)i * keep, blocks + (size_t)i * keep};
        if (pthread_create(&running[i], NULL, work, &workers[i]))
            return -1;
    }
    for (int i = 0; i < threads; i++)
        pthread_join(running[i], NULL);
    return 0;
}

static void *storm_on(void *argument)
{
    uint64_t seed = (uintptr_t)argument;
    void *blocks[256] = {0};
    while (!atomic_load(&stop_background)) {
        uint32_t i = next(&seed) % 256;
        background_raw.free(blocks[i]);
        blocks[i] = allocate(&background_raw, some_size(&seed), i);
    }
    for (int i = 0; i < 256; i++)
        background_raw.free(blocks[i]);
    return NULL;
}

/* The same without an end, until native_background_stop(). */
int native_background_start(const allocator *raw, int threads)
{
    background_raw = *raw;
    atomic_store(&stop_background, false);
    for (background_count = 0; background_count < threads; background_count++)
        if (pthread_create(&background[background_count], NULL, storm_on, (void *)(uintptr_t)(background_count + 1)))
            return -1;
    return 0;
}

void native_background_stop(void)
{
    atomic_store(&stop_background, true);
    while (background_count)
        pthread_join(background[--background_count], NULL);
}

/* ---- blocks freed by the destructors of a thread that ends --------------------------------------------------------- */

#define LAST_BLOCKS 64

static pthread_key_t first_key;
static pthread_key_t last_key;

static void free_last_blocks(void *argument)
{
    void **blocks = argument;
    for (int i = 0; i < LAST_BLOCKS; i++)
        background_raw.free(blocks[i]);
    free(blocks);
}

/* Destructors run in rounds: what a first one sets anew runs after the destructors of everybody else. */
static void pass_on(void *argument)
{
    pthread_setspecific(last_key, argument);
}

static void *end_with_blocks(void *argument)
{
    (void)argument;
    void **blocks = malloc(sizeof(*blocks) * LAST_BLOCKS);
    for (int i = 0; i < LAST_BLOCKS; i++)
        blocks[i] = background_raw.malloc(100);
    pthread_setspecific(first_key, blocks);
    return NULL;
}

/* So many threads, one after the other, that free blocks when nothing else of them is left. */
int native_short_threads(const allocator *raw, int count)
{
    static bool have_keys;
    background_raw = *raw;
    if (!have_keys && (pthread_key_create(&last_key, free_last_blocks) || pthread_key_create(&first_key, pass_on)))
        return -1;
    have_keys = true;
    for (int i = 0; i < count; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, end_with_blocks, NULL))
            return -1;
        pthread_join(thread, NULL);
    }
    return 0;
}

/* ---- after the interpreter's end ------------------------------------------------------------------------------------ */

static void *late_block;

static void after_the_end(void)
{
    background_raw.free(late_block);
    void *block = background_raw.malloc(1000);
    block = background_raw.realloc(block, 2000);
    background_raw.free(block);
}

int native_late(const allocator *raw)
{
    background_raw = *raw;
    late_block = raw->malloc(500);
    return atexit(after_the_end);
}

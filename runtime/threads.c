/* SPDX-License-Identifier: MIT */
/* A record per thread: made at its first allocation, handed to a later thread after its end. */
#define _GNU_SOURCE 1
#include <linux/membarrier.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tstate.h"

struct tm_thread tm_nobody = {.busy = 1};
__thread struct tm_thread *tm_self __attribute__((tls_model("initial-exec"))) = &tm_nobody;

/* What a thread has after its record was given away: allocations of later destructors are not traced. */
static struct tm_thread departed = {.busy = 1, .shard = 1};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tm_thread *all_threads;
static struct tm_thread *free_threads;
static uint32_t thread_count;
static pthread_key_t key;

static void thread_ends(void *argument)
{
    struct tm_thread *thread = argument;
    tm_self = &departed;
    __atomic_store_n(&thread->busy, 0, __ATOMIC_RELEASE); /* CPython may end a thread that is making an answer */
    pthread_mutex_lock(&lock);
    thread->next_free = free_threads;
    free_threads = thread;
    pthread_mutex_unlock(&lock);
}

bool tm_threads_init(void)
{
    if (pthread_key_create(&key, thread_ends))
        return false;
    /* Private expedited barriers (Linux 4.14) let quiescing do without a fence in every hook. */
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    return true;
}

struct tm_thread *tm_thread_create(void)
{
    struct tm_thread *thread;

    tm_self = &departed; /* pthread_setspecific may allocate */
    pthread_mutex_lock(&lock);
    thread = free_threads;
    if (thread) {
        free_threads = thread->next_free;
    } else {
        thread = tm_arena_private(sizeof(*thread));
        if (thread) {
            thread->shard = 1 + thread_count % (TM_SHARDS - 1);
            if (thread_count++ < TM_THREADS_WITH_FOLLOWERS)
                thread->followers = tm_arena_private(sizeof(*thread->followers) << TM_FOLLOWER_BITS);
            thread->next = all_threads;
            __atomic_store_n(&all_threads, thread, __ATOMIC_RELEASE);
        }
    }
    pthread_mutex_unlock(&lock);
    if (!thread) {
        tm_self = &tm_nobody;
        return NULL;
    }
    thread->tstate_place = &tm_tstate_nowhere;
    thread->epoch = 0; /* the cache is somebody else's, or not there yet */
    pthread_setspecific(key, thread);
    tm_self = thread;
    return thread;
}

void tm_threads_quiesce(void)
{
    struct tm_thread *self = tm_self;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    for (struct tm_thread *thread = __atomic_load_n(&all_threads, __ATOMIC_ACQUIRE); thread; thread = thread->next)
        while (thread != self && __atomic_load_n(&thread->busy, __ATOMIC_ACQUIRE) == 1)
            sched_yield();
}

/* Only the forking thread lives on in the child. */
void tm_threads_after_fork_child(void)
{
    struct tm_thread *self = tm_self;

    pthread_mutex_init(&lock, NULL);
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    free_threads = NULL;
    for (struct tm_thread *thread = all_threads; thread; thread = thread->next) {
        if (thread == self)
            continue;
        thread->busy = 0;
        thread->next_free = free_threads;
        free_threads = thread;
    }
}

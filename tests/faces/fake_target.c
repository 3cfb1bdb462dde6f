/* SPDX-License-Identifier: MIT */
/*
 * A process with a small trace table that no Python made: what the faces are tested on.
 *
 *   fake_target SOURCE FACTS abort|wait|filtered|none
 *
 * The table says that lines of SOURCE allocated a few blocks; FACTS gets the addresses as JSON once all stands.  Then it
 * dies with a core (`abort`), sleeps to be attached to (`wait`), dies with the leaf of its map not dumped, as a
 * coredump_filter would have it (`filtered`), or dies without ever having had a table (`none`).
 *
 * It is written from runtime/layout.h alone, in the plainest way: every table has one chunk, nothing is concurrent.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../../runtime/layout.h"

_Alignas(TM_ROOT_ALIGN) struct tm_root tm_root = {.byte_order = 1}; /* not all zero: in .data, as the runtime's */
static struct tm_state *state;

static void *map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        abort();
    return memory;
}

static struct tm_chunk *chunk(uint32_t kind, uint32_t index, uint32_t data_offset, uint32_t element_size,
                              uint64_t capacity)
{
    size_t bytes = (data_offset + element_size * capacity + 4095) & ~(size_t)4095;
    struct tm_chunk *head = map(bytes);
    *head = (struct tm_chunk){.magic = TM_CHUNK_MAGIC,
                              .kind = kind,
                              .index = index,
                              .self = (uint64_t)head,
                              .bytes = bytes,
                              .data_offset = data_offset,
                              .element_size = element_size,
                              .capacity = capacity,
                              .used = capacity};
    if (state)
        state->table_bytes += bytes;
    return head;
}

static void *data(struct tm_chunk *head)
{
    return (char *)head + head->data_offset;
}

static struct tm_chunk *table(struct tm_table *ret, uint32_t kind, uint32_t element_size, uint32_t shift)
{
    struct tm_chunk *directory = chunk(TM_CHUNK_DIRECTORY, 0, sizeof(struct tm_chunk), 8, 8);
    struct tm_chunk *first = chunk(kind, 0, sizeof(struct tm_chunk), element_size, UINT64_C(1) << shift);
    first->used = 0;
    ((uint64_t *)data(directory))[0] = (uint64_t)first;
    *ret = (struct tm_table){.directory = (uint64_t)directory,
                             .kind = kind,
                             .element_size = element_size,
                             .chunk_shift = shift,
                             .directory_capacity = 8};
    return first;
}

static void *append(struct tm_chunk *first, struct tm_table *to, uint64_t elements)
{
    void *at = (char *)data(first) + to->count * first->element_size;
    to->count += elements;
    first->used = to->count;
    return at;
}

static struct tm_chunk *strings, *locations, *stacks, *totals, *foreign;

static uint32_t string(const char *text)
{
    size_t length = strlen(text);
    if (!state->strings.count)
        append(strings, &state->strings, 1); /* string 0 does not exist */
    uint32_t ref = (uint32_t)state->strings.count;
    struct tm_string *to = append(strings, &state->strings, (sizeof *to + length + 1 + 7) / 8);
    to->length = (uint32_t)length;
    to->check = tm_string_check(ref, (const uint8_t *)text, to->length);
    memcpy(to + 1, text, length + 1);
    return ref;
}

static uint32_t location(const char *filename, const char *name, uint32_t lineno)
{
    uint32_t index = (uint32_t)state->locations.count;
    struct tm_location *to = append(locations, &state->locations, 1);
    *to = (struct tm_location){string(filename), string(name), lineno, 0};
    to->check = tm_location_check(index, to);
    return index;
}

static uint32_t stack(uint32_t parent, uint32_t where)
{
    uint32_t index = (uint32_t)state->stacks.count;
    uint32_t depth = parent ? ((struct tm_stack *)data(stacks))[parent].depth + 1 : 1;
    struct tm_stack *to = append(stacks, &state->stacks, 1);
    *to = (struct tm_stack){parent, where, depth, 0};
    to->check = tm_stack_check(index, to);
    return index;
}

static uint64_t *slot(uint64_t address)
{
    uint64_t *high = (uint64_t *)data((struct tm_chunk *)state->map);
    uint64_t *to_low = &high[address >> (TM_LEAF_ADDRESS_BITS + TM_DIRECTORY_BITS)];
    if (!*to_low)
        *to_low = (uint64_t)chunk(TM_CHUNK_DIRECTORY, (uint32_t)(address >> (TM_LEAF_ADDRESS_BITS + TM_DIRECTORY_BITS)),
                                  sizeof(struct tm_chunk), 8, 1 << TM_DIRECTORY_BITS);
    uint64_t *low = data((struct tm_chunk *)*to_low);
    uint64_t *to_leaf = &low[(address >> TM_LEAF_ADDRESS_BITS) & ((1 << TM_DIRECTORY_BITS) - 1)];
    if (!*to_leaf) {
        *to_leaf = (uint64_t)chunk(TM_CHUNK_LEAF, (uint32_t)(address >> TM_LEAF_ADDRESS_BITS), TM_LEAF_DATA_OFFSET, 8,
                                   1 << TM_LEAF_SLOT_BITS);
        state->leaf_count++;
    }
    uint64_t *leaf = data((struct tm_chunk *)*to_leaf);
    return &leaf[(address >> TM_GRANULE_BITS) & ((1 << TM_LEAF_SLOT_BITS) - 1)];
}

static void total(uint32_t in, int64_t bytes)
{
    struct tm_totals *to = (struct tm_totals *)data(totals) + in;
    to->bytes += bytes;
    to->blocks += TM_COUNT_STEP;
    state->shards[0].live_bytes += bytes;
    if ((uint64_t)state->shards[0].live_bytes > state->shards[0].peak)
        state->shards[0].peak = (uint64_t)state->shards[0].live_bytes;
}

/* `bytes` of a block at a granule that is surely nobody else's. */
static char *block(char **arena, uint32_t in, uint64_t bytes)
{
    char *at = *arena;
    *arena += (bytes + 15) & ~UINT64_C(15);
    *slot((uint64_t)at) = (uint64_t)in << TM_SLOT_STACK_SHIFT | bytes;
    total(in, (int64_t)bytes);
    return at;
}

/* What the tests ask for.  Volatile locals and the registers of this very frame, so that no unwinder is in the way. */
static void die(char *leaked, char *object, int how)
{
    struct holder {
        long refcnt;
        void *type;
        char *inner;
    } holder = {1, NULL, object};
    char *volatile block_variable = leaked;
    char *volatile *pointer = &block_variable;
    struct tm_root *volatile root = &tm_root;
    long ret = SYS_kill;
    if (!how) {
        for (;;) {
            ret = SYS_pause; /* here, not in the C library: a debugger finds these variables, and rdi is the block */
            __asm__ volatile("syscall"
                             : "+a"(ret)
                             : "D"(leaked), "m"(holder), "m"(pointer), "m"(root)
                             : "rcx", "r11", "memory");
        }
    }
    /* r12 carries the block into the core, as a register would hold an argument */
    __asm__ volatile("mov %[block], %%r12\n\tsyscall"
                     : "+a"(ret)
                     : "D"((long)getpid()), "S"((long)SIGABRT), [block] "r"(leaked), "m"(holder), "m"(pointer),
                       "m"(root)
                     : "r12", "rcx", "r11", "memory");
    _exit(1);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    const char *source = argv[1], *mode = argv[3];
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); /* Yama: the debugger is not our parent */
    char *arena = map(1 << 22);
    char *leaked = arena, *object = arena + 64;
    if (strcmp(mode, "none") != 0) {
        struct tm_chunk *head = chunk(TM_CHUNK_STATE, 0, sizeof(struct tm_chunk), sizeof(struct tm_state), 1);
        state = data(head);
        state->tracing = 1;
        state->frame_limit = 25;
        state->started = UINT64_C(1700000000000000000); /* fixed, so that answers can be compared between processes */
        state->check = tm_state_check(state);
        state->table_bytes = head->bytes;
        state->shard_count = 1;
        state->map = (uint64_t)chunk(TM_CHUNK_DIRECTORY, 0, sizeof(struct tm_chunk), 8, 1 << TM_DIRECTORY_BITS);
        strings = table(&state->strings, TM_CHUNK_STRINGS, TM_STRING_UNIT, 12);
        locations = table(&state->locations, TM_CHUNK_LOCATIONS, sizeof(struct tm_location), 8);
        stacks = table(&state->stacks, TM_CHUNK_STACKS, sizeof(struct tm_stack), 8);
        foreign = table(&state->foreign, TM_CHUNK_FOREIGN, sizeof(struct tm_foreign), 8);
        totals = table(&state->shards[0].totals, TM_CHUNK_TOTALS, sizeof(struct tm_totals), 8);
        totals->used = totals->capacity;

        location("<unknown>", "", 0);
        uint32_t call = location(source, "main", 8), leak = location(source, "Cache.put", 4);
        uint32_t key = location(source, "main", 7), other = location("/nowhere/gone \xc3\xa9\x1b[31m.py", "gone", 33);
        append(stacks, &state->stacks, 1); /* TM_STACK_NONE */
        stack(TM_STACK_NONE, 0);           /* TM_STACK_UNKNOWN */
        uint32_t in_main = stack(TM_STACK_NONE, call), in_leak = stack(in_main, leak),
                 in_key = stack(TM_STACK_NONE, key);
        uint32_t in_other = stack(in_main, other);

        leaked = block(&arena, in_leak, 1000);
        object = block(&arena, in_key, 48);
        for (int i = 0; i < 500; i++)
            block(&arena, in_leak, 1000);
        for (int i = 0; i < 40; i++)
            block(&arena, in_key, 48);
        block(&arena, in_other, 3000);
        block(&arena, TM_STACK_UNKNOWN, 72);
        struct tm_foreign *gpu = append(foreign, &state->foreign, 1);
        *gpu = (struct tm_foreign){.address = 0xdeadbeef, .size = 4096, .domain = 7, .stack = in_key};
        total(in_key, 4096);

        static const uint8_t magic[16] = TM_ROOT_MAGIC;
        tm_root = (struct tm_root){.byte_order = TM_BYTE_ORDER,
                                   .layout_version = TM_LAYOUT_VERSION,
                                   .self = (uint64_t)&tm_root,
                                   .state = (uint64_t)head,
                                   .root_size = sizeof(struct tm_root),
                                   .state_size = sizeof(struct tm_state),
                                   .chunk_size = sizeof(struct tm_chunk),
                                   .table_size = sizeof(struct tm_table),
                                   .shard_size = sizeof(struct tm_shard),
                                   .pid = (uint32_t)getpid(),
                                   .python_version = 0x030c01f0,
                                   .granule_bits = TM_GRANULE_BITS,
                                   .leaf_slot_bits = TM_LEAF_SLOT_BITS,
                                   .directory_bits = TM_DIRECTORY_BITS,
                                   .runtime_version = "0.1.0",
                                   .python = "3.12.1"};
        memcpy(tm_root.magic, magic, sizeof magic);
        if (strcmp(mode, "filtered") == 0) { /* the map's and the totals' pages are not in the core */
            uint64_t *high = data((struct tm_chunk *)state->map);
            uint64_t *low =
                data((struct tm_chunk *)high[(uint64_t)leaked >> (TM_LEAF_ADDRESS_BITS + TM_DIRECTORY_BITS)]);
            uint64_t leaf = low[((uint64_t)leaked >> TM_LEAF_ADDRESS_BITS) & ((1 << TM_DIRECTORY_BITS) - 1)];
            madvise((void *)leaf, ((struct tm_chunk *)leaf)->bytes, MADV_DONTDUMP);
            madvise(totals, totals->bytes, MADV_DONTDUMP);
        }
    }
    FILE *facts = fopen(argv[2], "w");
    if (!facts)
        return 1;
    fprintf(facts, "{\"pid\": %d, \"root\": %lu, \"leaked\": %lu, \"object\": %lu, \"free\": %lu}\n", (int)getpid(),
            (unsigned long)&tm_root, (unsigned long)leaked, (unsigned long)object, (unsigned long)arena + 4096);
    fclose(facts);
    die(leaked, object, strcmp(mode, "wait") != 0);
}

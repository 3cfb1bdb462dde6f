/* SPDX-License-Identifier: MIT */
/* A command line out of a stack: this program's own, and what is left of it when it is bent or cut. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "reader/target.h"

#define MOST (16 << 10)

struct stack {
    struct tm_target target;
    struct tm_region region;
    uint8_t *bytes; /* of their own, so that a sanitizer sees their end */
};

static struct tm_fault copy(struct tm_target *target, uint64_t address, void *buffer, uint64_t size)
{
    const struct stack *stack = (struct stack *)target;
    if (address < stack->region.start || size > stack->region.end - address)
        return (struct tm_fault){TM_READ_UNMAPPED, address};
    memcpy(buffer, stack->bytes + (address - stack->region.start), size);
    return (struct tm_fault){TM_READ_OK, address + size};
}

static const struct tm_target_ops ops = {.read = copy};

/* The end of this program's stack, of `size` bytes at most. */
static void load(struct stack *stack, uint64_t size)
{
    unsigned long start = 0, end = 0;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) && !strstr(line, "[stack]"))
        ;
    fclose(maps);
    assert_int_equal(sscanf(line, "%lx-%lx", &start, &end), 2);
    size = size < end - start ? size : end - start;
    *stack = (struct stack){
        .region = {.start = end - size, .end = end, .saved = size, .flags = 6, .path = "[stack]"},
        .bytes = malloc(size),
    };
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC); /* what a sanitizer has in it is none of its business */
    assert_int_equal(pread(memory, stack->bytes, size, (off_t)(end - size)), size);
    close(memory);
}

static char *ask(struct stack *stack)
{
    stack->target = (struct tm_target){
        .ops = &ops, .regions = &stack->region, .region_count = 1, .name = (char *)"fake", .still = true};
    return tm_target_command_line(&stack->target);
}

static void own(void **state)
{
    struct stack stack;
    char expected[4096] = "";
    (void)state;
    int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t size = read(file, expected, sizeof(expected) - 1);
    close(file);
    assert_true(size > 1);
    for (ssize_t i = 0; i < size - 1; i++)
        expected[i] = expected[i] ? expected[i] : ' ';
    expected[255] = 0;

    load(&stack, UINT64_MAX);
    char *found = ask(&stack);
    assert_string_equal(found ? found : "nothing", expected);
    free(found);
    stack.region.path = "[heap]";
    assert_null(ask(&stack));
    free(stack.bytes);
}

static void bent(void **state)
{
    static const uint8_t masks[] = {0x01, 0x08, 0x80, 0xff};
    struct stack stack;
    unsigned found = 0;
    (void)state;
    load(&stack, MOST);
    uint64_t size = stack.region.end - stack.region.start;
    for (uint64_t i = 0; i < size; i++) {
        for (size_t k = 0; k < sizeof(masks); k++) {
            stack.bytes[i] ^= masks[k];
            char *text = ask(&stack);
            found += text != NULL;
            assert_true(!text || strlen(text) <= 255);
            free(text);
            stack.bytes[i] ^= masks[k];
        }
    }
    assert_true(found > 0);
    free(stack.bytes);
}

static void cut(void **state)
{
    struct stack stack;
    (void)state;
    for (uint64_t size = 0; size <= MOST; size = size < 256 ? size + 1 : size + 8) {
        load(&stack, size);
        free(ask(&stack));
        free(stack.bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own),
        cmocka_unit_test(bent),
        cmocka_unit_test(cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Commands as faces give them: answers, statuses, and errors that tell what to type next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "fake.h"
#include "reader/text.h"

#define HEAP UINT64_C(0x7e0000000000)

static struct fake fake;
static struct fake_core core;
static struct fake_face face;
static char command[512];

static int set_up(void **state)
{
    (void)state;
    fake_init(&fake);
    uint32_t outer = fake_stack(&fake, TM_STACK_NONE, fake_location(&fake, "/src/a.py", "main", 10));
    /* an escape sequence, a lone surrogate, a byte that is not UTF-8, a quote */
    uint32_t odd = fake_location(&fake, "/src/\x1b[31m\xed\xb3\xbf\xff\"\xc3\xa9.py", "f", 1);
    fake_block(&fake, HEAP, 5000000, outer);
    fake_block(&fake, HEAP + (8 << 20), 100, fake_stack(&fake, outer, odd));
    fake_core_init(&core, &fake);
    fake_face_init(&face);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_deinit(&fake);
    return 0;
}

/* format: %s is the core's path */
static int run(const char *format)
{
    const char *path = strstr(format, "%s");
    if (path)
        snprintf(command, sizeof(command), "%.*s%s%s", (int)(path - format), format, fake_core_write(&core), path + 2);
    else
        snprintf(command, sizeof(command), "%s", format);
    return fake_run(&face, command);
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no '%s' in: %s", part, text);
}

static void top_as_text(void **state)
{
    (void)state;
    assert_int_equal(run("top %s"), 0);
    assert_has(face.out, "pid 1234, CPython 3.12.1, tm 0.1.0, 25 frames\n"
                         "4883 KiB in 2 blocks, peak 4883 KiB\n"
                         "\n"
                         "/src/a.py:10: size=4883 KiB, count=1, average=4883 KiB\n");
    assert_has(face.out, "/src/\\x1b[31m\\udcff\\xff\"\xc3\xa9.py:1: size=100 B, count=1, average=100 B\n");
    assert_int_equal(run("top %s 1"), 0);
    assert_has(face.out, "1 other: size=100 B, count=1, average=100 B\n");
    assert_int_equal(run("top --by function %s"), 0);
    assert_has(face.out, "main (/src/a.py): size=");
    assert_int_equal(run("top %s -b traceback"), 0);
    assert_has(face.out, "  File \"/src/a.py\", line 10, in main\n");
    assert_string_equal(face.err, "");
}

static void json_is_valid_whatever_the_names(void **state)
{
    (void)state;
    assert_int_equal(run("top %s --json --by traceback"), 0);
    assert_has(face.out,
               "\"source\": \"pid 1234, CPython 3.12.1, tm\", \"tracing\": true, \"group_by\": \"traceback\"");
    assert_has(face.out, "\"total\": { \"size\": 5000100, \"count\": 2, \"peak\": 5000100, \"lost\": 0 }");
    assert_has(face.out,
               "\"filename\": \"/src/\\u001b[31m\\udcff\\udcff\\\"\xc3\xa9.py\", \"lineno\": 1, \"name\": \"f\"");
    struct json_object *answer = json_tokener_parse(face.out), *stats, *frames;
    assert_non_null(answer);
    assert_true(json_object_object_get_ex(answer, "stats", &stats));
    assert_int_equal(json_object_array_length(stats), 2);
    assert_true(json_object_object_get_ex(json_object_array_get_idx(stats, 1), "traceback", &frames));
    assert_int_equal(json_object_array_length(frames), 2);
    json_object_put(answer);
    static const char *const others[] = {"info %s -j", "blocks %s -j", "check %s -j", "traceback %s -j 0x7e0000000001"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(run(others[i]), 0);
        answer = json_tokener_parse(face.out);
        assert_non_null(answer);
        json_object_put(answer);
    }
}

static void all_faces_say_the_same(void **state)
{
    (void)state;
    static const char *const questions[] = {
        "top %s --json",
        "top %s -b traceback -j",
        "blocks %s",
        "check %s --json",
        "traceback %s 0x7e00000000ff --json",
        "traceback %s 99",
        "top %s --by function",
    };
    static struct fake_face callbacks, debugger;
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
        int status = run(questions[i]);
        snprintf(command, sizeof(command), "%.*s%s", (int)strcspn(questions[i], "%") - 1, questions[i],
                 strchr(questions[i], '%') + 2);
        fake_face_callbacks(&callbacks, &core);
        assert_int_equal(fake_run(&callbacks, command), status);
        assert_string_equal(callbacks.out, face.out);
        assert_string_equal(callbacks.err, face.err);
        assert_true(callbacks.reads < 80); /* big blocks, not words */
        fake_face_init(&debugger);
        debugger.face.core_file = fake_core_write(&core);
        assert_int_equal(fake_run(&debugger, command), status);
        assert_string_equal(debugger.out, face.out);
    }
}

/* A debugger that reads zeros where the core lacks something still gives a lower bound, not a wrong number. */
static void zeros_are_not_believed(void **state)
{
    (void)state;
    fake_face_callbacks(&face, &core);
    uint64_t totals = fake.state->shards[0].totals.directory - FAKE_ARENA;
    core.segments[1].file = totals;
    assert_int_equal(fake_run(&face, "top"), TM_STATUS_LOWER_BOUND);
    assert_has(face.out, "\nat least ");
    assert_has(face.out, "lower bound: part of the table is missing\n  ");
    assert_int_equal(fake_run(&face, "top -j"), TM_STATUS_LOWER_BOUND);
    assert_has(face.out, "\"incomplete\": [ \"");
}

static void check_finds_what_differs(void **state)
{
    (void)state;
    assert_int_equal(run("check %s"), 0);
    assert_has(face.out, "totals: 5000100 bytes in 2 blocks\nscan:   5000100 bytes in 2 blocks\nall is well\n");
    fake_totals(&fake, 0, 2)->blocks += TM_COUNT_STEP;
    assert_int_equal(run("check %s"), TM_STATUS_LOWER_BOUND);
    assert_has(face.out, "stack 2 (/src/a.py:10): the totals say 5000000 bytes in 2 blocks, the scan 5000000 in 1\n");
}

static void big_blocks(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 30; i++)
        fake_block(&fake, HEAP + (16 << 20) + i * 4096, 10 * i, 2);
    fake_core_init(&core, &fake);
    assert_int_equal(run("blocks %s --limit 3 --min-size 280"), 0);
    assert_has(face.out, "0x7e0000000000: size=4883 KiB, /src/a.py:10\n"
                         "0x7e000101d000: size=290 B, /src/a.py:10\n"
                         "0x7e000101c000: size=280 B, /src/a.py:10\n");
    assert_int_equal(run("blocks %s -l 2 -m 1K"), 0);
    assert_null(strstr(face.out, "other"));
}

static int32_t evaluate(void *data, const char *expression, uint64_t *ret, char *message, uint64_t room)
{
    (void)data;
    snprintf(message, room, "No symbol in current context");
    *ret = HEAP + 16;
    return strcmp(expression, "&block + 1") ? -1 : 0;
}

static void addresses(void **state)
{
    (void)state;
    assert_int_equal(run("traceback %s 0x7e0000000000"), 0);
    assert_has(face.out,
               "0x7e0000000000 is a block of 5000000 bytes, allocated at:\n  File \"/src/a.py\", line 10, in main");
    assert_int_equal(run("traceback %s 138538465099792"), 0);
    assert_has(face.out, "lies 16 bytes into a block of 5000000 bytes at 0x7e0000000000");
    assert_int_equal(run("traceback %s 0x7e0000000001"), 0);
    assert_has(face.out, "lies 1 byte into a block of 5000000 bytes");
    assert_int_equal(run("traceback %s 7e00"), 2);
    assert_has(face.err, "tm: ADDR must be a number, not '7e00'.  Try: an address such as 0x");
    assert_int_equal(run("traceback %s 0x5"), 2);
    assert_has(face.err, "tm: 0x5 is not in a live traced block; ");
    assert_int_equal(run("traceback %s"), 2);
    assert_has(face.err, "tm traceback needs ADDR");
    fake_face_callbacks(&face, &core);
    face.face.evaluate = evaluate;
    assert_int_equal(fake_run(&face, "traceback &block + 1"), 0);
    assert_has(face.out, "0x7e0000000010 lies 16 bytes into");
    assert_int_equal(fake_run(&face, "traceback nonsense"), 2);
    assert_has(face.err, "tm: 'nonsense' has no value that could be an address; No symbol in current context.  Try: ");
}

static void bad_words(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        const char *error;
    } cases[] = {
        {"tpo %s", "tm: there is no verb 'tpo'.  Try: tm top\n"},
        {"xyzzy %s", "Try: tm help\n"},
        {"t %s", "tm: 't' is the beginning of several verbs"},
        {"top", "tm: tm top needs to know where to look: a core file, a snapshot or a pid.  Try: tm top --help\n"},
        {"top %s 0", "tm: N must be a whole number from 1 on, not '0'.  Try: tm top --help\n"},
        {"top %s -3", "tm: N must be a whole number from 1 on, not '-3'"},
        {"top %s 1.5", "not '1.5'"},
        {"top %s 99999999999999999999999", "not '99999999999999999999999'"},
        {"top %s 1 2", "'2' is one argument too many"},
        {"top %s --jsn", "tm: tm top has no option '--jsn'.  Try: --json\n"},
        {"top %s -q", "has no option '-q'"},
        {"top %s --by", "--by needs a value: GROUP"},
        {"top %s --by linno",
         "tm: --by cannot be 'linno'; it is one of lineno, filename, function, traceback.  Try: --by lineno\n"},
        {"top %s --json=yes", "--json takes no value"},
        {"top %s --by traceback --cumulative", "--cumulative cannot be used with --by traceback"},
        {"blocks %s --min-size 5X", "must be a number of bytes"},
        {"help nothing", "there is no verb 'nothing'"},
        {"top 0", "tm: 0 is not the number of a process"},
        {"top 999999999999", "tm: 999999999999 is not the number of a process"},
        {"top 4194305", "tm: there is no process 4194305; "},
        {"top /nonexistent", "tm: cannot open /nonexistent; No such file or directory\n"},
        {"run", "tm: tm run needs a command.  Try: tm run -- python3 app.py\n"},
        {"run -n 0 -- x", "must be a whole number"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(run(cases[i].command), 2);
        assert_has(face.err, cases[i].error);
        assert_memory_equal(face.err, "tm: ", 4);
        assert_string_equal(face.out, "");
    }
}

static void help(void **state)
{
    (void)state;
    assert_int_equal(run("help"), 0);
    assert_has(face.out, "tm run ");
    assert_int_equal(run("top --help"), 0);
    assert_has(face.out, "Usage: tm top [OPTION]... SOURCE [N]\n");
    assert_has(face.out, "-b, --by=GROUP ");
    assert_has(face.out, "Example: tm top core 20 --by traceback\n");
    assert_int_equal(run("tra --help"), 0);
    assert_has(face.out, "Usage: tm traceback ");
    assert_int_equal(run("--version"), 0);
    assert_int_equal(strncmp(face.out, "tm ", 3), 0);
    fake_face_callbacks(&face, &core);
    assert_int_equal(fake_run(&face, "top --help"), 0);
    assert_has(face.out, "Usage: tm top [OPTION]... [N]\n");
    assert_has(face.out, "Example: tm top 20 --by traceback\n");
    assert_int_equal(fake_run(&face, "traceback --help"), 0);
    assert_has(face.out, "Example: tm traceback 0x7f0123456780\n         tm traceback $rdi + 8\n");
    assert_int_equal(fake_run(&face, "help"), 0);
    assert_null(strstr(face.out, "tm run "));
    assert_int_equal(fake_run(&face, "run x"), 2);
}

static void commands_are_described(void **state)
{
    (void)state;
    struct json_object *verbs = json_tokener_parse(tm_commands()), *member;
    assert_non_null(verbs);
    assert_true(json_object_array_length(verbs) >= 7);
    for (size_t i = 0; i < json_object_array_length(verbs); i++) {
        static const char *const members[] = {"name", "summary", "usage", "help", "arguments", "options"};
        for (size_t j = 0; j < 6; j++)
            assert_true(json_object_object_get_ex(json_object_array_get_idx(verbs, i), members[j], &member));
        json_object_object_get_ex(json_object_array_get_idx(verbs, i), "help", &member);
        assert_has(json_object_get_string(member), "Example: ");
        assert_null(strstr(json_object_get_string(member), "SOURCE"));
    }
    assert_ptr_equal(tm_commands(), tm_commands());
    json_object_put(verbs);
}

static void collect(void *context, const char *word, const char *description)
{
    (void)description;
    struct tm_text *words = context;
    tm_text_print(words, "%s ", word);
}

static void assert_completed(const char *word, int argc, const char *const *argv, int kind, const char *expected)
{
    struct tm_text words = {0};
    assert_int_equal(tm_complete(&face.face, argc, argv, word, collect, &words), kind);
    assert_string_equal(words.bytes ? words.bytes : "", expected);
    tm_text_free(&words);
}

static void completion(void **state)
{
    (void)state;
    fake_face_callbacks(&face, &core);
    assert_completed("t", 0, NULL, TM_COMPLETE_WORDS, "top tree traceback ");
    assert_completed("--c", 1, (const char *[]){"top"}, TM_COMPLETE_WORDS, "--cumulative ");
    assert_completed("f", 2, (const char *[]){"top", "--by"}, TM_COMPLETE_WORDS, "filename function ");
    assert_completed("o", 1, (const char *[]){"traceback"}, TM_COMPLETE_EXPRESSION, "");
    fake_face_init(&face);
    assert_completed("c", 1, (const char *[]){"top"}, TM_COMPLETE_FILE, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(top_as_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(json_is_valid_whatever_the_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_faces_say_the_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(zeros_are_not_believed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(check_finds_what_differs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(big_blocks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(addresses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_words, set_up, tear_down),
        cmocka_unit_test_setup_teardown(help, set_up, tear_down),
        cmocka_unit_test_setup_teardown(commands_are_described, set_up, tear_down),
        cmocka_unit_test_setup_teardown(completion, set_up, tear_down),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (core.count)
        unlink(fake_core_write(&(struct fake_core){.count = 0}));
    return failed;
}

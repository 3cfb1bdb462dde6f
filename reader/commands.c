/* SPDX-License-Identifier: MIT */
/* The table of commands, and what happens to a command. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "document.h"
#include "export.h"
#include "request.h"
#include "statistics.h"

#define FIELD(name) offsetof(struct tm_request, name)

static const struct tm_option json_option = {
    "json", 'j', NULL, TM_KIND_FLAG, FIELD(json), NULL, "Answer in JSON: sizes in bytes, frames most recent first"};
static const struct tm_option by_option = {"by",
                                           'b',
                                           "GROUP",
                                           TM_KIND_CHOICE,
                                           FIELD(group),
                                           tm_group_names,
                                           "Group by lineno (the default), filename, function or traceback"};
static const struct tm_option tracer_option = {
    "tracer",
    0,
    "TRACER",
    TM_KIND_CHOICE,
    FIELD(tracer),
    tm_tracer_names,
    "Whose table to read: tm, stdlib (the standard library's tracemalloc), or any (the default: tm's if it is there)"};
static const struct tm_option stop_option = {
    "stop",
    0,
    NULL,
    TM_KIND_FLAG,
    FIELD(stop),
    NULL,
    "Let a live process stand still while it is read, then go on as it was; in a debugger it does already"};
static const struct tm_option all_option = {
    "all", 'a', NULL, TM_KIND_FLAG, FIELD(all), NULL, "Show all groups, not only N"};
static const struct tm_option cumulative_option = {
    "cumulative",
    'c',
    NULL,
    TM_KIND_FLAG,
    FIELD(cumulative),
    NULL,
    "Count a block for every frame of its traceback, not only the newest"};
static const struct tm_option no_source_option = {
    "no-source", 0, NULL, TM_KIND_FLAG, FIELD(no_source), NULL, "Do not show lines of source files"};
static const struct tm_option limit_option = {
    "limit", 'l', "N", TM_KIND_NUMBER, FIELD(limit), NULL, "Show the N biggest (10)"};
static const struct tm_option min_size_option = {
    "min-size", 'm', "BYTES", TM_KIND_SIZE, FIELD(min_size), NULL, "Only blocks of at least so many bytes (64K, 1M)"};
static const struct tm_option frames_option = {
    "frames", 'n', "N", TM_KIND_NUMBER, FIELD(frames), NULL, "Record the newest N frames of each traceback (1)"};
static const struct tm_option file_option = {
    "file",
    'f',
    "PATH",
    TM_KIND_FILE,
    FIELD(table_file),
    NULL,
    "Keep the table in a new file, which survives SIGKILL; %p in PATH is the pid"};
static const struct tm_option byte_limit_option = {
    "limit", 'l', "BYTES", TM_KIND_SIZE, FIELD(byte_limit), NULL, "Act when so many bytes are traced (500M, 2G)"};
static const struct tm_option on_limit_option = {
    "on-limit",
    0,
    "WHAT",
    TM_KIND_CHOICE,
    FIELD(on_limit),
    tm_on_limit_names,
    "At the limit: dump the table to a file (the default), leave a core of "
    "a copy and go on, or abort"};
static const struct tm_option every_option = {
    "every", 0, "PERCENT", TM_KIND_WORD, FIELD(every), NULL, "Act again whenever PERCENT of the limit have been added"};
static const struct tm_option dump_file_option = {"dump-file",
                                                  'o',
                                                  "PATH",
                                                  TM_KIND_FILE,
                                                  FIELD(dump_file),
                                                  NULL,
                                                  "Where to dump; %p is the pid, %n the number (tm-%p-%n.table)"};

static const struct tm_option per_option = {
    "by",
    'b',
    "GROUP",
    TM_KIND_CHOICE,
    FIELD(per),
    tm_per_names,
    "All blocks together (the default), or by lineno, filename, function or traceback"};
static const struct tm_option all_blocks_option = {
    "all", 'a', NULL, TM_KIND_FLAG, FIELD(all), NULL, "Show all blocks, not only N"};
static const struct tm_option min_percent_option = {"min-percent",
                                                    'p',
                                                    "PERCENT",
                                                    TM_KIND_PERCENT,
                                                    FIELD(min_percent),
                                                    NULL,
                                                    "Fold what holds less than so much of the whole (0.5)"};
static const struct tm_option no_trunc_option = {
    "no-trunc", 0, NULL, TM_KIND_FLAG, FIELD(no_trunc), NULL, "Do not cut lines where the terminal ends"};
static const struct tm_option include_option = {
    "include",
    'i',
    "PATTERN[:LINE]",
    TM_KIND_WORDS,
    FIELD(include),
    NULL,
    "Only blocks allocated in files whose names match, such as '*/app/*.py' or '*/app.py:12'; may be given again"};
static const struct tm_option exclude_option = {"exclude",
                                                'x',
                                                "PATTERN[:LINE]",
                                                TM_KIND_WORDS,
                                                FIELD(exclude),
                                                NULL,
                                                "No blocks allocated in files whose names match; may be given again"};
static const struct tm_option all_frames_option = {
    "all-frames",
    0,
    NULL,
    TM_KIND_FLAG,
    FIELD(all_frames),
    NULL,
    "Patterns look at all frames of a traceback, not only at the newest"};
static const struct tm_option domain_option = {
    "domain",
    'd',
    "N",
    TM_KIND_WORDS,
    FIELD(domains),
    NULL,
    "Only blocks of this domain; 0 is Python's own memory; may be given again"};
static const struct tm_option no_domain_option = {
    "exclude-domain", 0, "N", TM_KIND_WORDS, FIELD(no_domains), NULL, "No blocks of this domain"};
static const struct tm_option blocks_option = {
    "blocks",
    0,
    NULL,
    TM_KIND_FLAG,
    FIELD(with_blocks),
    NULL,
    "With all single blocks, for blocks, sizes, traceback and check: addresses and sizes, no contents"};
static const struct tm_option redact_option = {
    "redact",
    0,
    NULL,
    TM_KIND_FLAG,
    FIELD(redact),
    NULL,
    "Hashes in place of the names of files and functions, and no command line"};
static const struct tm_option force_option = {
    "force", 'f', NULL, TM_KIND_FLAG, FIELD(force), NULL, "Replace FILE if it exists"};
static const struct tm_option format_option = {"format",
                                               0,
                                               "FORMAT",
                                               TM_KIND_CHOICE,
                                               FIELD(format),
                                               tm_format_names,
                                               "json (the default), collapsed, speedscope, pprof, tracemalloc or html"};
static const struct tm_option report_format_option = {"format",
                                                      0,
                                                      "FORMAT",
                                                      TM_KIND_CHOICE,
                                                      FIELD(report_format),
                                                      tm_document_format_names,
                                                      "text (the default), markdown or html"};
static const struct tm_option report_limit_option = {
    "limit", 'l', "N", TM_KIND_NUMBER, FIELD(limit), NULL, "Show the N biggest (10 lines, 3 tracebacks, 10 blocks)"};
static const struct tm_option output_option = {
    "output", 'o', "FILE", TM_KIND_FILE, FIELD(file), NULL, "Write to a new file, as a whole or not at all"};
static const struct tm_option count_option = {
    "count", 0, NULL, TM_KIND_FLAG, FIELD(by_count), NULL, "Blocks in place of bytes: collapsed and speedscope"};
static const struct tm_option baseline_option = {"baseline",
                                                 0,
                                                 "OLD",
                                                 TM_KIND_FILE,
                                                 FIELD(old),
                                                 NULL,
                                                 "Show what has changed since OLD, a core, a snapshot or a pid: html"};
static const struct tm_option use_limit_option = {"limit",
                                                  'l',
                                                  "BYTES",
                                                  TM_KIND_SIZE,
                                                  FIELD(byte_limit),
                                                  NULL,
                                                  "How much it may use; without it, what the control group may"};
static const struct tm_option group_path_option = {
    "cgroup", 'c', "PATH", TM_KIND_FILE, FIELD(group_path), NULL, "Watch all processes of a control group"};
static const struct tm_option at_option = {
    "at", 0, "PERCENT", TM_KIND_PERCENT, FIELD(at_percent), NULL, "Save from so much of the limit on (90%)"};
static const struct tm_option keep_option = {
    "keep", 'k', "K", TM_KIND_NUMBER, FIELD(keep), NULL, "Keep the last K files (3)"};

#define FILTERS &include_option, &exclude_option, &all_frames_option, &domain_option, &no_domain_option

const char tm_filters_help[] = "As in tracemalloc's filter_traces(): a block stays if any --include or --domain\n"
                               "hits it (if there is one), and no --exclude or --exclude-domain does.\n";

const struct tm_verb tm_verbs[] = {
    {
        .name = "top",
        .summary = "Show which lines hold the most memory",
        .help = "N is how many to show (10).\n\n"
                "Example: tm top SOURCE 20 --by traceback",
        .run = tm_run_top,
        .arguments = {{"N", TM_KIND_NUMBER, true, FIELD(limit)}},
        .options = {&by_option, &cumulative_option, &all_option, FILTERS, &no_source_option, &no_trunc_option,
                    &tracer_option, &stop_option, &json_option},
    },
    {
        .name = "tree",
        .summary = "Show the call tree, with what each line holds itself and in all",
        .help = "Example: tm tree SOURCE --by function --min-percent 5",
        .run = tm_run_tree,
        .options = {&by_option, &min_percent_option, FILTERS, &no_trunc_option, &tracer_option, &stop_option,
                    &json_option},
    },
    {
        .name = "traceback",
        .summary = "Show where the block at an address was allocated",
        .help = "ADDR is the address of a block, of an object, or of anything inside a block.\n\n"
                "Example: tm traceback SOURCE 0x7f0123456780",
        .run = tm_run_traceback,
        .arguments = {{"ADDR", TM_KIND_ADDRESS, false, FIELD(address)}},
        .options = {FILTERS, &no_source_option, &tracer_option, &stop_option, &json_option},
    },
    {
        .name = "blocks",
        .summary = "Show the biggest single blocks",
        .help = "N is how many to show (10).\n\n"
                "Example: tm blocks SOURCE 20 --min-size 1M\n"
                "         tm blocks SOURCE --all --include '*/app.py:12'",
        .run = tm_run_blocks,
        .arguments = {{"N", TM_KIND_NUMBER, true, FIELD(limit)}},
        .options = {&limit_option, &all_blocks_option, &min_size_option, FILTERS, &no_source_option, &no_trunc_option,
                    &tracer_option, &stop_option, &json_option},
    },
    {
        .name = "sizes",
        .summary = "Show how many blocks there are of which size",
        .help = "Example: tm sizes SOURCE --by lineno --limit 3",
        .run = tm_run_sizes,
        .options = {&per_option, &limit_option, &all_option, &min_size_option, FILTERS, &no_source_option,
                    &no_trunc_option, &tracer_option, &stop_option, &json_option},
    },
    {
        .name = "diff",
        .summary = "Show what has changed since another core, process or snapshot",
        .help = "OLD is a core file, a snapshot file (see dump) or the pid of a live process.\n\n"
                "Example: tm diff before.tm SOURCE --by filename",
        .flags = TM_VERB_SOURCE_LAST,
        .run = tm_run_diff,
        .arguments = {{"OLD", TM_KIND_FILE, false, FIELD(old)}},
        .options = {&by_option, &cumulative_option, &limit_option, &all_option, FILTERS, &no_source_option,
                    &no_trunc_option, &tracer_option, &stop_option, &json_option},
    },
    {
        .name = "dump",
        .summary = "Write a snapshot file: who holds what, but nothing of what is held",
        .help = "FILE can be given wherever a core file can, on any machine.  It is written as a\n"
                "whole or not at all, and only its owner can read it.\n\n"
                "With --redact, hashes are made with the key in the environment variable\n"
                "TM_REDACT_KEY: who does not know it cannot test guesses.\n\n"
                "Example: tm dump SOURCE --redact before.tm",
        .run = tm_run_dump,
        .arguments = {{"FILE", TM_KIND_FILE, false, FIELD(file)}},
        .options = {&blocks_option, &redact_option, &force_option, FILTERS, &tracer_option, &stop_option, &json_option},
    },
    {
        .name = "export",
        .summary = "Write it all for other tools, or as a page with a flame graph",
        .help = "json         everything, in the words of top --json --by traceback\n"
                "collapsed    folded stacks, for flamegraph.pl and the like\n"
                "speedscope   for www.speedscope.app\n"
                "pprof        for go tool pprof, Grafana Pyroscope, Parca\n"
                "tracemalloc  for the standard library's tracemalloc.Snapshot.load()\n"
                "html         one page that needs no network; with --baseline, a comparison\n\n"
                "Example: tm export SOURCE --format html -o leak.html",
        .check = tm_check_export,
        .run = tm_run_export,
        .options = {&format_option, &output_option, &force_option, &count_option, &baseline_option, FILTERS,
                    &no_source_option, &tracer_option, &stop_option},
    },
    {
        .name = "info",
        .summary = "Show who was traced, since when, and how much there is",
        .help = "Example: tm info SOURCE",
        .run = tm_run_info,
        .options = {FILTERS, &tracer_option, &stop_option, &json_option},
    },
    {
        .name = "check",
        .summary = "Compare the running totals with a scan of all blocks",
        .help = "Reads every part of the table and says what is missing or wrong, and where.\n\n"
                "Example: tm check SOURCE",
        .run = tm_run_check,
        .options = {FILTERS, &tracer_option, &stop_option, &json_option},
    },
    {
        .name = "report",
        .summary = "Write the page for an incident: who, when, how much, where, what is missing",
        .help = "The time is that of the core file, or now.\n\n"
                "Example: tm report SOURCE --format markdown\n"
                "         tm report SOURCE --format html -o leak.html",
        .check = tm_check_report,
        .run = tm_run_report,
        .options = {&report_format_option, &report_limit_option, &output_option, &force_option, FILTERS,
                    &no_source_option, &tracer_option, &stop_option, &json_option},
    },
    {
        .name = "run",
        .summary = "Run a command with tracing on from its first line",
        .help = "Its children are traced too.  Without %p in PATH, their tables are kept in memory.\n\n"
                "Example: tm run -n 25 -- python3 app.py\n"
                "         tm run --file app.%p.tm -- python3 app.py\n"
                "         tm run --limit 2G --on-limit core --every 10% -- python3 app.py",
        .flags = TM_VERB_NO_TARGET | TM_VERB_COMMAND_LINE | TM_VERB_REST,
        .run = tm_run_run,
        .options = {&frames_option, &file_option, &byte_limit_option, &on_limit_option, &every_option,
                    &dump_file_option},
    },
    {
        .name = "watch",
        .summary = "Save the table of a process before it is killed for its memory",
        .help = "Looks from outside at the resident memory of a process (with --limit), or at the use\n"
                "of its control group against memory.max, and at the pressure that the kernel tells.\n"
                "Files are named tm-PID-NUMBER.table; they have the table, and nothing of the heap.\n\n"
                "Example: tm watch --at 80% 1234\n"
                "         tm watch --cgroup system.slice/app.service --keep 5",
        .flags = TM_VERB_NO_TARGET | TM_VERB_COMMAND_LINE,
        .run = tm_run_watch,
        .arguments = {{"PID", TM_KIND_NUMBER, true, FIELD(watched_pid)}},
        .options = {&at_option, &use_limit_option, &group_path_option, &keep_option, &dump_file_option},
    },
    {
        .name = "coredump",
        .summary = "Be a debugger for coredumpctl",
        .help = "Takes the words that `coredumpctl debug` calls a debugger with, and asks VERB (report)\n"
                "about CORE.\n\n"
                "Example: coredumpctl debug --debugger=tm --debugger-arguments=coredump\n"
                "         coredumpctl debug --debugger=tm -A 'coredump top 20 --by traceback' 1234\n"
                "         tm coredump /usr/bin/python3 -c core",
        .flags = TM_VERB_NO_TARGET | TM_VERB_COMMAND_LINE | TM_VERB_REST,
        .run = tm_run_coredump,
    },
    {
        .name = "gdb-init",
        .summary = "Print the line that loads tm into GDB, for ~/.gdbinit",
        .help = "Example: tm gdb-init >>~/.gdbinit",
        .flags = TM_VERB_NO_TARGET | TM_VERB_COMMAND_LINE,
        .run = tm_run_gdb_init,
    },
    {
        .name = "lldb-init",
        .summary = "Print the line that loads tm into LLDB, for ~/.lldbinit",
        .help = "Example: tm lldb-init >>~/.lldbinit",
        .flags = TM_VERB_NO_TARGET | TM_VERB_COMMAND_LINE,
        .run = tm_run_lldb_init,
    },
    {
        .name = "help",
        .summary = "Show help, in general or for one verb",
        .help = "Example: tm help top",
        .flags = TM_VERB_NO_TARGET,
        .run = tm_run_help,
        .arguments = {{"VERB", TM_KIND_WORD, true, FIELD(topic)}},
    },
};
const size_t tm_verb_count = sizeof(tm_verbs) / sizeof(tm_verbs[0]);

/* ---- finding a verb ------------------------------------------------------------------------------------------------- */

#define MAX_WORD 32

static size_t smaller(size_t left, size_t right)
{
    return left < right ? left : right;
}

/* Insertions, deletions, changes and swaps of neighbours (Damerau) that make one of the other. */
static size_t distance(const char *left, const char *right)
{
    size_t cost[MAX_WORD + 1][MAX_WORD + 1], height = strlen(left), width = strlen(right);
    if (height > MAX_WORD || width > MAX_WORD)
        return SIZE_MAX;
    for (size_t i = 0; i <= height; i++) {
        for (size_t j = 0; j <= width; j++) {
            if (!i || !j) {
                cost[i][j] = i + j;
                continue;
            }
            cost[i][j] = smaller(cost[i - 1][j], cost[i][j - 1]) + 1;
            cost[i][j] = smaller(cost[i][j], cost[i - 1][j - 1] + (left[i - 1] != right[j - 1]));
            if (i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1])
                cost[i][j] = smaller(cost[i][j], cost[i - 2][j - 2] + 1);
        }
    }
    return cost[height][width];
}

const char *tm_nearest(const char *word, const char *const *words, size_t count)
{
    const char *nearest = NULL;
    size_t best = strlen(word) / 2 + 1;
    for (size_t i = 0; i < count; i++) {
        size_t far = distance(word, words[i]);
        if (far < best || (!strncmp(words[i], word, strlen(word)) && !nearest)) {
            nearest = words[i];
            best = far;
        }
    }
    return nearest;
}

static bool is_offered(const struct tm_face *face, const struct tm_verb *verb)
{
    return !(verb->flags & TM_VERB_COMMAND_LINE) || !tm_face_has_target(face);
}

const struct tm_verb *tm_verb_find(const struct tm_face *face, const char *name, struct tm_error **error)
{
    const struct tm_verb *found = NULL;
    const char *names[32];
    size_t count = 0, matches = 0;
    for (size_t i = 0; i < tm_verb_count; i++) {
        const struct tm_verb *verb = &tm_verbs[i];
        if (!is_offered(face, verb))
            continue;
        names[count++] = verb->name;
        if (!strcmp(verb->name, name))
            return verb;
        if (name[0] && !strncmp(verb->name, name, strlen(name))) {
            found = verb;
            matches++;
        }
    }
    if (matches == 1)
        return found;
    *error = matches ? tm_error(TM_ERROR_USAGE, "'%s' is the beginning of several verbs", name)
                     : tm_error(TM_ERROR_USAGE, "there is no verb '%s'", name);
    const char *nearest = tm_nearest(name, names, count);
    *error = nearest ? tm_error_try(*error, "tm %s", nearest) : tm_error_try(*error, "tm help");
    return NULL;
}

struct tm_error *tm_run_help(struct tm_request *request)
{
    struct tm_text *text = &request->output->text;
    bool has_source = !tm_face_has_target(request->face);
    if (request->topic) {
        struct tm_error *error = NULL;
        const struct tm_verb *verb = tm_verb_find(request->face, request->topic, &error);
        if (verb)
            tm_help_text(verb, has_source, text);
        return error;
    }
    tm_text_print(text, "tm: which lines of a Python program hold its memory, from a live process or a core\n\n");
    for (size_t i = 0; i < tm_verb_count; i++) {
        const struct tm_verb *verb = &tm_verbs[i];
        if (!is_offered(request->face, verb))
            continue;
        tm_text_print(text, "  tm ");
        size_t before = text->size;
        tm_usage_text(verb, has_source, text);
        tm_text_print(text, "%*s %s\n", before + 38 > text->size ? (int)(before + 38 - text->size) : 0, "",
                      verb->summary);
    }
    tm_text_print(text, "\n`tm help VERB` tells more.%s\n",
                  has_source ? "  SOURCE is a core file, a snapshot file, or the pid of a live process." : "");
    return NULL;
}

/* ---- running one ---------------------------------------------------------------------------------------------------- */

static void write_error(const struct tm_face *face, const struct tm_error *error)
{
    struct tm_text text = {0};
    tm_text_print(&text, "tm: ");
    const char *const parts[] = {error->what, error->because, error->next};
    static const char *const before[] = {"", "; ", ".  Try: "};
    for (size_t i = 0; i < 3; i++) {
        if (parts[i]) {
            tm_text_print(&text, "%s", before[i]);
            /* Names of files and programs are in there. */
            tm_text_add_name(&text, (struct tm_string_ref){parts[i], (uint32_t)strlen(parts[i])});
        }
    }
    tm_text_print(&text, "\n");
    if (face->write && text.bytes)
        face->write(face->data, TM_STREAM_ERR, text.bytes, text.size);
    tm_text_free(&text);
}

static struct tm_error *carry_out(struct tm_request *request, int argc, char **argv)
{
    bool help;
    struct tm_error *error = tm_options_parse(request, argc, argv, &help);
    if (!error && help) {
        tm_help_text(request->verb, !tm_face_has_target(request->face), &request->output->text);
        return NULL;
    }
    if (!error && request->verb->check)
        error = request->verb->check(request);
    if (!error && !(request->verb->flags & TM_VERB_NO_TARGET))
        error = tm_request_open(request);
    return error ? error : request->verb->run(request);
}

int32_t tm_command(const struct tm_face *given, int32_t argc, const char *const *argv)
{
    struct tm_face face = {0};
    memcpy(&face, given, given->size < sizeof(face) ? given->size : sizeof(face));
    struct tm_output output = {.face = &face};
    struct tm_request request = {.face = &face, .output = &output, .min_percent = 0.5};
    struct tm_error *error = NULL;
    const char *name = argc > 0 ? argv[0] : "help";
    if (!strcmp(name, "--help") || !strcmp(name, "-h"))
        name = "help";
    char **words = calloc((argc > 0 ? argc : 1) + 1, sizeof(*words)); /* argp sorts them */
    if (words && (!strcmp(name, "--version") || !strcmp(name, "-V"))) {
        tm_text_print(&output.text, "tm %s\n", tm_version());
    } else if (words) {
        request.verb = tm_verb_find(&face, name, &error);
        for (int i = 0; i < argc; i++)
            words[i] = (char *)argv[i];
        if (request.verb)
            error = carry_out(&request, argc > 0 ? argc : 0, words);
    } else {
        error = tm_error_no_memory();
    }
    tm_request_release(&request);
    int32_t status = TM_STATUS_OK;
    if (!error && output.text.failed)
        error = tm_error_no_memory();
    if (error) {
        write_error(&face, error);
        status = request.exit_status ? request.exit_status : TM_STATUS_ERROR;
    } else {
        tm_output_all(&output);
        if (request.doubtful || (request.model && request.model->incomplete_count))
            status = TM_STATUS_LOWER_BOUND;
    }
    tm_error_destroy(error);
    tm_lines_destroy(request.lines);
    tm_request_unselect(request.selection);
    tm_model_destroy(request.model);
    if (request.target)
        tm_target_destroy(request.target);
    tm_text_free(&output.text);
    const struct tm_words *const words_of[] = {&request.include, &request.exclude, &request.domains,
                                               &request.no_domains};
    for (size_t i = 0; i < sizeof(words_of) / sizeof(words_of[0]); i++)
        free(words_of[i]->items);
    free(request.joined);
    free(words);
    return status;
}

const char *tm_version(void)
{
    return "0.1.0";
}

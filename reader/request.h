/* SPDX-License-Identifier: MIT */
/*
 * One command being carried out, and the rows of the table of commands.  Parsing, --help, completion and the description
 * for faces are all made from these rows: a new option is a field and a row, a new verb a function and a row.
 */
#ifndef TM_REQUEST_H
#define TM_REQUEST_H

#include <stddef.h>
#include <time.h>

#include "lines.h"
#include "selection.h"
#include "standstill.h"
#include "statistics.h"
#include "text.h"

/* Values of an option that may be given again and again. */
struct tm_words {
    const char **items;
    size_t count;
};

struct tm_request {
    const struct tm_face *face;
    const struct tm_verb *verb;
    struct tm_target *target; /* opened if the verb needs it */
    struct tm_model *model;
    struct tm_selection *selection; /* what filters leave of the model; NULL: there are none */
    struct tm_output *output;
    struct tm_lines *lines; /* made by tm_frames_... when first needed */

    /* Options and arguments.  What was not given is 0 or NULL. */
    const char *source;
    const char *address;
    char *joined; /* address, if it was several words */
    const char *topic;
    const char *old;  /* SOURCE to compare with */
    const char *file; /* to write */
    uint64_t limit;
    uint64_t min_size;
    uint64_t frames;
    uint32_t group;  /* enum tm_group */
    uint32_t tracer; /* enum tm_tracer */
    bool stop;
    struct tm_standstill *standstill; /* of processes, while they are read; or NULL */
    bool json;
    bool all;
    bool cumulative;
    bool no_source;
    bool no_trunc;
    bool all_frames;
    bool with_blocks;
    bool redact;
    bool force;
    bool by_count;          /* blocks in place of bytes */
    uint32_t format;        /* index into tm_format_names */
    uint32_t report_format; /* enum tm_document_format */
    double min_percent;
    uint32_t per; /* 0: everything together, otherwise 1 + enum tm_group */
    struct tm_words include;
    struct tm_words exclude;
    struct tm_words domains;
    struct tm_words no_domains;
    const char *table_file; /* of tm run: where evidence goes */
    const char *dump_file;
    uint64_t byte_limit;
    uint32_t on_limit; /* index into tm_on_limit_names */
    const char *every;
    uint64_t watched_pid; /* of tm watch */
    const char *group_path;
    double at_percent;
    uint64_t keep;
    char **rest; /* of a verb with TM_VERB_REST */
    int rest_count;

    int exit_status; /* with an error: instead of TM_STATUS_ERROR */
    bool doubtful;   /* the answer is worth no more than a lower bound, though nothing is missing */
};

enum tm_kind {
    TM_KIND_FLAG,    /* bool */
    TM_KIND_NUMBER,  /* uint64_t, at least 1 */
    TM_KIND_SIZE,    /* uint64_t, "64K" */
    TM_KIND_PERCENT, /* double */
    TM_KIND_CHOICE,  /* uint32_t, index into choices */
    TM_KIND_WORD,    /* const char * */
    TM_KIND_WORDS,   /* struct tm_words: the option may come again */
    TM_KIND_ADDRESS, /* const char *, see tm_request_address() */
    TM_KIND_FILE,    /* const char * */
};

struct tm_option {
    const char *name; /* without "--" */
    char letter;      /* or 0 */
    const char *argument;
    enum tm_kind kind;
    size_t field; /* of struct tm_request */
    const char *const *choices;
    const char *help;
};

struct tm_argument {
    const char *name;
    enum tm_kind kind;
    bool optional;
    size_t field;
};

#define TM_VERB_NO_TARGET UINT32_C(1)    /* does not look at a target: takes no SOURCE */
#define TM_VERB_COMMAND_LINE UINT32_C(2) /* makes no sense in a debugger */
#define TM_VERB_REST UINT32_C(4)         /* the first argument ends the options; all from there on is `rest` */

#define TM_VERB_SOURCE_LAST UINT32_C(8) /* SOURCE stands behind the arguments */

#define TM_MAX_OPTIONS 24

struct tm_verb {
    const char *name;
    const char *summary;
    const char *help; /* paragraphs below the options */
    uint32_t flags;
    /* What can be said before a source is opened, which may take long; or NULL. */
    struct tm_error *(*check)(const struct tm_request *request);
    struct tm_error *(*run)(struct tm_request *request);
    struct tm_argument arguments[3];                 /* a NULL name ends */
    const struct tm_option *options[TM_MAX_OPTIONS]; /* NULL ends */
};

/* Choices of `per` */
extern const char *const tm_per_names[];

/* What verbs with filters add to their help */
extern const char tm_filters_help[];
extern const struct tm_verb tm_verbs[];
extern const size_t tm_verb_count;
/* NULL: unknown; *error says so and suggests one. */
const struct tm_verb *tm_verb_find(const struct tm_face *face, const char *name, struct tm_error **error);
/* The one of the words that is most like `word`, or NULL if none is. */
const char *tm_nearest(const char *word, const char *const *words, size_t count);

/* ---- options.c ---------------------------------------------------------------------------------------------------- */

/* *help: --help was among them. */
struct tm_error *tm_options_parse(struct tm_request *request, int argc, char **argv, bool *help);
/* "top SOURCE [N] [OPTION]...", as the face has it */
void tm_usage_text(const struct tm_verb *verb, bool has_source, struct tm_text *text);
void tm_help_text(const struct tm_verb *verb, bool has_source, struct tm_text *text);
/* Whether the face gives the target, so that verbs take no SOURCE. */
bool tm_face_has_target(const struct tm_face *face);

/* Value of an address: a number, or whatever the debugger understands. */
struct tm_error *tm_request_address(struct tm_request *request, const char *text, uint64_t *ret);

/* ---- open.c ------------------------------------------------------------------------------------------------------- */

/* One of the sources. */
struct tm_source {
    struct tm_target *target;
    struct tm_model *model;
    struct tm_selection *selection; /* what filters leave of the model; NULL: there are none */
};

/* SOURCE, or what the face looks at, becomes the request's target, model and selection.  With --stop, whatever of it and
 * OLD is a live process stands still from then on. */
struct tm_error *tm_request_open(struct tm_request *request);
/* OLD; to be closed, also after an error. */
struct tm_error *tm_request_open_old(struct tm_request *request, struct tm_source *ret);
void tm_source_close(struct tm_source *source);
/* Lets go what stands still, and text go out again.  For verbs that must know how their output ends. */
void tm_request_release(struct tm_request *request);

/* ---- narrow.c ----------------------------------------------------------------------------------------------------- */

/* What the filters among the options leave of a model; *ret = NULL if there are none.  To be freed. */
struct tm_error *tm_request_select(const struct tm_request *request, struct tm_model *model, struct tm_selection **ret);
void tm_request_unselect(struct tm_selection *selection);
/* Totals of the selection, or NULL for the model's own. */
static inline const struct tm_total *tm_request_totals(const struct tm_request *request)
{
    return request->selection ? request->selection->totals : NULL;
}

/* ---- frames.c ----------------------------------------------------------------------------------------------------- */

struct json_object;

/* "current 12.3 MiB in 39328 blocks, peak ..." and what else begins a text answer */
void tm_print_header(struct tm_request *request);
/* Of the nanoseconds that tables have. */
static inline time_t tm_seconds(uint64_t nanoseconds)
{
    return (time_t)(nanoseconds / 1000000000);
}
/* "2026-11-20T22:59:35Z" */
void tm_text_time(struct tm_text *text, time_t seconds);
/* "signal 6 (SIGABRT)" */
void tm_text_signal(struct tm_text *text, int number);
/* The frames of a traceback, oldest first, as tracemalloc's Traceback.format(). */
void tm_print_traceback(struct tm_request *request, uint32_t stack, const char *indent);
/* The line without white space around it; nothing if it is not to be had. */
void tm_text_source_line(struct tm_text *text, struct tm_request *request, uint32_t location);
void tm_print_source_line(struct tm_request *request, uint32_t location, const char *indent);
/* The word for a group of blocks: "file:12", "file:0", "name (file)". */
void tm_text_group(struct tm_text *text, const struct tm_model *model, uint32_t group, uint32_t location);
/* An error if the model or the other options do not go with --by. */
struct tm_error *tm_request_check_group(const struct tm_request *request);
/* An error if --by function was asked for of a table without names. */
struct tm_error *tm_request_needs_names(const struct tm_request *request);
/* "size=..., count=..., average=..." */
void tm_text_numbers(struct tm_text *text, int64_t size, int64_t count);
/* The file that was written: "page.html: 12.3 KiB" */
void tm_print_file(struct tm_request *request, uint64_t size);
/* "file:12" */
void tm_print_place(struct tm_request *request, uint32_t location);
struct json_object *tm_json_time(time_t seconds);
/* Adds who was traced and by whom: "source" to "started". */
void tm_json_put_process(struct json_object *object, const struct tm_model *model);
/* {"size", "count", "traceback"} */
struct json_object *tm_json_statistic(const struct tm_model *model, enum tm_group group,
                                      const struct tm_statistic *item);
/* {"address", "size", "domain"} */
struct json_object *tm_json_block(const struct tm_block *block);
/* [{"filename", "lineno", "name"}...], most recent first */
struct json_object *tm_json_traceback(const struct tm_model *model, uint32_t stack);
/* The frame that stands for a group: [{...}], or all frames if it is a traceback. */
struct json_object *tm_json_group(const struct tm_model *model, uint32_t group, uint32_t stack, uint32_t location);
/* Adds "selected": {"size", "count"}, if there are filters. */
void tm_json_put_selected(struct json_object *object, const struct tm_request *request);
struct json_object *tm_json_frame(const struct tm_model *model, uint32_t location, bool lineno, bool name);

extern const char *const tm_on_limit_names[]; /* verb_run.c */

/* The biggest blocks that the filters leave, at most `limit`, biggest first; to be freed. */
struct tm_error *tm_blocks_biggest(const struct tm_request *request, uint64_t limit, struct tm_block **ret,
                                   size_t *count);

/* ---- verbs -------------------------------------------------------------------------------------------------------- */

struct tm_error *tm_run_info(struct tm_request *request);
struct tm_error *tm_run_top(struct tm_request *request);
struct tm_error *tm_run_traceback(struct tm_request *request);
struct tm_error *tm_run_blocks(struct tm_request *request);
struct tm_error *tm_run_tree(struct tm_request *request);
struct tm_error *tm_run_sizes(struct tm_request *request);
struct tm_error *tm_run_diff(struct tm_request *request);
struct tm_error *tm_run_dump(struct tm_request *request);
struct tm_error *tm_check_export(const struct tm_request *request);
struct tm_error *tm_check_report(const struct tm_request *request);
struct tm_error *tm_run_export(struct tm_request *request);
struct tm_error *tm_run_check(struct tm_request *request);
struct tm_error *tm_run_report(struct tm_request *request);
struct tm_error *tm_run_help(struct tm_request *request);
struct tm_error *tm_run_run(struct tm_request *request);
struct tm_error *tm_run_watch(struct tm_request *request);
struct tm_error *tm_run_coredump(struct tm_request *request);
struct tm_error *tm_run_gdb_init(struct tm_request *request);
struct tm_error *tm_run_lldb_init(struct tm_request *request);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The engine's public interface: everything that a face (the command line, a debugger script through ctypes) may call.
 *
 * A face fills one struct tm_face, which says where memory comes from and where text goes, and hands over the words of
 * a command.  The engine parses them, answers, and returns an exit status.  It never exits, never prints except through
 * write(), never runs anything in the target and keeps nothing between two calls.
 *
 *     struct tm_face face = {.size = sizeof(face), .core_file = "core", .write = write_text};
 *     status = tm_command(&face, 2, (const char *[]){"top", "10"});
 *
 * The verbs, their options and their help are rows of one table (commands.c); tm_commands() describes it to faces, so
 * that a new verb needs no change in any of them.
 *
 * ABI: structs only grow at their end, `size` tells how much of struct tm_face the caller knew, everything else is 0.
 * All integers have fixed sizes, all strings are NUL-terminated UTF-8, so that ctypes needs no header.
 */
#ifndef TM_H
#define TM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TM_API __attribute__((visibility("default")))

/* What tm_command() returns, and the exit status of the command line. */
enum tm_status {
    TM_STATUS_OK = 0,
    TM_STATUS_ERROR = 2,       /* no answer; the reason went to stream 2 */
    TM_STATUS_LOWER_BOUND = 3, /* an answer, but part of the table is missing: the truth is at least that */
};

enum tm_stream {
    TM_STREAM_OUT = 1, /* the answer */
    TM_STREAM_ERR = 2, /* "tm: what happened; likely reason.  Try: what to type next\n" */
};

/* struct tm_face.flags */
#define TM_FACE_STOPPED UINT32_C(1) /* the live target stands still while the command runs */

/* struct tm_region.flags as bits of regions(); 0 if the face does not know */
#define TM_REGION_EXECUTE UINT32_C(1)
#define TM_REGION_WRITE UINT32_C(2)
#define TM_REGION_READ UINT32_C(4)

/* To be called once for each mapping [start, end), in any order.  path: the file mapped there, or NULL. */
typedef void (*tm_add_region_fn)(void *context, uint64_t start, uint64_t end, uint32_t flags, const char *path);
/* To be called once for each completion of a word; description may be "". */
typedef void (*tm_add_completion_fn)(void *context, const char *word, const char *description);

/*
 * Where memory comes from: the first of these that is given and works.
 *   core_file      the engine reads the core itself, which is fastest and the only way to tell "zero" from "not saved"
 *   pid            a live process on this machine, which the engine reads through /proc itself
 *   read, regions  whatever the debugger has (a remote target, a core that only it can read)
 * A face that gives none of them (the command line) takes SOURCE, a core file or a pid, as the first argument of each
 * verb.  Any callback but write may be NULL.  Callbacks are called from the thread that called tm_command().
 */
struct tm_face {
    uint32_t size;  /* sizeof(struct tm_face) */
    uint32_t flags; /* TM_FACE_... */
    void *data;     /* handed to every callback */

    /* Bytes read from the start of [address, address + size), which may be fewer than asked for; < 0: none.  The engine
     * asks for large blocks, and keeps them for the rest of the command. */
    int64_t (*read)(void *data, uint64_t address, void *buffer, uint64_t size);
    /* Lists the mappings through add(context, ...).  0: done, < 0: cannot. */
    int32_t (*regions)(void *data, tm_add_region_fn add, void *context);
    /* Takes `size` bytes of text for a stream (enum tm_stream).  0: done, < 0: stop (a closed pipe, "q" at a pager). */
    int32_t (*write)(void *data, int32_t stream, const char *bytes, uint64_t size);
    /* The value of a debugger's expression, without running code in the target.  0: *ret is set; < 0: `message`, which
     * has room for `room` bytes, may say why.  NULL: addresses are numbers only. */
    int32_t (*evaluate)(void *data, const char *expression, uint64_t *ret, char *message, uint64_t room);
    /* != 0: the user wants it to stop (Ctrl-C).  Asked a few hundred times a second at most. */
    int32_t (*interrupted)(void *data);
    /* Address of a symbol of the target.  0: *ret is set. */
    int32_t (*symbol)(void *data, const char *name, uint64_t *ret);

    const char *core_file; /* path, or NULL */
    int32_t pid;           /* or 0 */
    uint32_t width;        /* columns of the terminal; 0: not a terminal */
    uint32_t colour;       /* 1: text may have colours */
    uint32_t reserved;

    /* Long work is at `done` of about `total` blocks.  Called often: the face decides what is worth showing.  Or NULL. */
    void (*progress)(void *data, uint64_t done, uint64_t total);

    int32_t process; /* id of what read() reads, which may run on another machine; or 0 */
    uint32_t reserved_too;
};

/* Runs a command: argv[0] is the verb, the rest its options and arguments.  Returns an enum tm_status. */
TM_API int32_t tm_command(const struct tm_face *face, int32_t argc, const char *const *argv);

/*
 * The table of commands as JSON, valid for ever:
 *   [{"name": "top", "summary": "...", "usage": "top [OPTION]... [N]", "help": "full text of --help",
 *     "command_line_only": false,
 *     "arguments": [{"name": "N", "kind": "number", "optional": true}],
 *     "options": [{"name": "--by", "short": "-b" or "", "argument": "GROUP" or "", "kind": "choice",
 *                  "choices": ["lineno", ...], "help": "..."}]}]
 * SOURCE is not among the arguments.  Kinds: number, size, address, choice, word, file, flag.
 */
TM_API const char *tm_commands(void);

/* What may follow: argv is the words so far (verb first, if it is complete), `word` what is typed of the next one.
 * Returns a kind of completion that only the face can do, in addition to the words added. */
enum tm_completion {
    TM_COMPLETE_WORDS = 0,
    TM_COMPLETE_FILE = 1,
    TM_COMPLETE_EXPRESSION = 2,
};
TM_API int32_t tm_complete(const struct tm_face *face, int32_t argc, const char *const *argv, const char *word,
                           tm_add_completion_fn add, void *context);

/* "0.1.0" */
TM_API const char *tm_version(void);

#ifdef __cplusplus
}
#endif

#endif

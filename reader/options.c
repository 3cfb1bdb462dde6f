/* SPDX-License-Identifier: MIT */
/*
 * From words to a request, by argp, told by the rows of the table.
 *
 * Inside a debugger nothing may exit, and nothing may write to stderr on its own: argp runs without its own messages, so
 * the words are looked at first for whatever it would only have answered with EINVAL.
 */
#define _GNU_SOURCE
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "request.h"

#define FIRST_KEY 0x100 /* of options without a letter */

struct parser {
    struct tm_request *request;
    int given; /* arguments so far, SOURCE included */
    bool wants_source;
    struct tm_error *error;
};

bool tm_face_has_target(const struct tm_face *face)
{
    return face->read || face->core_file || face->pid || face->regions;
}

static struct tm_error *see_help(struct tm_error *error, const struct tm_request *request)
{
    return tm_error_try(error, "tm %s --help", request->verb->name);
}

/* ---- values ----------------------------------------------------------------------------------------------------------- */

static struct tm_error *parse_number(const char *name, const char *word, uint64_t *ret)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(word, &end, 10);
    if (!isdigit((unsigned char)word[0]) || *end || errno || !value)
        return tm_error(TM_ERROR_USAGE, "%s must be a whole number from 1 on, not '%s'", name, word);
    *ret = value;
    return NULL;
}

static struct tm_error *parse_size(const char *name, const char *word, uint64_t *ret)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(word, &end, 10), factor = 1;
    static const char units[] = "KMGT";
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    if (unit) {
        factor = UINT64_C(1) << (10 * (unit - units + 1));
        end++;
    }
    if (!strcasecmp(end, "iB") || !strcasecmp(end, "B"))
        end = strchr(end, 0);
    if (!isdigit((unsigned char)word[0]) || *end || errno || __builtin_mul_overflow(value, factor, ret))
        return tm_error(TM_ERROR_USAGE, "%s must be a number of bytes such as 4096 or 64K, not '%s'", name, word);
    return NULL;
}

static struct tm_error *parse_choice(const char *name, const char *word, const char *const *choices, uint32_t *ret)
{
    struct tm_text all = {0};
    size_t count = 0;
    for (; choices && choices[count]; count++) {
        if (!strcmp(choices[count], word)) {
            *ret = (uint32_t)count;
            tm_text_free(&all);
            return NULL;
        }
        tm_text_print(&all, "%s%s", count ? ", " : "", choices[count]);
    }
    const char *nearest = tm_nearest(word, choices, count);
    struct tm_error *error = tm_error(TM_ERROR_USAGE, "%s cannot be '%s'", name, word);
    error = tm_error_because(error, "it is one of %s", all.bytes ? all.bytes : "");
    tm_text_free(&all);
    return nearest ? tm_error_try(error, "%s %s", name, nearest) : error;
}

static struct tm_error *parse_percent(const char *name, const char *word, double *ret)
{
    char *end;
    /* Not strtod(): in a debugger's locale the point may be a comma. */
    uint64_t whole = strtoull(word, &end, 10);
    double value = (double)whole, place = 0.1;
    bool ok = isdigit((unsigned char)word[0]);
    if (*end == '.') {
        for (end++; isdigit((unsigned char)*end); end++, place /= 10)
            value += (*end - '0') * place;
    }
    if (*end == '%')
        end++;
    if (!ok || *end || value > 100)
        return tm_error(TM_ERROR_USAGE, "%s must be a number from 0 to 100, not '%s'", name, word);
    *ret = value;
    return NULL;
}

static struct tm_error *add_word(struct tm_words *words, const char *word)
{
    const char **items = reallocarray(words->items, words->count + 1, sizeof(*items));
    if (!items)
        return tm_error_no_memory();
    words->items = items;
    items[words->count++] = word;
    return NULL;
}

static struct tm_error *parse_value(struct tm_request *request, const char *name, enum tm_kind kind, size_t field,
                                    const char *const *choices, const char *word)
{
    void *into = (char *)request + field;
    switch (kind) {
    case TM_KIND_FLAG:
        *(bool *)into = true;
        return NULL;
    case TM_KIND_NUMBER:
        return parse_number(name, word, into);
    case TM_KIND_SIZE:
        return parse_size(name, word, into);
    case TM_KIND_CHOICE:
        return parse_choice(name, word, choices, into);
    case TM_KIND_PERCENT:
        return parse_percent(name, word, into);
    case TM_KIND_WORDS:
        return add_word(into, word);
    case TM_KIND_WORD:
    case TM_KIND_ADDRESS:
    case TM_KIND_FILE:
        *(const char **)into = word;
        return NULL;
    }
    return NULL;
}

struct tm_error *tm_request_address(struct tm_request *request, const char *word, uint64_t *ret)
{
    char *end, message[512] = "";
    bool hexadecimal = word[0] == '0' && (word[1] == 'x' || word[1] == 'X');
    errno = 0;
    uint64_t value = strtoull(word, &end, hexadecimal ? 16 : 10);
    if (isdigit((unsigned char)word[0]) && !*end && !errno) {
        *ret = value;
        return NULL;
    }
    const struct tm_face *face = request->face;
    if (!face->evaluate)
        return tm_error_try(tm_error(TM_ERROR_USAGE, "ADDR must be a number, not '%s'", word),
                            "an address such as 0x7f0123456780");
    if (face->evaluate(face->data, word, ret, message, sizeof(message)) >= 0)
        return NULL;
    message[sizeof(message) - 1] = 0;
    struct tm_error *error = tm_error(TM_ERROR_USAGE, "'%s' has no value that could be an address", word);
    if (message[0])
        error = tm_error_because(error, "%s", message);
    return tm_error_try(error, "an expression that is an address, such as 0x7f0123456780");
}

/* ---- argp --------------------------------------------------------------------------------------------------------------- */

static const struct tm_option *option_of_key(const struct tm_verb *verb, int key)
{
    for (size_t i = 0; verb->options[i]; i++) {
        if (key == (verb->options[i]->letter ? verb->options[i]->letter : FIRST_KEY + (int)i))
            return verb->options[i];
    }
    return NULL;
}

/* A debugger's expression may have spaces: the words after the first one belong to it. */
static bool continues_address(struct parser *parser, const struct tm_argument *last, const char *word)
{
    struct tm_request *request = parser->request;
    if (!last || last->kind != TM_KIND_ADDRESS || !request->face->evaluate || !request->address)
        return false;
    char *joined;
    if (asprintf(&joined, "%s %s", request->address, word) < 0)
        return false;
    free(request->joined);
    request->address = request->joined = joined;
    return true;
}

static void take_argument(struct parser *parser, char *word)
{
    struct tm_request *request = parser->request;
    const struct tm_argument *arguments = request->verb->arguments;
    const size_t room = sizeof(request->verb->arguments) / sizeof(arguments[0]);
    int count = 0, index = parser->given++;
    while (count < (int)room && arguments[count].name)
        count++;
    int place_of_source = request->verb->flags & TM_VERB_SOURCE_LAST ? count : 0;
    if (parser->wants_source && index == place_of_source) {
        request->source = word;
        return;
    }
    index -= parser->wants_source && index > place_of_source;
    if (index < count)
        parser->error =
            parse_value(request, arguments[index].name, arguments[index].kind, arguments[index].field, NULL, word);
    else if (!continues_address(parser, count ? &arguments[count - 1] : NULL, word))
        parser->error = tm_error(TM_ERROR_USAGE, "'%s' is one argument too many", word);
    if (parser->error && !parser->error->next)
        parser->error = see_help(parser->error, request);
}

static error_t take(int key, char *word, struct argp_state *state)
{
    struct parser *parser = state->input;
    struct tm_request *request = parser->request;
    if (key == ARGP_KEY_ARG && (request->verb->flags & TM_VERB_REST)) {
        request->rest = &state->argv[state->next - 1];
        request->rest_count = state->argc - state->next + 1;
        state->next = state->argc;
        return 0;
    }
    if (key == ARGP_KEY_ARG) {
        take_argument(parser, word);
        return parser->error ? EINVAL : 0;
    }
    const struct tm_option *option = option_of_key(request->verb, key);
    if (!option)
        return ARGP_ERR_UNKNOWN;
    char name[64];
    snprintf(name, sizeof(name), "--%s", option->name);
    parser->error = parse_value(request, name, option->kind, option->field, option->choices, word);
    if (parser->error && !parser->error->next)
        parser->error = see_help(parser->error, request);
    return parser->error ? EINVAL : 0;
}

static void make_argp(const struct tm_verb *verb, struct argp_option *options, struct argp *argp)
{
    size_t count = 0;
    for (; count < TM_MAX_OPTIONS - 1 && verb->options[count]; count++) {
        const struct tm_option *option = verb->options[count];
        options[count] = (struct argp_option){
            .name = option->name,
            .key = option->letter ? option->letter : FIRST_KEY + (int)count,
            .arg = option->argument,
            .doc = option->help,
        };
    }
    options[count] = (struct argp_option){0};
    *argp = (struct argp){.options = options, .parser = take};
}

/* ---- what argp would not explain ------------------------------------------------------------------------------------- */

static const struct tm_option *find_long(const struct tm_verb *verb, const char *name, size_t length)
{
    const struct tm_option *found = NULL;
    for (size_t i = 0; verb->options[i]; i++) {
        if (strncmp(verb->options[i]->name, name, length) != 0)
            continue;
        if (strlen(verb->options[i]->name) == length)
            return verb->options[i];
        if (found)
            return NULL; /* ambiguous */
        found = verb->options[i];
    }
    return found;
}

static struct tm_error *unknown_option(const struct tm_request *request, const char *word, size_t length)
{
    const char *names[TM_MAX_OPTIONS];
    char name[128];
    size_t count = 0;
    for (; request->verb->options[count]; count++)
        names[count] = request->verb->options[count]->name;
    snprintf(name, sizeof(name), "%.*s", (int)length, word);
    struct tm_error *error = tm_error(TM_ERROR_USAGE, "tm %s has no option '%s'", request->verb->name, name);
    const char *nearest = length > 2 ? tm_nearest(name + 2, names, count) : NULL;
    return nearest ? tm_error_try(error, "--%s", nearest) : see_help(error, request);
}

static struct tm_error *look_at_word(struct tm_request *request, char **argv, int argc, int *at)
{
    const struct tm_verb *verb = request->verb;
    const char *word = argv[*at];
    if (isdigit((unsigned char)word[1])) {
        const struct tm_argument *first = &verb->arguments[0];
        struct tm_error *error =
            first->name && first->kind == TM_KIND_NUMBER
                ? tm_error(TM_ERROR_USAGE, "%s must be a whole number from 1 on, not '%s'", first->name, word)
                : tm_error(TM_ERROR_USAGE, "'%s' is no argument of tm %s", word, verb->name);
        return see_help(error, request);
    }
    const struct tm_option *option = NULL;
    const char *value = NULL;
    if (word[1] == '-') {
        size_t length = strcspn(word + 2, "=");
        option = find_long(verb, word + 2, length);
        value = word[2 + length] ? word + 3 + length : NULL;
        if (!option)
            return unknown_option(request, word, length + 2);
        if (option->kind == TM_KIND_FLAG && value)
            return see_help(tm_error(TM_ERROR_USAGE, "--%s takes no value", option->name), request);
    } else {
        /* letters without values may stand together; the first with a value takes the rest of the word */
        for (const char *letter = word + 1; *letter; letter++) {
            option = option_of_key(verb, *letter);
            if (!option)
                return unknown_option(request, word, strlen(word));
            if (option->kind != TM_KIND_FLAG) {
                value = letter[1] ? letter + 1 : NULL;
                break;
            }
        }
    }
    if (option && option->kind != TM_KIND_FLAG && !value) {
        if (*at + 1 >= argc)
            return see_help(tm_error(TM_ERROR_USAGE, "--%s needs a value: %s", option->name, option->argument),
                            request);
        (*at)++;
    }
    return NULL;
}

static struct tm_error *look_at_words(struct tm_request *request, char **argv, int argc, bool *help)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (!strcmp(word, "--"))
            break;
        if (!strcmp(word, "--help") || (!strcmp(word, "-h") && !option_of_key(request->verb, 'h'))) {
            *help = true;
            return NULL;
        }
        if (word[0] != '-' || !word[1]) {
            if (request->verb->flags & TM_VERB_REST)
                break;
            continue;
        }
        struct tm_error *error = look_at_word(request, argv, argc, &i);
        if (error)
            return error;
    }
    return NULL;
}

static struct tm_error *check_arguments(const struct parser *parser)
{
    const struct tm_request *request = parser->request;
    int given = parser->given - parser->wants_source;
    if (parser->wants_source && !request->source)
        return see_help(tm_error(TM_ERROR_USAGE, "tm %s needs to know where to look: a core file, a snapshot or a pid",
                                 request->verb->name),
                        request);
    for (int i = given; i < 3 && request->verb->arguments[i].name; i++) {
        if (!request->verb->arguments[i].optional)
            return see_help(
                tm_error(TM_ERROR_USAGE, "tm %s needs %s", request->verb->name, request->verb->arguments[i].name),
                request);
    }
    return NULL;
}

struct tm_error *tm_options_parse(struct tm_request *request, int argc, char **argv, bool *help)
{
    *help = false;
    struct tm_error *error = look_at_words(request, argv, argc, help);
    if (error || *help)
        return error;
    struct argp_option options[TM_MAX_OPTIONS];
    struct argp argp;
    make_argp(request->verb, options, &argp);
    struct parser parser = {
        .request = request,
        .wants_source = !(request->verb->flags & TM_VERB_NO_TARGET) && !tm_face_has_target(request->face),
    };
    unsigned flags = ARGP_NO_EXIT | ARGP_NO_ERRS | ARGP_NO_HELP;
    if (request->verb->flags & TM_VERB_REST)
        flags |= ARGP_IN_ORDER;
    error_t failed = argp_parse(&argp, argc, argv, flags, NULL, &parser);
    if (parser.error)
        return parser.error;
    if (failed)
        return see_help(tm_error(TM_ERROR_USAGE, "tm %s cannot be called like this", request->verb->name), request);
    return check_arguments(&parser);
}

/* ---- help --------------------------------------------------------------------------------------------------------------- */

void tm_usage_text(const struct tm_verb *verb, bool has_source, struct tm_text *text)
{
    tm_text_print(text, "%s", verb->name);
    if (verb->options[0])
        tm_text_print(text, " [OPTION]...");
    has_source &= !(verb->flags & TM_VERB_NO_TARGET);
    if (has_source && !(verb->flags & TM_VERB_SOURCE_LAST))
        tm_text_print(text, " SOURCE");
    for (size_t i = 0; i < 3 && verb->arguments[i].name; i++)
        tm_text_print(text, verb->arguments[i].optional ? " [%s]" : " %s", verb->arguments[i].name);
    if (has_source && (verb->flags & TM_VERB_SOURCE_LAST))
        tm_text_print(text, " NEW");
    if (verb->flags & TM_VERB_REST)
        tm_text_print(text, verb->run == tm_run_coredump ? " [VERB [ARG]...] EXE -c CORE" : " [--] COMMAND...");
}

/* The examples say SOURCE where the command line needs one; a debugger has it already. */
static void add_help(const char *help, bool has_source, struct tm_text *text)
{
    static const char place[] = " SOURCE";
    for (const char *at; (at = strstr(help, place)); help = at + strlen(place)) {
        tm_text_add(text, help, at - help);
        tm_text_print(text, "%s", has_source ? " core" : "");
    }
    tm_text_print(text, "%s\n", help);
}

void tm_help_text(const struct tm_verb *verb, bool has_source, struct tm_text *text)
{
    tm_text_print(text, "%s\nUsage: tm ", verb->summary);
    tm_usage_text(verb, has_source, text);
    tm_text_print(text, "\n\n");
    struct argp_option options[TM_MAX_OPTIONS];
    struct argp argp;
    make_argp(verb, options, &argp);
    char *formatted = NULL;
    size_t size = 0;
    FILE *stream = verb->options[0] ? open_memstream(&formatted, &size) : NULL;
    if (stream) {
        char name[] = "tm";
        argp_help(&argp, stream, ARGP_HELP_LONG, name);
        fclose(stream);
        /* argp explains that "-b GROUP" is "--by=GROUP"; who reads this in a debugger knows. */
        const char *note = formatted ? strstr(formatted, "\nMandatory or optional arguments") : NULL;
        tm_text_add(text, formatted, note ? (size_t)(note - formatted) : size);
        tm_text_print(text, "\n");
    }
    free(formatted);
    if (has_source && !(verb->flags & TM_VERB_NO_TARGET))
        tm_text_print(text, "%s is a core file, a snapshot file, or the pid of a live process.\n",
                      verb->flags & TM_VERB_SOURCE_LAST ? "NEW" : "SOURCE");
    for (size_t i = 0; verb->options[i]; i++) {
        if (!strcmp(verb->options[i]->name, "include"))
            tm_text_print(text, "%s", tm_filters_help);
    }
    if (verb->help)
        add_help(verb->help, has_source, text);
    if (!has_source && verb->arguments[0].name && verb->arguments[0].kind == TM_KIND_ADDRESS)
        tm_text_print(text, "         tm %s $rdi + 8\n", verb->name);
}

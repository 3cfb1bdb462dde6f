/* SPDX-License-Identifier: MIT */
/* The table of commands for faces: as JSON, from which they make their own verbs, and as completions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "request.h"

static const char *const kinds[] = {
    [TM_KIND_FLAG] = "flag",     [TM_KIND_NUMBER] = "number",   [TM_KIND_SIZE] = "size",
    [TM_KIND_CHOICE] = "choice", [TM_KIND_PERCENT] = "number",  [TM_KIND_WORDS] = "word",
    [TM_KIND_WORD] = "word",     [TM_KIND_ADDRESS] = "address", [TM_KIND_FILE] = "file",
};

static struct json_object *describe_option(const struct tm_option *option)
{
    struct json_object *object = json_object_new_object(), *choices = json_object_new_array();
    char name[64], letter[3] = {'-', option->letter, 0};
    snprintf(name, sizeof(name), "--%s", option->name);
    tm_json_put(object, "name", json_object_new_string(name));
    tm_json_put(object, "short", json_object_new_string(option->letter ? letter : ""));
    tm_json_put(object, "argument", json_object_new_string(option->argument ? option->argument : ""));
    tm_json_put(object, "kind", json_object_new_string(kinds[option->kind]));
    for (size_t i = 0; option->choices && option->choices[i]; i++)
        json_object_array_add(choices, json_object_new_string(option->choices[i]));
    tm_json_put(object, "choices", choices);
    tm_json_put(object, "help", json_object_new_string(option->help));
    return object;
}

static struct json_object *describe_verb(const struct tm_verb *verb)
{
    struct json_object *object = json_object_new_object();
    struct json_object *arguments = json_object_new_array(), *options = json_object_new_array();
    struct tm_text usage = {0}, help = {0};
    tm_usage_text(verb, false, &usage);
    tm_help_text(verb, false, &help);
    tm_json_put(object, "name", json_object_new_string(verb->name));
    tm_json_put(object, "summary", json_object_new_string(verb->summary));
    tm_json_put(object, "usage", json_object_new_string(usage.bytes ? usage.bytes : ""));
    tm_json_put(object, "help", json_object_new_string(help.bytes ? help.bytes : ""));
    tm_json_put(object, "command_line_only", json_object_new_boolean(verb->flags & TM_VERB_COMMAND_LINE));
    for (size_t i = 0; i < 3 && verb->arguments[i].name; i++) {
        struct json_object *argument = json_object_new_object();
        tm_json_put(argument, "name", json_object_new_string(verb->arguments[i].name));
        tm_json_put(argument, "kind", json_object_new_string(kinds[verb->arguments[i].kind]));
        tm_json_put(argument, "optional", json_object_new_boolean(verb->arguments[i].optional));
        json_object_array_add(arguments, argument);
    }
    tm_json_put(object, "arguments", arguments);
    for (size_t i = 0; verb->options[i]; i++)
        json_object_array_add(options, describe_option(verb->options[i]));
    tm_json_put(object, "options", options);
    tm_text_free(&usage);
    tm_text_free(&help);
    return object;
}

const char *tm_commands(void)
{
    static char *description;
    char *known = __atomic_load_n(&description, __ATOMIC_ACQUIRE);
    if (known)
        return known;
    struct json_object *verbs = json_object_new_array();
    for (size_t i = 0; i < tm_verb_count; i++)
        json_object_array_add(verbs, describe_verb(&tm_verbs[i]));
    char *made = strdup(json_object_to_json_string_ext(verbs, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(verbs);
    if (!__atomic_compare_exchange_n(&description, &known, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        free(made);
        made = known;
    }
    return made ? made : "[]";
}

/* ---- completion --------------------------------------------------------------------------------------------------------- */

struct completion {
    const char *word;
    tm_add_completion_fn add;
    void *context;
};

static void offer(const struct completion *completion, const char *word, const char *description)
{
    if (!strncmp(word, completion->word, strlen(completion->word)))
        completion->add(completion->context, word, description);
}

static int32_t kind_of(enum tm_kind kind)
{
    if (kind == TM_KIND_FILE)
        return TM_COMPLETE_FILE;
    return kind == TM_KIND_ADDRESS ? TM_COMPLETE_EXPRESSION : TM_COMPLETE_WORDS;
}

static void offer_verbs(const struct completion *completion, const struct tm_face *face)
{
    for (size_t i = 0; i < tm_verb_count; i++) {
        if (!(tm_verbs[i].flags & TM_VERB_COMMAND_LINE) || !tm_face_has_target(face))
            offer(completion, tm_verbs[i].name, tm_verbs[i].summary);
    }
}

/* The option that the word before is, if it still wants its value. */
static const struct tm_option *waiting_option(const struct tm_verb *verb, const char *before)
{
    for (size_t i = 0; verb->options[i]; i++) {
        const struct tm_option *option = verb->options[i];
        bool named = before[0] == '-' && before[1] == '-' && !strcmp(before + 2, option->name);
        bool lettered = option->letter && before[0] == '-' && before[1] == option->letter && !before[2];
        if (option->kind != TM_KIND_FLAG && (named || lettered))
            return option;
    }
    return NULL;
}

int32_t tm_complete(const struct tm_face *given, int32_t argc, const char *const *argv, const char *word,
                    tm_add_completion_fn add, void *context)
{
    struct tm_face face = {0};
    memcpy(&face, given, given->size < sizeof(face) ? given->size : sizeof(face));
    const struct completion completion = {word ? word : "", add, context};
    if (argc <= 0) {
        offer_verbs(&completion, &face);
        return TM_COMPLETE_WORDS;
    }
    struct tm_error *error = NULL;
    const struct tm_verb *verb = tm_verb_find(&face, argv[0], &error);
    tm_error_destroy(error);
    if (!verb)
        return TM_COMPLETE_WORDS;
    const struct tm_option *waiting = argc > 1 ? waiting_option(verb, argv[argc - 1]) : NULL;
    if (waiting) {
        for (size_t i = 0; waiting->choices && waiting->choices[i]; i++)
            offer(&completion, waiting->choices[i], "");
        return kind_of(waiting->kind);
    }
    if (completion.word[0] == '-') {
        for (size_t i = 0; verb->options[i]; i++) {
            char name[64];
            snprintf(name, sizeof(name), "--%s", verb->options[i]->name);
            offer(&completion, name, verb->options[i]->help);
        }
        return TM_COMPLETE_WORDS;
    }
    int given_arguments = 0;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-' && !waiting_option(verb, argv[i - 1]))
            given_arguments++;
    }
    int place_of_source = 0;
    while (verb->flags & TM_VERB_SOURCE_LAST && place_of_source < 3 && verb->arguments[place_of_source].name)
        place_of_source++;
    if (!tm_face_has_target(&face) && !(verb->flags & TM_VERB_NO_TARGET)) {
        if (given_arguments == place_of_source)
            return TM_COMPLETE_FILE;
        given_arguments -= given_arguments > place_of_source;
    }
    if (verb->run == tm_run_help)
        offer_verbs(&completion, &face);
    if (given_arguments < 3 && verb->arguments[given_arguments].name)
        return kind_of(verb->arguments[given_arguments].kind);
    return TM_COMPLETE_WORDS;
}

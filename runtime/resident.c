/* SPDX-License-Identifier: MIT */
/*
 * How much memory the table takes: what the kernel has made resident of it, not what is mapped.
 *
 * /proc/self/smaps says so for each mapping.  mincore() and pagemap do not do: reading a page of a leaf that nobody wrote
 * (the slot of a block that is freed, but was never traced) maps the kernel's page of zeros there, which they count and
 * which costs nothing.  A mapping that the kernel merged with somebody else's neighbour (of the same flags, which is rare)
 * is the exception: for our part of that, mincore() has to do.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime.h"

struct span {
    uintptr_t start;
    uintptr_t end;
};

struct survey {
    struct span *spans; /* sorted, neighbours merged */
    size_t count;
    size_t room;
    uintptr_t start; /* the mapping being read about */
    uintptr_t end;
    uint64_t resident;
};

static void count_chunk(const struct tm_chunk *chunk, void *argument)
{
    struct survey *survey = argument;
    (void)chunk;
    survey->room++;
}

static void add_chunk(const struct tm_chunk *chunk, void *argument)
{
    struct survey *survey = argument;
    if (survey->count < survey->room) /* another thread may have added some since */
        survey->spans[survey->count++] = (struct span){(uintptr_t)chunk, (uintptr_t)chunk + chunk->bytes};
}

static int compare_spans(const void *left, const void *right)
{
    const struct span *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

static bool collect(struct survey *survey)
{
    tm_arena_each(count_chunk, survey);
    survey->spans = malloc((survey->room + 1) * sizeof(*survey->spans));
    if (!survey->spans)
        return false;
    tm_arena_each(add_chunk, survey);
    qsort(survey->spans, survey->count, sizeof(*survey->spans), compare_spans);
    size_t kept = 0;
    for (size_t i = 0; i < survey->count; i++) {
        if (kept && survey->spans[kept - 1].end == survey->spans[i].start)
            survey->spans[kept - 1].end = survey->spans[i].end;
        else
            survey->spans[kept++] = survey->spans[i];
    }
    survey->count = kept;
    return true;
}

static uint64_t count_pages(uintptr_t start, uintptr_t end)
{
    unsigned char resident[1024];
    uint64_t bytes = 0;
    while (start < end) {
        size_t pages = (end - start) / TM_PAGE < sizeof(resident) ? (end - start) / TM_PAGE : sizeof(resident);
        if (tm_arena_resident_pages((const void *)start, pages, resident))
            for (size_t i = 0; i < pages; i++)
                bytes += (resident[i] & 1) * (uint64_t)TM_PAGE;
        start += pages * TM_PAGE;
    }
    return bytes;
}

/* A mapping and what of it is resident: how much of that is ours? */
static void add_mapping(struct survey *survey, uint64_t resident)
{
    uint64_t ours = 0, counted = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < survey->count; i++) {
            uintptr_t start = survey->spans[i].start > survey->start ? survey->spans[i].start : survey->start;
            uintptr_t end = survey->spans[i].end < survey->end ? survey->spans[i].end : survey->end;
            if (start < end && pass == 0)
                ours += end - start;
            else if (start < end)
                counted += count_pages(start, end);
        }
        if (!ours)
            return;
        if (ours == survey->end - survey->start) {
            survey->resident += resident;
            return;
        }
    }
    survey->resident += counted < resident ? counted : resident;
}

static void read_line(struct survey *survey, const char *line)
{
    unsigned long start, end, kilobytes;
    if (!strncmp(line, "Rss:", 4) && sscanf(line + 4, "%lu", &kilobytes) == 1)
        add_mapping(survey, (uint64_t)kilobytes * 1024);
    else if ((line[0] < 'A' || line[0] > 'Z') && sscanf(line, "%lx-%lx", &start, &end) == 2) {
        survey->start = start;
        survey->end = end;
    }
}

static bool read_smaps(struct survey *survey)
{
    char buffer[16384];
    size_t filled = 0;
    int file = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    for (;;) {
        ssize_t got = read(file, buffer + filled, sizeof(buffer) - 1 - filled);
        if (got <= 0)
            break;
        filled += (size_t)got;
        buffer[filled] = '\0';
        char *line = buffer;
        for (char *end; (end = strchr(line, '\n')); line = end + 1) {
            *end = '\0';
            read_line(survey, line);
        }
        filled -= (size_t)(line - buffer);
        memmove(buffer, line, filled);
        if (filled == sizeof(buffer) - 1)
            filled = 0; /* the path of a mapped file cannot be that long */
    }
    close(file);
    return survey->start != 0;
}

uint64_t tm_resident_bytes(void)
{
    struct survey survey = {0};
    if (!tm_runtime.state || !collect(&survey))
        return 0;
    if (!read_smaps(&survey)) {
        for (size_t i = 0; i < survey.count; i++)
            survey.resident += count_pages(survey.spans[i].start, survey.spans[i].end);
    }
    free(survey.spans);
    return survey.resident;
}

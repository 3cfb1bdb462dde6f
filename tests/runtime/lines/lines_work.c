/* SPDX-License-Identifier: MIT */
/* A function of 100,000 lines: every line is found, in whatever order it is asked for, and without a walk through half of the
 * table for each.  Counts the entries that are decoded, not seconds. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/lines.h"

#define LINES 100000
#define UNITS_PER_LINE 8
#define LOOK_UPS 50000

static PyBytesObject *table_of(int step)
{
    PyBytesObject *table = calloc(1, sizeof(*table) + (size_t)LINES * 2);
    ((PyVarObject *)table)->ob_size = (Py_ssize_t)LINES * 2;
    for (int i = 0; i < LINES; i++) {
#if PY_VERSION_HEX >= 0x030B0000
        table->ob_sval[2 * i] = (char)(0x80 | 13 << 3 | (UNITS_PER_LINE - 1));
        table->ob_sval[2 * i + 1] = (char)(i ? 2 * step : 0);
#elif PY_VERSION_HEX >= 0x030A0000
        table->ob_sval[2 * i] = UNITS_PER_LINE * sizeof(_Py_CODEUNIT);
        table->ob_sval[2 * i + 1] = (char)(i ? step : 0);
#else
        table->ob_sval[2 * i] = UNITS_PER_LINE;
        table->ob_sval[2 * i + 1] = (char)step;
#endif
    }
    return table;
}

static int wrong;

static void ask(const PyCodeObject *code, int line, int step, bool lasting)
{
    for (int unit = 0; unit < UNITS_PER_LINE; unit += UNITS_PER_LINE - 1) {
        uint32_t found = tm_code_line(code, (intptr_t)line * UNITS_PER_LINE + unit, lasting);
        if (found != (uint32_t)(10 + line * step) && wrong++ < 5)
            fprintf(stderr, "line %d: %u\n", 10 + line * step, found);
    }
}

static void expect_work(const char *order, uint64_t bound)
{
    printf("%s: %llu entries\n", order, (unsigned long long)tm_lines_work);
    if (tm_lines_work > bound)
        wrong++;
    tm_lines_work = 0;
}

int main(void)
{
    PyCodeObject *code = calloc(1, sizeof(*code) + 64), *other = calloc(1, sizeof(*other) + 64);
    code->co_firstlineno = other->co_firstlineno = 10;
    PyObject *one = (PyObject *)table_of(1), *two = (PyObject *)table_of(2);
#if PY_VERSION_HEX >= 0x030A0000
#define TABLE co_linetable
#else
#define TABLE co_lnotab
#endif
    code->TABLE = one;
    other->TABLE = two;

    const uint64_t each = (uint64_t)2 * 40; /* entries for a look-up: as far as one mark is from the next */
    for (int i = 0; i < LOOK_UPS; i++)
        ask(code, i * 2, 1, true);
    expect_work("forwards", LINES + LOOK_UPS * each);
    for (int i = LOOK_UPS; i--;)
        ask(code, i * 2 + 1, 1, true);
    expect_work("backwards", LINES + LOOK_UPS * each);
    for (int i = 0; i < LOOK_UPS; i++)
        ask(i % 2 ? code : other, (int)(i * 7919LL % LINES), i % 2 ? 1 : 2, true);
    expect_work("two functions, to and fro", 3 * LINES + LOOK_UPS * each);

    /* Another code object where the first one was. */
    tm_lines_forget((uintptr_t)code);
    code->TABLE = two;
    for (int i = 0; i < 1000; i++)
        ask(code, (int)(i * 7919LL % LINES), 2, true);
    tm_lines_forget_all();
    code->TABLE = one;
    for (int i = 0; i < 1000; i++)
        ask(code, (int)(i * 7919LL % LINES), 1, true);
    tm_lines_work = 0;
    /* One that may go without a word leaves no marks. */
    code->TABLE = two;
    tm_lines_forget((uintptr_t)code);
    for (int i = 0; i < 20; i++) {
        code->TABLE = i % 2 ? one : two;
        ask(code, (int)(i * 7919LL % LINES), i % 2 ? 1 : 2, false);
    }
    return wrong != 0;
}

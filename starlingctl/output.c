/* Tables for people, JSON for programs. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "starlingctl/ctl.h"

enum ctl_exit ctl_error(enum ctl_exit code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("starlingctl: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return code;
}

static void cell_text(const json_t *value, char *out, size_t size)
{
    if (json_is_string(value)) {
        snprintf(out, size, "%s", json_string_value(value));
    } else if (json_is_integer(value)) {
        snprintf(out, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_boolean(value)) {
        snprintf(out, size, "%s", json_is_true(value) ? "yes" : "no");
    } else {
        snprintf(out, size, "-");
    }
}

#define CELL_SIZE   160
#define MAX_COLUMNS 16

static void print_table(const json_t *rows, const char *const *columns)
{
    int widths[MAX_COLUMNS] = { 0 };
    size_t count = 0;
    char cell[CELL_SIZE];

    for (; columns[count] && count < MAX_COLUMNS; count++) {
        widths[count] = (int)strlen(columns[count]);
    }
    for (size_t i = 0; i < json_array_size(rows); i++) {
        for (size_t c = 0; c < count; c++) {
            cell_text(json_object_get(json_array_get(rows, i), columns[c]), cell, sizeof(cell));
            int width = (int)strlen(cell);
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    for (size_t c = 0; c < count; c++) {
        printf("%-*s%s", widths[c], columns[c], c + 1 < count ? "  " : "\n");
    }
    for (size_t i = 0; i < json_array_size(rows); i++) {
        for (size_t c = 0; c < count; c++) {
            cell_text(json_object_get(json_array_get(rows, i), columns[c]), cell, sizeof(cell));
            printf("%-*s%s", widths[c], cell, c + 1 < count ? "  " : "\n");
        }
    }
}

static void print_json(const json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    puts(text ? text : "null");
    free(text);
}

void ctl_print_rows(const struct ctl *ctl, json_t *rows, const char *const *columns)
{
    if (ctl->json) {
        print_json(rows);
    } else {
        print_table(rows, columns);
    }
    json_decref(rows);
}

void ctl_print_object(const struct ctl *ctl, json_t *object)
{
    if (ctl->json) {
        print_json(object);
    } else {
        const char *key;
        json_t *value;
        json_object_foreach(object, key, value)
        {
            char cell[CELL_SIZE];
            cell_text(value, cell, sizeof(cell));
            printf("%s: %s\n", key, cell);
        }
    }
    json_decref(object);
}

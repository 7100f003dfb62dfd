/* Values of the configuration: units, bounds, words. */
#include "chassis/config_value.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "chassis/base/mem.h"

struct unit {
    const char *name;
    int64_t factor;
};

/* Largest first: the first that divides a number evenly prints it best. */
static const struct unit duration_units[] = {
    { "d", 86400000 },
    { "h", 3600000 },
    { "m", 60000 },
    { "s", 1000 },
    { "ms", 1 },
    { NULL, 0 },
};
static const struct unit size_units[] = {
    { "GiB", INT64_C(1) << 30 },
    { "MiB", INT64_C(1) << 20 },
    { "KiB", INT64_C(1) << 10 },
    { "", 1 },
    { NULL, 0 },
};
static const struct unit plain_units[] = {
    { "", 1 },
    { NULL, 0 },
};

/* NULL: not a number. */
static const struct unit *units_of(enum config_type type)
{
    switch (type) {
    case CONFIG_INT: return plain_units;
    case CONFIG_DURATION: return duration_units;
    case CONFIG_SIZE: return size_units;
    case CONFIG_BOOL:
    case CONFIG_STRING:
    case CONFIG_PATH:
    case CONFIG_ENUM:
    case CONFIG_LIST: break;
    }
    return NULL;
}

static void *member_of(const struct config_field *field, void *section)
{
    return (char *)section + field->offset;
}

static void append_number(struct buf *out, int64_t value, const struct unit *units)
{
    if (value == 0) {
        buf_append_char(out, '0');
        return;
    }
    while (units[1].name != NULL && value % units->factor != 0) {
        units++;
    }
    buf_printf(out, "%" PRId64 "%s", value / units->factor, units->name);
}

bool config_value_has_bounds(const struct config_field *field)
{
    return units_of(field->type) != NULL && (field->min != 0 || field->max != 0);
}

static void append_bounds(const struct config_field *field, struct buf *out)
{
    const struct unit *units = units_of(field->type);
    if (field->max == INT64_MAX) {
        buf_append_literal(out, "at least ");
        append_number(out, field->min, units);
        return;
    }
    buf_append_literal(out, "between ");
    append_number(out, field->min, units);
    buf_append_literal(out, " and ");
    append_number(out, field->max, units);
}

static void append_choices(const struct config_field *field, struct buf *out)
{
    for (size_t i = 0; field->choices[i] != NULL; i++) {
        buf_printf(out, "%s%s", i > 0 ? ", " : "", field->choices[i]);
    }
}

static const char *type_name(enum config_type type)
{
    switch (type) {
    case CONFIG_BOOL: return "true or false";
    case CONFIG_INT: return "a number";
    case CONFIG_DURATION: return "a duration (ms, s, m, h, d)";
    case CONFIG_SIZE: return "a size (KiB, MiB, GiB)";
    case CONFIG_STRING: return "a string";
    case CONFIG_PATH: return "a path";
    case CONFIG_ENUM: return "one of: ";
    case CONFIG_LIST: return "a list of strings";
    }
    return "";
}

void config_value_describe(const struct config_field *field, struct buf *out)
{
    buf_append_str(out, str_from_cstr(type_name(field->type)));
    if (field->type == CONFIG_ENUM) {
        append_choices(field, out);
    }
    if (config_value_has_bounds(field)) {
        buf_append_literal(out, ", ");
        append_bounds(field, out);
    }
}

/* ---- parsing */

/* "0" needs no unit. */
static bool number_parse(struct str text, const struct unit *units, int64_t *value_out)
{
    size_t digits = text.len > 0 && text.ptr[0] == '-' ? 1 : 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
        digits++;
    }
    int64_t number = 0;
    if (!str_to_i64(str_from(text.ptr, digits), &number)) {
        return false;
    }
    struct str unit = str_from(text.ptr + digits, text.len - digits);
    for (; units->name != NULL; units++) {
        if (str_equal(unit, str_from_cstr(units->name))) {
            return !__builtin_mul_overflow(number, units->factor, value_out);
        }
    }
    *value_out = number;
    return number == 0 && str_is_empty(unit);
}

static enum err parse_number(
        const struct config_field *field, struct str text, int64_t *member, struct buf *why)
{
    int64_t value = 0;
    if (!number_parse(text, units_of(field->type), &value)) {
        buf_printf(why, "must be %s", type_name(field->type));
        return ERR_INVALID;
    }
    if (config_value_has_bounds(field) && (value < field->min || value > field->max)) {
        buf_append_literal(why, "must be ");
        append_bounds(field, why);
        return ERR_INVALID;
    }
    *member = value;
    return ERR_OK;
}

static enum err parse_bool(struct str text, bool *member, struct buf *why)
{
    bool is_true = str_equal(text, STR("true"));
    if (!is_true && !str_equal(text, STR("false"))) {
        buf_append_literal(why, "must be true or false");
        return ERR_INVALID;
    }
    *member = is_true;
    return ERR_OK;
}

static enum err parse_enum(
        const struct config_field *field, struct str text, int *member, struct buf *why)
{
    for (int i = 0; field->choices[i] != NULL; i++) {
        if (str_equal(text, str_from_cstr(field->choices[i]))) {
            *member = i;
            return ERR_OK;
        }
    }
    buf_append_literal(why, "must be one of: ");
    append_choices(field, why);
    return ERR_INVALID;
}

static char *complete_path(struct str text, const char *dir)
{
    if (dir == NULL || str_is_empty(text) || text.ptr[0] == '/') {
        return str_to_cstr(text);
    }
    struct buf path;
    buf_init(&path, 0);
    buf_printf(&path, "%s/" STR_FMT, dir, STR_ARG(text));
    char *copy = str_to_cstr(buf_view(&path));
    buf_fini(&path);
    return copy;
}

static bool has_nul(struct str text, struct buf *why)
{
    if (str_find_char(text, '\0') == text.len) {
        return false;
    }
    buf_append_literal(why, "must not contain a NUL character");
    return true;
}

enum err config_value_append(
        const struct config_field *field, struct str item, void *section, struct buf *why)
{
    if (has_nul(item, why)) {
        return ERR_INVALID;
    }
    struct config_strings *list = member_of(field, section);
    list->items = mem_realloc(list->items, (list->count + 1) * sizeof(*list->items));
    list->items[list->count++] = str_to_cstr(item);
    return ERR_OK;
}

static enum err parse_list(
        const struct config_field *field, struct str text, void *section, struct buf *why)
{
    struct str rest = str_trim(text);
    while (!str_is_empty(rest)) {
        enum err err = config_value_append(field, str_trim(str_cut(&rest, ',')), section, why);
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

enum err config_value_parse(const struct config_field *field,
        struct str text,
        const char *dir,
        void *section,
        struct buf *why)
{
    void *member = member_of(field, section);
    switch (field->type) {
    case CONFIG_BOOL: return parse_bool(text, member, why);
    case CONFIG_INT:
    case CONFIG_DURATION:
    case CONFIG_SIZE: return parse_number(field, text, member, why);
    case CONFIG_ENUM: return parse_enum(field, text, member, why);
    case CONFIG_LIST: return parse_list(field, text, section, why);
    case CONFIG_STRING:
    case CONFIG_PATH:
        if (has_nul(text, why)) {
            return ERR_INVALID;
        }
        *(char **)member = complete_path(text, field->type == CONFIG_PATH ? dir : NULL);
        return ERR_OK;
    }
    return ERR_INVALID;
}

void config_value_free(const struct config_field *field, void *section)
{
    void *member = member_of(field, section);
    if (field->type == CONFIG_STRING || field->type == CONFIG_PATH) {
        free(*(char **)member);
        *(char **)member = NULL;
    } else if (field->type == CONFIG_LIST) {
        struct config_strings *list = member;
        for (size_t i = 0; i < list->count; i++) {
            free(list->items[i]);
        }
        free(list->items);
        *list = (struct config_strings){ 0 };
    }
}

static bool lists_equal(const struct config_strings *a, const struct config_strings *b)
{
    bool is_equal = a->count == b->count;
    for (size_t i = 0; is_equal && i < a->count; i++) {
        is_equal = strcmp(a->items[i], b->items[i]) == 0;
    }
    return is_equal;
}

bool config_value_equal(const struct config_field *field, const void *a, const void *b)
{
    const void *left = (const char *)a + field->offset;
    const void *right = (const char *)b + field->offset;
    switch (field->type) {
    case CONFIG_BOOL: return *(const bool *)left == *(const bool *)right;
    case CONFIG_ENUM: return *(const int *)left == *(const int *)right;
    case CONFIG_INT:
    case CONFIG_DURATION:
    case CONFIG_SIZE: return *(const int64_t *)left == *(const int64_t *)right;
    case CONFIG_STRING:
    case CONFIG_PATH: return strcmp(*(char *const *)left, *(char *const *)right) == 0;
    case CONFIG_LIST: return lists_equal(left, right);
    }
    return false;
}

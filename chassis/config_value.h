/* One value of the configuration: text to typed member and back. Used by config.c and
 * config_reference.c only. */
#pragma once

#include "chassis/base/str.h"
#include "chassis/config.h"

/* Writes the member of a section's struct. `dir` (may be NULL) completes relative paths. On error a
 * sentence such as "must be between 1s and 1h" is appended to `why` and the member stays as it was.
 * Items of a CONFIG_LIST are separated by commas. */
MUST_USE enum err config_value_parse(const struct config_field *field,
        struct str text,
        const char *dir,
        void *section,
        struct buf *why);

/* Appends one item to a CONFIG_LIST. */
MUST_USE enum err config_value_append(
        const struct config_field *field, struct str item, void *section, struct buf *why);

void config_value_free(const struct config_field *field, void *section);

bool config_value_equal(const struct config_field *field, const void *a, const void *b);

/* "a duration, between 1s and 1h". */
void config_value_describe(const struct config_field *field, struct buf *out);

bool config_value_has_bounds(const struct config_field *field);

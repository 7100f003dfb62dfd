/* Structured logs: one line per record, to standard error or a file, as key=value or JSON. The
 * message is a constant, facts are fields. Never a message body, never a secret; JIDs go through
 * log_jid, which hashes them by default. Any thread may log; a record is one write(2). A full or
 * blocked sink drops records and counts them (H08). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/str.h"

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

enum log_format {
    LOG_FORMAT_KEY_VALUE,
    LOG_FORMAT_JSON,
};

enum log_jids {
    LOG_JIDS_HASHED,
    LOG_JIDS_PLAIN,
    LOG_JIDS_NONE,
};

struct log_options {
    enum log_level level;
    enum log_format format;
    enum log_jids jids;
    const char *path;    /* NULL: standard error */
    const char *program; /* in every record */
    const char *node;
};

struct log_field {
    const char *key;
    enum {
        LOG_STR,
        LOG_INT,
        LOG_JID
    } type;
    struct str text;
    int64_t number;
};

void log_open(const struct log_options
                *options); /* again: reconfigures; the path is reopened (log rotation) */
void log_close(void);
bool log_is_on(enum log_level level);
uint64_t log_dropped_total(void);

/* `category` is the module ("link", "sasl"), `message` a constant sentence without trailing dot. */
void log_write(enum log_level level,
        const char *category,
        const char *message,
        const struct log_field *fields,
        size_t field_count);

/* clang-format off */
#define log_str(k, v)  ((struct log_field){ .key = (k), .type = LOG_STR, .text = (v) })
#define log_cstr(k, v) ((struct log_field){ .key = (k), .type = LOG_STR, .text = str_from_cstr(v) })
#define log_int(k, v)  ((struct log_field){ .key = (k), .type = LOG_INT, .number = (int64_t)(v) })
#define log_jid(k, v)  ((struct log_field){ .key = (k), .type = LOG_JID, .text = (v) })

/* log_info("link", "peer is up", log_cstr("peer", name), ...): any number of fields, also none. */
#define log_at(level, category, ...)                                                               \
    do {                                                                                           \
        if (log_is_on(level)) {                                                                    \
            const struct log_field log_fields_[] = { LOG_REST_(__VA_ARGS__, { .key = NULL }) };    \
            log_write((level), (category), LOG_FIRST_(__VA_ARGS__, 0), log_fields_,                \
                    sizeof(log_fields_) / sizeof(log_fields_[0]) - 1);                             \
        }                                                                                          \
    } while (0)
#define LOG_FIRST_(first, ...) first
#define LOG_REST_(first, ...)  __VA_ARGS__
#define log_error(category, ...) log_at(LOG_LEVEL_ERROR, category, __VA_ARGS__)
#define log_warn(category, ...)  log_at(LOG_LEVEL_WARN, category, __VA_ARGS__)
#define log_info(category, ...)  log_at(LOG_LEVEL_INFO, category, __VA_ARGS__)
#define log_debug(category, ...) log_at(LOG_LEVEL_DEBUG, category, __VA_ARGS__)
/* clang-format on */

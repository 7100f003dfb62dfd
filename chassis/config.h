/* Configuration: one YAML file for all services plus environment overrides, read into structs by
 * field tables. The tables are also the manual: --print-config writes every option with its
 * default, bounds and sentence.
 *
 * A section is a mapping at the top of the file, or a list of mappings (is_list): hosts,
 * certificates, listeners. An environment variable STARLING_<SECTION>_<NAME> (upper case) overrides
 * a value of a non-list section. An unknown key, a wrong type or a value out of bounds is an error
 * with file and line: "starling.yaml:12: edge.port: ..." */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/err.h"

enum config_type {
    CONFIG_BOOL,     /* bool:      true, false */
    CONFIG_INT,      /* int64_t:   42 */
    CONFIG_DURATION, /* int64_t ms: 500ms, 10s, 5m, 2h, 30d */
    CONFIG_SIZE,     /* int64_t bytes: 4096, 64KiB, 1MiB, 2GiB */
    CONFIG_STRING,   /* char *, never NULL */
    CONFIG_PATH,     /* char *, never NULL; relative to the folder of the file */
    CONFIG_ENUM,     /* int: index into `choices` */
    CONFIG_LIST,     /* struct config_strings: ["a", "b"] */
};

struct config_strings {
    char **items;
    size_t count;
};

struct config_field {
    const char *name;
    enum config_type type;
    size_t offset;              /* offsetof in the section's struct */
    const char *default_text;   /* as it would stand in the file; NULL: required. Lists: comma
                                   separated */
    int64_t min, max;           /* numbers, durations in ms, sizes in bytes; both 0: unbounded */
    const char *const *choices; /* enum words, NULL-terminated */
    const char *help;           /* one sentence */
};

struct config_section {
    const char *name;
    const char *help;
    const struct config_field *fields; /* ends with .name == NULL */
    size_t size;                       /* of the struct, or of one item of a list */
    bool is_list;
    bool may_reload; /* SIGHUP takes changes; otherwise a change is logged as "needs a restart" */
    /* Further checks over the finished struct; appends a sentence to `why` and returns an error.
     * May be NULL. */
    enum err (*check)(const void *section, struct buf *why);
};

struct config;

/* `path` NULL: only defaults and environment. `sections` ends with NULL and lists what this program
 * reads; sections of the product's other programs are passed over, so that one file serves all. On
 * error one line per problem is in `why_out` and NULL is returned. */
struct config *config_load(
        const char *path, const struct config_section *const *sections, struct buf *why_out);
void config_destroy(struct config *config);

/* The struct of a section, filled; lists give the first item and `*count_out`. Valid until
 * config_destroy. */
const void *config_get(const struct config *config, const struct config_section *section);
const void *config_get_list(
        const struct config *config, const struct config_section *section, size_t *count_out);

/* True if the two loads give a section other values. */
bool config_differs(
        const struct config *a, const struct config *b, const struct config_section *section);

void config_print_reference(const struct config_section *const *sections, struct buf *out);

/* Reads a whole secret file (at most 64 KiB), trailing newline cut; refuses an empty one and one
 * that others may read (mode & 0007). `secret_out` must be initialised; it is cleared first. */
MUST_USE enum err config_read_secret(const char *path, struct buf *secret_out, struct buf *why);

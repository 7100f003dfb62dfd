/* What the commands of starlingctl share: options, exit codes, output, the database and the inner
 * HTTP ports. Synchronous: it is a tool for a person or a script, not a service. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/str.h"
#include "chassis/config.h"

enum ctl_exit {
    CTL_OK = 0,
    CTL_FAILED = 1,
    CTL_USAGE = 2,
    CTL_NOT_FOUND = 3,
    CTL_EXISTS = 4,
    CTL_UNREACHABLE = 5, /* database, Redis or a node does not answer */
};

struct ctl {
    const struct config *config;
    bool json;
    struct ctl_database *database; /* opened at first use */
};

struct ctl_command {
    const char *words; /* "account add" */
    const char *arguments;
    const char *help;
    enum ctl_exit (*run)(struct ctl *ctl, int argc, char **argv);
};

/* Each file of commands exports its table; ends with .words == NULL. */
extern const struct ctl_command commands_db[];
extern const struct ctl_command commands_account[];
extern const struct ctl_command commands_cluster[];
extern const struct ctl_command commands_secret[];

/* ---- output.c */
/* One line on standard error: "starlingctl: ...". Returns `code`. */
enum ctl_exit ctl_error(enum ctl_exit code, const char *format, ...) PRINTF_LIKE(2, 3);
/* `rows` is an array of objects: a table with the named columns, or with --json the array as it is.
 * Takes `rows`. */
void ctl_print_rows(const struct ctl *ctl, json_t *rows, const char *const *columns);
/* One object: "key: value" lines, or JSON. Takes `object`. */
void ctl_print_object(const struct ctl *ctl, json_t *object);

/* ---- database.c: the only user of libpq here */
struct ctl_parameter {
    const char *data; /* NULL: SQL NULL */
    int len;
    bool is_binary;
};
struct ctl_result;
/* CTL_OK and a result (free it with ctl_result_free), else an error was printed. `sqlstate_out` (6
 * bytes) may be NULL. */
enum ctl_exit ctl_query(struct ctl *ctl,
        const char *sql,
        const struct ctl_parameter *parameters,
        int count,
        struct ctl_result **result_out);
/* Several statements, no parameters, results dropped: migrations. `sql` is NUL-terminated. */
enum ctl_exit ctl_script(struct ctl *ctl, const char *sql);
int ctl_result_rows(const struct ctl_result *result);
const char *ctl_result_text(const struct ctl_result *result, int row, int column); /* "" for NULL */
void ctl_result_free(struct ctl_result *result);
void ctl_database_close(struct ctl *ctl);

static inline struct ctl_parameter ctl_text(struct str s)
{
    return (struct ctl_parameter){ .data = s.ptr ? s.ptr : "", .len = (int)s.len };
}
static inline struct ctl_parameter ctl_binary(const void *data, size_t len)
{
    return (struct ctl_parameter){ .data = data, .len = (int)len, .is_binary = true };
}

/* ---- nodes.c: the registry in Redis, and inner HTTP */
/* Array of {node, role, boot, bus, http}; NULL: an error was printed. */
json_t *ctl_nodes(struct ctl *ctl);
/* Body as JSON, or NULL (error printed unless `is_quiet`). `body` NULL: GET. */
json_t *ctl_http(
        struct ctl *ctl, const char *address, const char *path, const char *body, bool is_quiet);

/* ---- sections */
struct postgres_admin_config {
    char *conninfo;
    char *migrations; /* folder with SERVICE/NNNN_name.sql */
};
extern const struct config_section config_section_postgres_admin;
struct starlingctl_config {
    int64_t http_timeout_ms;
    char *token_file;
    int64_t scram_iterations;
};
extern const struct config_section config_section_starlingctl;

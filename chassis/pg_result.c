/* Reading results (binary columns) and the classes of SQL errors. */
#include <string.h>

#include "chassis/pg_internal.h"

int pg_result_rows(const struct pg_result *result)
{
    return PQntuples(result->raw);
}

bool pg_result_is_null(const struct pg_result *result, int row, int column)
{
    return PQgetisnull(result->raw, row, column) != 0;
}

struct str pg_result_bytes(const struct pg_result *result, int row, int column)
{
    return str_from(
            PQgetvalue(result->raw, row, column), (size_t)PQgetlength(result->raw, row, column));
}

int64_t pg_result_int(const struct pg_result *result, int row, int column)
{
    struct str bytes = pg_result_bytes(result, row, column);
    const unsigned char *at = (const unsigned char *)bytes.ptr;
    uint64_t value = 0;
    ASSERT(bytes.len <= sizeof(value)); /* an integer column */
    for (size_t i = 0; i < bytes.len; i++) {
        value = value << 8 | at[i];
    }
    switch (bytes.len) {
    case 4: return (int32_t)value;
    case 2: return (int16_t)value;
    default: return (int64_t)value; /* int8; bool; 0 for NULL */
    }
}

int64_t pg_result_affected(const struct pg_result *result)
{
    int64_t count = 0;
    return str_to_i64(str_from_cstr(PQcmdTuples(result->raw)), &count) ? count : 0;
}

/* ---- SQLSTATE (PostgreSQL documentation, appendix A) */

struct sqlstate_class {
    const char *prefix;
    enum err err;
    bool spoils_session;
};

/* The first prefix that fits. */
static const struct sqlstate_class sqlstate_classes[] = {
    { "23505", ERR_EXISTS, false },     /* unique violation */
    { "40001", ERR_CONFLICT, false },   /* serialization failure */
    { "40P01", ERR_CONFLICT, false },   /* deadlock */
    { "57014", ERR_TIMEOUT, false },    /* statement_timeout: cancelled, so rolled back */
    { "57P0", ERR_UNAVAILABLE, true },  /* shutdown, crash, starting up */
    { "08", ERR_UNAVAILABLE, true },    /* connection */
    { "53", ERR_UNAVAILABLE, false },   /* disk full, out of memory, too many connections */
    { "58", ERR_UNAVAILABLE, false },   /* I/O error of the server */
    { "25006", ERR_UNAVAILABLE, true }, /* read-only: a demoted primary, look for the new (G06) */
    { "25P0", ERR_UNAVAILABLE, true },  /* the session's transaction state is not ours */
    { "26000", ERR_UNAVAILABLE, true }, /* prepared statement lost: a pooler changed servers */
    { "0A000", ERR_UNAVAILABLE, true }, /* cached plan outdated by a migration */
};

static const struct sqlstate_class *find_class(const char *sqlstate)
{
    for (size_t i = 0; i < sizeof(sqlstate_classes) / sizeof(sqlstate_classes[0]); i++) {
        const struct sqlstate_class *class = &sqlstate_classes[i];
        if (strncmp(sqlstate, class->prefix, strlen(class->prefix)) == 0) {
            return class;
        }
    }
    return NULL;
}

enum err pg_sqlstate_err(const char *sqlstate)
{
    if (sqlstate[0] == '\0') {
        return ERR_UNAVAILABLE; /* libpq's own errors: the connection */
    }
    const struct sqlstate_class *class = find_class(sqlstate);
    return class != NULL ? class->err : ERR_INVALID;
}

bool pg_sqlstate_spoils_session(const char *sqlstate)
{
    const struct sqlstate_class *class = find_class(sqlstate);
    return class != NULL && class->spoils_session;
}

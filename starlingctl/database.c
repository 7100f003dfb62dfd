/* The operator's connection to PostgreSQL: section postgres_admin. Synchronous libpq. */
#include <stdio.h>
#include <stdlib.h>

#include <libpq-fe.h>

#include "chassis/base/mem.h"
#include "starlingctl/ctl.h"

/* An operator's command may wait for a lock, but not for ever. */
#define CONNECT_TIMEOUT_S "10"

static void ignore_notice(void *context, const char *message)
{
    (void)context;
    (void)message;
}

static PGconn *database(struct ctl *ctl)
{
    if (ctl->database) {
        return (PGconn *)(void *)ctl->database;
    }
    const struct postgres_admin_config *config =
            config_get(ctl->config, &config_section_postgres_admin);
    const char *const keys[] = { "dbname", "connect_timeout", "application_name", NULL };
    const char *const values[] = { config->conninfo, CONNECT_TIMEOUT_S, "starlingctl", NULL };
    PGconn *connection = PQconnectdbParams(keys, values, 1);
    if (PQstatus(connection) != CONNECTION_OK) {
        ctl_error(CTL_UNREACHABLE, "PostgreSQL: %s", PQerrorMessage(connection));
        PQfinish(connection);
        return NULL;
    }
    PQsetNoticeProcessor(connection, ignore_notice, NULL);
    ctl->database = (struct ctl_database *)(void *)connection;
    return connection;
}

static enum ctl_exit failure(PGconn *connection, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (PQstatus(connection) != CONNECTION_OK) {
        return ctl_error(CTL_UNREACHABLE, "PostgreSQL: %s", PQerrorMessage(connection));
    }
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    return ctl_error(
            CTL_FAILED, "PostgreSQL: %s (%s)", message ? message : "failed", state ? state : "?");
}

#define MAX_PARAMETERS 16

enum ctl_exit ctl_query(struct ctl *ctl,
        const char *sql,
        const struct ctl_parameter *parameters,
        int count,
        struct ctl_result **result_out)
{
    const char *values[MAX_PARAMETERS];
    int lengths[MAX_PARAMETERS];
    int formats[MAX_PARAMETERS];

    ASSERT(count <= MAX_PARAMETERS);
    PGconn *connection = database(ctl);
    if (!connection) {
        return CTL_UNREACHABLE;
    }
    char *copies[MAX_PARAMETERS] = { NULL };
    for (int i = 0; i < count; i++) {
        /* Text parameters need an end that views do not have. */
        if (!parameters[i].is_binary && parameters[i].data) {
            copies[i] = str_to_cstr(str_from(parameters[i].data, (size_t)parameters[i].len));
        }
        values[i] = copies[i] ? copies[i] : parameters[i].data;
        lengths[i] = parameters[i].len;
        formats[i] = parameters[i].is_binary;
    }
    PGresult *result = PQexecParams(connection, sql, count, NULL, values, lengths, formats, 0);
    for (int i = 0; i < count; i++) {
        free(copies[i]);
    }
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        enum ctl_exit code = failure(connection, result);
        PQclear(result);
        return code;
    }
    *result_out = (struct ctl_result *)(void *)result;
    return CTL_OK;
}

enum ctl_exit ctl_script(struct ctl *ctl, const char *sql)
{
    PGconn *connection = database(ctl);
    if (!connection) {
        return CTL_UNREACHABLE;
    }
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);
    enum ctl_exit code = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK
            ? CTL_OK
            : failure(connection, result);
    PQclear(result);
    return code;
}

int ctl_result_rows(const struct ctl_result *result)
{
    return PQntuples((const PGresult *)(const void *)result);
}

const char *ctl_result_text(const struct ctl_result *result, int row, int column)
{
    return PQgetvalue((const PGresult *)(const void *)result, row, column);
}

void ctl_result_free(struct ctl_result *result)
{
    PQclear((PGresult *)(void *)result);
}

void ctl_database_close(struct ctl *ctl)
{
    if (ctl->database) {
        PQfinish((PGconn *)(void *)ctl->database);
        ctl->database = NULL;
    }
}

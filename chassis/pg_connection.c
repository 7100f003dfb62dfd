/* One connection in libpq's pipeline mode. The pipeline is a list of units, each ended by a sync
 * message, so that it succeeds or fails alone:
 *
 *   prepare   the first use of a statement here
 *   query     one or more statements; between two syncs PostgreSQL runs them as one implicit
 *             transaction: a failing one aborts the rest, the sync commits or rolls back. An
 *             explicit BEGIN would survive its failing pipeline as an aborted transaction and take
 *             the next query with it. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "chassis/base/id128.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/pg_hosts.h"
#include "chassis/pg_internal.h"
#include "chassis/service.h"

enum {
    ANSWER_PATIENCE_MS = 100, /* of a process that is about to die at a failpoint */
};

enum pg_state {
    PG_STATE_WAITING,    /* for the next attempt */
    PG_STATE_CONNECTING, /* PQconnectPoll */
    PG_STATE_SETUP,      /* the first query */
    PG_STATE_READY,
};

enum prepared_state {
    PREPARED_NOT,
    PREPARED_SENT, /* or done */
};

struct prepared {
    enum prepared_state state;
    char sqlstate[PG_SQLSTATE_SIZE]; /* why the last attempt failed */
};

struct pg_unit {
    struct pg_unit *next;
    struct pg_query *query; /* NULL: a prepare */
    size_t name;
    bool has_failed;
};

struct pg_connection {
    struct pg_pool *pool;
    enum pg_state state;
    PGconn *raw;
    struct loop_watch *watch;
    struct timer timer; /* connect time-out, the wait for the next attempt, or the end of one that
                           is ready and retired */
    size_t first_host;  /* where the next attempt begins */
    int64_t timeline;   /* of the server, while ready */
    int64_t backoff_ms;
    struct pg_unit *head;
    struct pg_unit **tail;
    size_t in_flight; /* queries among the units */
    struct prepared *prepared;
    size_t prepared_count;
    bool is_spoiled; /* drop it when the answers at hand are worked off */
    bool is_closing;
};

/* Two things tell the primary of today from one of yesterday that still takes connections (G06).
 * The timeline grows with every promotion, but a process that has just started knows no later one.
 * So each connection begins with a commit: a primary whose synchronous standby was promoted away
 * from it waits for ever, the attempt times out and the next host is tried. A standby does neither.
 */
static const char sql_setup[] =
        "VALUES (CASE WHEN pg_is_in_recovery() THEN 0 ELSE"
        " ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint END,"
        " CASE WHEN NOT pg_is_in_recovery() THEN"
        " pg_logical_emit_message(true, 'starling', 'connected') END,"
        " set_config('statement_timeout', $1::text, false),"
        " set_config('idle_in_transaction_session_timeout', $1, false),"
        " set_config('TimeZone', 'UTC', false))";

static void connection_start(struct pg_connection *connection);
static void connection_lose(struct pg_connection *connection, enum err err, const char *why);

/* ---- units */

static void unit_push(struct pg_connection *connection, struct pg_query *query, size_t name)
{
    struct pg_unit *unit = MEM_NEW(struct pg_unit);
    unit->query = query;
    unit->name = name;
    *connection->tail = unit;
    connection->tail = &unit->next;
    if (query != NULL) {
        query->connection = connection;
        connection->in_flight++;
    }
}

static void unit_finish(struct pg_connection *connection)
{
    struct pg_unit *unit = connection->head;
    connection->head = unit->next;
    if (connection->head == NULL) {
        connection->tail = &connection->head;
    }
    struct pg_query *query = unit->query;
    free(unit);
    if (query != NULL) {
        connection->in_flight--;
        query->connection = NULL;
        pg_pool_finish(query, query->err);
        pg_pool_wake(connection->pool);
    }
}

static struct prepared *prepared_of(struct pg_connection *connection, size_t name)
{
    if (name >= connection->prepared_count) {
        size_t count = (name + 1) * 2;
        struct prepared *grown = mem_realloc(connection->prepared, count * sizeof(struct prepared));
        memset(grown + connection->prepared_count,
                0,
                (count - connection->prepared_count) * sizeof(struct prepared));
        connection->prepared = grown;
        connection->prepared_count = count;
    }
    return &connection->prepared[name];
}

/* ---- sending */

static void statement_name(char name_out[32], size_t name)
{
    int len = snprintf(name_out, 32, "s%zu", name);
    ASSERT(len > 0 && len < 32);
}

static bool send_prepare(struct pg_connection *connection, size_t name)
{
    struct prepared *prepared = prepared_of(connection, name);
    if (prepared->state != PREPARED_NOT) {
        return true;
    }
    char text[32];
    statement_name(text, name);
    prepared->state = PREPARED_SENT;
    unit_push(connection, NULL, name);
    return PQsendPrepare(connection->raw, text, pg_pool_sql(connection->pool, name), 0, NULL) == 1
            && PQpipelineSync(connection->raw) == 1;
}

static bool send_statement(struct pg_connection *connection,
        const struct pg_query *query,
        const struct pg_statement *statement)
{
    size_t count = statement->slot_count;
    const char **values = mem_calloc(count + 1, sizeof(char *));
    int *lengths = mem_calloc(count + 1, sizeof(int));
    int *formats = mem_calloc(count + 1, sizeof(int));
    const char *data = buf_view(&query->data).ptr;
    for (size_t i = 0; i < count; i++) {
        const struct pg_slot *slot = &query->slots[statement->first_slot + i];
        if (slot->len >= 0) {
            values[i] = slot->len > 0 ? data + slot->offset : "";
            lengths[i] = slot->len;
        }
        formats[i] = 1;
    }
    char name[32];
    statement_name(name, statement->name);
    int ok = PQsendQueryPrepared(connection->raw, name, (int)count, values, lengths, formats, 1);
    free(values);
    free(lengths);
    free(formats);
    return ok == 1;
}

/* The server executes what it reads, and commits at the sync that ends a query: that one is not
 * sent. What it answers is waited for, since a connection that dies is not read to its end. */
static void die_before_commit(struct pg_connection *connection)
{
    bool is_well = PQsendFlushRequest(connection->raw) == 1;
    while (is_well && PQflush(connection->raw) >= 0) {
        struct pollfd answer = { .fd = PQsocket(connection->raw), .events = POLLIN };
        is_well = poll(&answer, 1, ANSWER_PATIENCE_MS) == 1 && PQconsumeInput(connection->raw) == 1;
    }
    (void)raise(SIGKILL);
}

static bool send_query(struct pg_connection *connection, struct pg_query *query)
{
    bool ok = true;
    for (size_t i = 0; ok && i < query->statement_count; i++) {
        ok = send_prepare(connection, query->statements[i].name);
    }
    unit_push(connection, query, 0);
    for (size_t i = 0; ok && i < query->statement_count; i++) {
        ok = send_statement(connection, query, &query->statements[i]);
    }
    if (ok && query->failpoint != NULL && failpoint_is_due(query->failpoint)) {
        die_before_commit(connection);
    }
    return ok && PQpipelineSync(connection->raw) == 1;
}

/* What the kernel does not take now waits for the descriptor to become writable. */
static bool connection_flush(struct pg_connection *connection)
{
    int left = PQflush(connection->raw);
    if (left < 0) {
        return false;
    }
    loop_watch_set(connection->watch, LOOP_READABLE | (left > 0 ? LOOP_WRITABLE : 0U));
    return true;
}

void pg_connection_send(struct pg_connection *connection, struct pg_query *query)
{
    query->results = mem_calloc(query->statement_count, sizeof(struct pg_result));
    if (!send_query(connection, query) || !connection_flush(connection)) {
        connection_lose(connection, ERR_UNAVAILABLE, "sending failed");
    }
}

/* ---- receiving */

static void copy_sqlstate(char sqlstate_out[PG_SQLSTATE_SIZE], const char *sqlstate)
{
    (void)snprintf(sqlstate_out, PG_SQLSTATE_SIZE, "%s", sqlstate != NULL ? sqlstate : "");
}

/* A statement that could not be prepared is missing in every query sent behind it: they get the
 * reason instead of "prepared statement does not exist". */
static void explain_missing(struct pg_connection *connection, struct pg_query *query)
{
    for (size_t i = 0; i < query->statement_count; i++) {
        const struct prepared *prepared = prepared_of(connection, query->statements[i].name);
        if (prepared->state == PREPARED_NOT && prepared->sqlstate[0] != '\0') {
            copy_sqlstate(query->sqlstate, prepared->sqlstate);
            return;
        }
    }
}

/* Only the first error counts: the others follow from it. The text is not logged above debug, since
 * it may quote what a user wrote. */
static void unit_fail(
        struct pg_connection *connection, struct pg_unit *unit, const PGresult *result)
{
    if (unit->has_failed) {
        return;
    }
    unit->has_failed = true;
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    log_debug("pg", "statement refused", log_cstr("sqlstate", sqlstate), log_cstr("text", text));
    if (unit->query == NULL) {
        struct prepared *prepared = prepared_of(connection, unit->name);
        prepared->state = PREPARED_NOT;
        copy_sqlstate(prepared->sqlstate, sqlstate);
        return;
    }
    struct pg_query *query = unit->query;
    copy_sqlstate(query->sqlstate, sqlstate);
    if (strcmp(query->sqlstate, "26000") == 0) {
        explain_missing(connection, query);
    }
    query->err = pg_sqlstate_err(query->sqlstate);
    if (pg_sqlstate_spoils_session(query->sqlstate)) {
        connection->is_spoiled = true;
    }
}

static void on_result(struct pg_connection *connection, PGresult *result)
{
    struct pg_unit *unit = connection->head;
    struct pg_query *query = unit->query;
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_PIPELINE_SYNC) {
        PQclear(result);
        unit_finish(connection);
    } else if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        if (query != NULL && query->result_count < query->statement_count) {
            query->results[query->result_count++].raw = result;
        } else {
            PQclear(result); /* of a prepare */
        }
    } else {
        if (status != PGRES_PIPELINE_ABORTED) {
            unit_fail(connection, unit, result);
        }
        PQclear(result);
    }
}

/* libpq ends the results of each statement with one NULL; two in a row mean there is no more. */
static void read_results(struct pg_connection *connection)
{
    int nulls = 0;
    while (connection->head != NULL && nulls < 2 && PQisBusy(connection->raw) == 0) {
        PGresult *result = PQgetResult(connection->raw);
        if (result == NULL) {
            nulls++;
        } else {
            nulls = 0;
            on_result(connection, result);
        }
    }
}

static void on_ready_events(struct pg_connection *connection)
{
    bool is_alive = PQconsumeInput(connection->raw) == 1;
    read_results(connection); /* also what came before the end */
    if (!is_alive || PQstatus(connection->raw) != CONNECTION_OK) {
        connection_lose(connection, ERR_UNAVAILABLE, PQerrorMessage(connection->raw));
    } else if (connection->is_spoiled) {
        connection_lose(connection, ERR_UNAVAILABLE, "the session is of no use any more");
    } else if (!connection_flush(connection)) {
        connection_lose(connection, ERR_UNAVAILABLE, PQerrorMessage(connection->raw));
    }
}

/* ---- connecting */

static void on_setup_done(void *context,
        enum err err,
        const char *sqlstate,
        const struct pg_result *const *results,
        size_t count)
{
    (void)sqlstate;
    (void)count;
    struct pg_connection *connection = context;
    if (err != ERR_OK) {
        connection->is_spoiled = true; /* or it is being dropped already */
        return;
    }
    int64_t timeline = pg_result_int(results[0], 0, 0);
    if (!pg_pool_accepts_timeline(connection->pool, timeline)) {
        log_warn("pg",
                "a primary of the past is refused: a standby was promoted since",
                log_int("timeline", timeline));
        connection->is_spoiled = true;
        return;
    }
    timer_stop(&connection->timer);
    connection->timeline = timeline;
    connection->state = PG_STATE_READY;
    connection->backoff_ms = 0;
    log_info("pg", "connected", log_int("backend", PQbackendPID(connection->raw)));
    pg_pool_on_connection(connection->pool, true);
}

/* The server gives up a little before we drop the connection, so that one slow statement does not
 * take its neighbours in the pipeline with it (G02). */
static void begin_setup(struct pg_connection *connection)
{
    connection->state = PG_STATE_SETUP;
    if (PQsetnonblocking(connection->raw, 1) != 0 || PQenterPipelineMode(connection->raw) != 1) {
        connection_lose(connection, ERR_UNAVAILABLE, PQerrorMessage(connection->raw));
        return;
    }
    int64_t limit_ms = pg_pool_options(connection->pool)->query_timeout_ms * 9 / 10;
    char text[32];
    int len = snprintf(text, sizeof(text), "%lld", (long long)limit_ms);
    struct pg_query *query = pg_query_create(connection->pool);
    pg_query_statement(query, sql_setup);
    pg_add_text(query, str_from(text, (size_t)len));
    pg_pool_send_on(query, connection, on_setup_done, connection);
}

static void on_events(void *context, unsigned events);

/* PQconnectPoll may close the descriptor and open another one (next address, next host), often with
 * the same number: the watch lives only between two calls. */
static void connect_step(struct pg_connection *connection)
{
    loop_watch_destroy(connection->watch);
    connection->watch = NULL;
    PostgresPollingStatusType status = PQconnectPoll(connection->raw);
    if (status == PGRES_POLLING_FAILED) {
        connection_lose(connection, ERR_UNAVAILABLE, PQerrorMessage(connection->raw));
        return;
    }
    connection->watch = loop_watch_create(
            pg_pool_loop(connection->pool), PQsocket(connection->raw), on_events, connection);
    if (status == PGRES_POLLING_OK) {
        begin_setup(connection);
    } else {
        loop_watch_set(
                connection->watch, status == PGRES_POLLING_READING ? LOOP_READABLE : LOOP_WRITABLE);
    }
}

static void on_events(void *context, unsigned events)
{
    (void)events; /* libpq finds out itself */
    struct pg_connection *connection = context;
    if (connection->state == PG_STATE_CONNECTING) {
        connect_step(connection);
    } else {
        on_ready_events(connection);
    }
}

static void ignore_notice(void *context, const PGresult *result)
{
    (void)context;
    (void)result; /* libpq's default would print it */
}

static void connection_start(struct pg_connection *connection)
{
    const struct pg_options *options = pg_pool_options(connection->pool);
    struct pg_hosts_view from =
            pg_hosts_from(pg_pool_hosts(connection->pool), connection->first_host);
    const char *const keywords[] = { /* what comes later counts, unless it is NULL */
        "dbname",
        "host",
        "hostaddr",
        "port",
        "client_encoding",
        "fallback_application_name",
        NULL
    };
    const char *const values[] = {
        options->conninfo, from.host, from.hostaddr, from.port, "UTF8", "starling", NULL
    };
    connection->raw = PQconnectStartParams(keywords, values, 1);
    ASSERT(connection->raw != NULL); /* out of memory */
    connection->state = PG_STATE_CONNECTING;
    connection->is_spoiled = false;
    timer_start(loop_timers(pg_pool_loop(connection->pool)),
            &connection->timer,
            options->connect_timeout_ms);
    PQsetNoticeReceiver(connection->raw, ignore_notice, NULL);
    if (PQstatus(connection->raw) == CONNECTION_BAD) {
        connection_lose(connection, ERR_UNAVAILABLE, PQerrorMessage(connection->raw));
        return;
    }
    connection->watch = loop_watch_create(
            pg_pool_loop(connection->pool), PQsocket(connection->raw), on_events, connection);
    loop_watch_set(connection->watch, LOOP_WRITABLE); /* as libpq asks for before the first poll */
}

static void on_timer(struct timer *timer, void *context)
{
    (void)timer;
    struct pg_connection *connection = context;
    if (connection->state == PG_STATE_WAITING) {
        connection_start(connection);
    } else if (connection->state == PG_STATE_READY) {
        connection_lose(connection, ERR_UNAVAILABLE, "its server is a primary of the past");
    } else {
        connection_lose(connection, ERR_UNAVAILABLE, "connecting took too long");
    }
}

/* ---- losing */

/* Exponential, with jitter over the upper half, so that a restarted server is not met by all
 * processes at once. */
static void schedule_attempt(struct pg_connection *connection)
{
    const struct pg_options *options = pg_pool_options(connection->pool);
    int64_t backoff_ms = connection->backoff_ms * 2;
    if (backoff_ms < options->reconnect_min_ms) {
        backoff_ms = options->reconnect_min_ms;
    }
    if (backoff_ms > options->reconnect_max_ms) {
        backoff_ms = options->reconnect_max_ms;
    }
    connection->backoff_ms = backoff_ms;
    int64_t half_ms = backoff_ms / 2;
    int64_t delay_ms = half_ms + (int64_t)(id128_random().lo % (uint64_t)(half_ms + 1));
    timer_start(loop_timers(pg_pool_loop(connection->pool)), &connection->timer, delay_ms);
}

/* Of attempts in a row that fail, only the first is worth a warning. */
static void log_loss(const struct pg_connection *connection, const char *why)
{
    struct str text = str_trim(str_from_cstr(why));
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\n') {
            text.len = i; /* one line a record; libpq lists every address it tried */
        }
    }
    bool was_up = connection->state == PG_STATE_READY;
    log_at(was_up || connection->backoff_ms == 0 ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG,
            "pg",
            was_up ? "connection lost" : "cannot connect",
            log_str("reason", text));
}

static void fail_units(struct pg_connection *connection, enum err err)
{
    struct pg_unit *unit = connection->head;
    connection->head = NULL;
    connection->tail = &connection->head;
    connection->in_flight = 0;
    int64_t now_ms = loop_now_ms(pg_pool_loop(connection->pool));
    while (unit != NULL) {
        struct pg_unit *next = unit->next;
        struct pg_query *query = unit->query;
        if (query != NULL) {
            query->connection = NULL;
            bool is_overdue = err == ERR_UNAVAILABLE && query->deadline_ms <= now_ms;
            pg_pool_finish(query, is_overdue ? ERR_TIMEOUT : err);
        }
        free(unit);
        unit = next;
    }
}

static void connection_lose(struct pg_connection *connection, enum err err, const char *why)
{
    bool was_ready = connection->state == PG_STATE_READY;
    if (!connection->is_closing) {
        log_loss(connection, why); /* before PQfinish: the text is libpq's */
    }
    if (!was_ready) {
        connection->first_host++; /* this one may be what swallowed the attempt */
    }
    connection->state = PG_STATE_WAITING;
    timer_stop(&connection->timer);
    loop_watch_destroy(connection->watch);
    connection->watch = NULL;
    PQfinish(connection->raw);
    connection->raw = NULL;
    free(connection->prepared);
    connection->prepared = NULL;
    connection->prepared_count = 0;
    if (was_ready) {
        pg_pool_on_connection(connection->pool, false);
    }
    fail_units(connection, err);
    if (!connection->is_closing) {
        schedule_attempt(connection);
    }
}

void pg_connection_time_out(struct pg_connection *connection)
{
    connection->first_host++; /* whoever is silent to queries will be silent to an attempt */
    connection_lose(connection, ERR_UNAVAILABLE, "a query took too long");
}

/* ---- life */

struct pg_connection *pg_connection_create(struct pg_pool *pool)
{
    struct pg_connection *connection = MEM_NEW(struct pg_connection);
    connection->pool = pool;
    connection->tail = &connection->head;
    timer_init(&connection->timer, on_timer, connection);
    timer_start(loop_timers(pg_pool_loop(pool)), &connection->timer, 0);
    return connection;
}

void pg_connection_destroy(struct pg_connection *connection)
{
    if (connection == NULL) {
        return;
    }
    connection->is_closing = true;
    connection_lose(connection, ERR_CLOSED, "closed");
    free(connection);
}

bool pg_connection_is_ready(const struct pg_connection *connection)
{
    return connection->state == PG_STATE_READY && !connection->is_spoiled;
}

void pg_connection_retire(struct pg_connection *connection, int64_t timeline)
{
    if (connection->state == PG_STATE_READY && connection->timeline < timeline) {
        connection->is_spoiled = true; /* takes nothing more; dropped from the loop */
        timer_start(loop_timers(pg_pool_loop(connection->pool)), &connection->timer, 0);
    }
}

size_t pg_connection_in_flight(const struct pg_connection *connection)
{
    return connection->in_flight;
}

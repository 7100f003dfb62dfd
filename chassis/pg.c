/* The pool: queries wait here until a connection takes them, at the end of the turn. */
#include "chassis/pg.h"

#include <stdlib.h>
#include <string.h>

#include "chassis/base/id128.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/metrics.h"
#include "chassis/pg_hosts.h"
#include "chassis/pg_internal.h"

enum {
    /* Queries in one pipeline. Behind a slow one the others wait, so they are spread first. */
    PIPELINE_DEPTH = 32,
    RECONNECT_MIN_MS = 100,
    RECONNECT_MAX_MS = 5000,
    RETRIES = 3,
    RETRY_MS = 20, /* at most, before the first one; doubles */
};

struct pg_queue {
    struct pg_query *head;
    struct pg_query **tail;
    size_t count;
};

struct pg_pool {
    struct loop *loop;
    struct pg_options options;
    char *conninfo;
    struct pg_hosts *hosts;
    int64_t timeline;          /* the latest seen; 0: none yet */
    struct pg_pool *companion; /* a ring of all to the same hosts */
    struct pg_connection **connections;
    size_t connection_count;
    size_t ready_count;
    struct pg_queue waiting;
    struct pg_queue refused; /* end with an error at the end of the turn */
    struct pg_queue resting; /* have lost against others, and are sent again soon */
    struct loop_task flush;
    const char **statements; /* every SQL constant seen, by address */
    size_t statement_count, statement_capacity;
    void (*on_change)(void *context, bool is_up);
    void *on_change_context;
    unsigned callback_depth;
    bool is_closing;
};

static struct metric queries_total =
        METRIC_COUNTER_INIT("pg_queries_total", "Transactions sent to PostgreSQL.", NULL);
static struct metric retries_total = METRIC_COUNTER_INIT(
        "pg_retries_total", "Transactions sent again after a deadlock or the like.", NULL);
static struct metric in_use =
        METRIC_GAUGE_INIT("pg_pool_in_use", "Transactions waiting or in flight.", NULL);
static struct metric query_seconds = METRIC_HISTOGRAM_INIT(
        "pg_query_seconds", "From asking PostgreSQL to its answer, waiting included.", NULL);
static struct metric_family errors_total = {
    .name = "pg_errors_total",
    .help = "Transactions that failed, by class.",
    .label = "class",
};

/* ---- queues */

static void queue_init(struct pg_queue *queue)
{
    *queue = (struct pg_queue){ .tail = &queue->head };
}

static void queue_push(struct pg_queue *queue, struct pg_query *query)
{
    query->next = NULL;
    *queue->tail = query;
    queue->tail = &query->next;
    queue->count++;
}

static struct pg_query *queue_pop(struct pg_queue *queue)
{
    struct pg_query *query = queue->head;
    if (query != NULL) {
        queue->head = query->next;
        queue->count--;
        if (queue->head == NULL) {
            queue->tail = &queue->head;
        }
    }
    return query;
}

static void queue_remove(struct pg_queue *queue, struct pg_query *query)
{
    struct pg_query **at = &queue->head;
    while (*at != query) {
        at = &(*at)->next;
    }
    *at = query->next;
    queue->count--;
    if (queue->tail == &query->next) {
        queue->tail = at;
    }
}

/* ---- queries */

static void finish(struct pg_query *query, enum err err)
{
    struct pg_pool *pool = query->pool;
    timer_stop(&query->timer);
    metric_add(&in_use, -1);
    int64_t elapsed_us = loop_wall_us(pool->loop) - query->sent_us;
    metric_observe_us(&query_seconds, elapsed_us > 0 ? elapsed_us : 0);
    if (err != ERR_OK) {
        metric_family_add(&errors_total, err_name(err), 1);
    }
    size_t count = err == ERR_OK ? query->result_count : 0;
    const struct pg_result **results = mem_calloc(count + 1, sizeof(struct pg_result *));
    for (size_t i = 0; i < count; i++) {
        results[i] = &query->results[i];
    }
    if (query->done != NULL) {
        pool->callback_depth++;
        query->done(query->context, err, query->sqlstate, results, count);
        pool->callback_depth--;
    }
    free(results);
    pg_query_discard(query);
}

/* Random, so that two that fought do not meet again. */
static int64_t rest_ms(const struct pg_query *query)
{
    return (int64_t)(id128_random().lo % ((uint64_t)RETRY_MS << query->retries)) + 1;
}

void pg_pool_finish(struct pg_query *query, enum err err)
{
    struct pg_pool *pool = query->pool;
    if (err != ERR_CONFLICT || query->retries == RETRIES || pool->is_closing) {
        finish(query, err);
        return;
    }
    int64_t delay_ms = rest_ms(query);
    if (loop_now_ms(pool->loop) + delay_ms >= query->deadline_ms) {
        finish(query, err);
        return;
    }
    metric_add(&retries_total, 1);
    pg_query_forget_answer(query);
    query->retries++;
    query->is_resting = true;
    queue_push(&pool->resting, query);
    timer_start(loop_timers(pool->loop), &query->timer, delay_ms);
}

static void send_again(struct pg_query *query)
{
    struct pg_pool *pool = query->pool;
    queue_remove(&pool->resting, query);
    query->is_resting = false;
    queue_push(&pool->waiting, query);
    int64_t left_ms = query->deadline_ms - loop_now_ms(pool->loop);
    timer_start(loop_timers(pool->loop), &query->timer, left_ms > 0 ? left_ms : 0);
    pg_pool_wake(pool);
}

static void on_query_due(struct timer *timer, void *context)
{
    (void)timer;
    struct pg_query *query = context;
    if (query->is_resting) {
        send_again(query);
        return;
    }
    if (query->connection != NULL) {
        pg_connection_time_out(query->connection);
        return;
    }
    queue_remove(&query->pool->waiting, query);
    pg_pool_finish(query, ERR_UNAVAILABLE); /* never sent */
}

static void begin_sending(struct pg_query *query, pg_done done, void *context)
{
    struct pg_pool *pool = query->pool;
    ASSERT(query->statement_count > 0 && !query->array.is_open);
    query->done = done;
    query->context = context;
    query->sent_us = loop_wall_us(pool->loop);
    query->deadline_ms = loop_now_ms(pool->loop) + pool->options.query_timeout_ms;
    timer_init(&query->timer, on_query_due, query);
    metric_add(&queries_total, 1);
    metric_add(&in_use, 1);
}

void pg_query_send(struct pg_query *query, pg_done done, void *context)
{
    struct pg_pool *pool = query->pool;
    begin_sending(query, done, context);
    if (query->is_invalid) {
        query->err = ERR_INVALID;
        queue_push(&pool->refused, query);
    } else if (pool->waiting.count >= pool->options.max_queued) {
        query->err = ERR_LIMIT;
        queue_push(&pool->refused, query);
    } else {
        queue_push(&pool->waiting, query);
        timer_start(loop_timers(pool->loop), &query->timer, pool->options.query_timeout_ms);
    }
    pg_pool_wake(pool);
}

void pg_pool_send_on(
        struct pg_query *query, struct pg_connection *connection, pg_done done, void *context)
{
    begin_sending(query, done, context);
    query->retries = RETRIES; /* it belongs to this connection */
    pg_connection_send(connection, query);
}

/* The least loaded connection that is ready and has room. */
static struct pg_connection *find_connection(const struct pg_pool *pool)
{
    struct pg_connection *best = NULL;
    size_t best_load = PIPELINE_DEPTH;
    for (size_t i = 0; i < pool->connection_count; i++) {
        struct pg_connection *connection = pool->connections[i];
        size_t load = pg_connection_in_flight(connection);
        if (pg_connection_is_ready(connection) && load < best_load) {
            best = connection;
            best_load = load;
        }
    }
    return best;
}

static void flush(void *context)
{
    struct pg_pool *pool = context;
    for (size_t left = pool->refused.count; left > 0; left--) { /* those of before */
        struct pg_query *query = queue_pop(&pool->refused);
        pg_pool_finish(query, query->err);
    }
    while (pool->waiting.head != NULL) {
        struct pg_connection *connection = find_connection(pool);
        if (connection == NULL) {
            return;
        }
        pg_connection_send(connection, queue_pop(&pool->waiting));
    }
}

void pg_pool_wake(struct pg_pool *pool)
{
    if (!pool->is_closing) {
        loop_defer(pool->loop, LOOP_PHASE_STORE, &pool->flush);
    }
}

/* ---- what connections ask */

struct loop *pg_pool_loop(const struct pg_pool *pool)
{
    return pool->loop;
}

const struct pg_options *pg_pool_options(const struct pg_pool *pool)
{
    return &pool->options;
}

struct pg_hosts *pg_pool_hosts(const struct pg_pool *pool)
{
    return pool->hosts;
}

static void note_timeline(struct pg_pool *pool, int64_t timeline)
{
    pool->timeline = timeline;
    for (size_t i = 0; i < pool->connection_count; i++) {
        pg_connection_retire(pool->connections[i], timeline);
    }
}

bool pg_pool_accepts_timeline(struct pg_pool *pool, int64_t timeline)
{
    if (timeline < pool->timeline) {
        return false;
    }
    if (timeline > pool->timeline) {
        note_timeline(pool, timeline);
        for (struct pg_pool *other = pool->companion; other != pool; other = other->companion) {
            note_timeline(other, timeline);
        }
    }
    return true;
}

/* There are as many as SQL constants in the program: a short walk. */
size_t pg_pool_intern(struct pg_pool *pool, const char *sql)
{
    for (size_t i = 0; i < pool->statement_count; i++) {
        if (pool->statements[i] == sql) {
            return i;
        }
    }
    if (pool->statement_count == pool->statement_capacity) {
        pool->statement_capacity =
                pool->statement_capacity == 0 ? 32 : pool->statement_capacity * 2;
        size_t bytes = pool->statement_capacity * sizeof(char *);
        pool->statements = mem_realloc(pool->statements, bytes);
    }
    pool->statements[pool->statement_count] = sql;
    return pool->statement_count++;
}

const char *pg_pool_sql(const struct pg_pool *pool, size_t name)
{
    return pool->statements[name];
}

void pg_pool_on_connection(struct pg_pool *pool, bool is_ready)
{
    bool was_up = pool->ready_count > 0;
    if (is_ready) {
        pool->ready_count++;
        pg_pool_wake(pool);
    } else {
        pool->ready_count--;
    }
    bool is_up = pool->ready_count > 0;
    if (is_up != was_up && pool->on_change != NULL && !pool->is_closing) {
        pool->callback_depth++;
        pool->on_change(pool->on_change_context, is_up);
        pool->callback_depth--;
    }
}

/* ---- companions */

static void join_ring(struct pg_pool *pool, struct pg_pool *companion)
{
    pool->companion = pool;
    if (companion != NULL) {
        pool->companion = companion->companion;
        companion->companion = pool;
        pool->timeline = companion->timeline;
    }
}

static void leave_ring(struct pg_pool *pool)
{
    struct pg_pool *before = pool;
    while (before->companion != pool) {
        before = before->companion;
    }
    before->companion = pool->companion;
}

/* ---- the pool */

static int64_t positive_or(int64_t value, int64_t otherwise)
{
    return value > 0 ? value : otherwise;
}

enum err pg_pool_open(
        struct loop *loop, const struct pg_options *options, struct pg_pool **pool_out)
{
    const char *conninfo = options->conninfo != NULL ? options->conninfo : "";
    struct pg_hosts *hosts = NULL;
    enum err err = pg_hosts_create(conninfo, &hosts);
    if (err != ERR_OK) {
        log_error("pg", "conninfo is not a connection string");
        return err;
    }
    struct pg_pool *pool = MEM_NEW(struct pg_pool);
    pool->loop = loop;
    pool->options = *options;
    pool->hosts = hosts;
    pool->conninfo = str_to_cstr(str_from_cstr(conninfo));
    pool->options.conninfo = pool->conninfo;
    join_ring(pool, options->companion);
    pool->options.reconnect_min_ms = positive_or(options->reconnect_min_ms, RECONNECT_MIN_MS);
    pool->options.reconnect_max_ms = positive_or(options->reconnect_max_ms, RECONNECT_MAX_MS);
    queue_init(&pool->waiting);
    queue_init(&pool->refused);
    queue_init(&pool->resting);
    pool->flush = (struct loop_task){ .run = flush, .context = pool };
    metric_register(&queries_total);
    metric_register(&retries_total);
    metric_register(&in_use);
    metric_register(&query_seconds);

    size_t count = options->connections > 0 ? (size_t)options->connections : 1;
    pool->connections = mem_calloc(count, sizeof(struct pg_connection *));
    for (size_t i = 0; i < count; i++) {
        pool->connections[i] = pg_connection_create(pool);
        pool->connection_count++;
    }
    *pool_out = pool;
    return ERR_OK;
}

void pg_pool_close(struct pg_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    leave_ring(pool);
    ASSERT(pool->callback_depth == 0); /* not from one of its own callbacks */
    pool->is_closing = true;
    loop_task_cancel(pool->loop, &pool->flush);
    for (size_t i = 0; i < pool->connection_count; i++) {
        pg_connection_destroy(pool->connections[i]);
    }
    pool->connection_count = 0;
    for (struct pg_query *query; (query = queue_pop(&pool->refused)) != NULL;) {
        pg_pool_finish(query, query->err);
    }
    for (struct pg_query *query; (query = queue_pop(&pool->waiting)) != NULL;) {
        pg_pool_finish(query, ERR_CLOSED);
    }
    for (struct pg_query *query; (query = queue_pop(&pool->resting)) != NULL;) {
        pg_pool_finish(query, ERR_CLOSED);
    }
    free(pool->connections);
    free(pool->statements);
    free(pool->conninfo);
    pg_hosts_destroy(pool->hosts);
    free(pool);
}

bool pg_pool_is_up(const struct pg_pool *pool)
{
    return pool->ready_count > 0;
}

void pg_pool_on_change(struct pg_pool *pool, void (*fn)(void *context, bool is_up), void *context)
{
    pool->on_change = fn;
    pool->on_change_context = context;
}

int pg_pool_free_connections(const struct pg_pool *pool)
{
    int count = 0;
    for (size_t i = 0; i < pool->connection_count; i++) {
        if (pg_connection_is_ready(pool->connections[i])
                && pg_connection_in_flight(pool->connections[i]) == 0) {
            count++;
        }
    }
    return count;
}

/* One hiredis context at a time, driven by our loop:
 *
 *   wait -> [ask a Sentinel for the primary] -> connect -> AUTH, PING or ROLE -> up
 *
 * hiredis 0.14 knows no command time-outs and must not be freed inside its connect callback (nor is
 * it wise inside a reply), so every decision to drop the context is carried out by a task. When a
 * context dies, for whatever reason, hiredis answers all pending commands with NULL and calls our
 * clean-up hook: that is the one place where the client goes down. */
#include "chassis/redis.h"

#include <stdlib.h>
#include <string.h>

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "chassis/base/id128.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "chassis/metrics.h"
#include "chassis/redis_internal.h"

enum redis_phase {
    REDIS_PHASE_OFF,        /* no address: never up */
    REDIS_PHASE_WAITING,    /* for the next attempt */
    REDIS_PHASE_SENTINEL,   /* asking for the primary's address */
    REDIS_PHASE_CONNECTING, /* until the last handshake command is answered */
    REDIS_PHASE_UP,
    REDIS_PHASE_DYING, /* pending commands are being answered */
};

struct redis_request {
    struct redis *redis;
    struct redis_request *next;
    redis_done done;
    void *context;
    int64_t deadline_ms;
};

struct request_list {
    struct redis_request *head;
    struct redis_request **tail;
    size_t count;
};

struct redis {
    struct loop *loop;
    struct redis_config config; /* own copies */
    enum redis_phase phase;
    redisAsyncContext *async;
    struct redis_limits limits;
    struct loop_watch *watch;
    unsigned events;
    bool is_writing;
    struct buf command;           /* scratch */
    struct loop_task write_task;  /* the turn's commands leave together */
    struct loop_task drop_task;   /* outside of hiredis' callbacks */
    struct loop_task refuse_task; /* answers what could not be sent */
    struct timer attempt_timer;   /* the wait for an attempt, then its time-out */
    struct timer command_timer;   /* for the oldest command in flight */
    int64_t backoff_ms;
    size_t next_sentinel;
    char *primary;                 /* "host:port" a Sentinel told, for the next attempt */
    const char *drop_reason;       /* NULL: nothing is wrong */
    struct request_list in_flight; /* in the order of their replies */
    struct request_list refused;
    void (*on_change)(void *context, bool is_up);
    void *on_change_context;
    bool (*may_write)(void *context); /* may be NULL */
    void *may_write_context;
    void (*on_refused)(void *context); /* may be NULL */
    void *on_refused_context;
    bool has_guarded; /* commands it is asked about wait to be written */
    bool up_announced;
    int64_t down_since_ms; /* when it is not announced */
    bool is_closing;
};

static struct metric commands_total =
        METRIC_COUNTER_INIT("redis_commands_total", "Commands sent to Redis.", NULL);
static struct metric up_gauge = METRIC_GAUGE_INIT("redis_up", "1 while Redis is connected.", NULL);
static struct metric_family errors_total = {
    .name = "redis_errors_total",
    .help = "Commands without a reply, by class.",
    .label = "class",
};

/* Leaves hiredis' callbacks first. */
static void redis_drop(struct redis *redis, const char *reason)
{
    if (redis->drop_reason == NULL) {
        redis->drop_reason = reason;
        loop_defer(redis->loop, LOOP_PHASE_REAP, &redis->drop_task);
    }
}

/* ---- requests */

static void list_init(struct request_list *list)
{
    *list = (struct request_list){ .tail = &list->head };
}

static void list_push(struct request_list *list, struct redis_request *request)
{
    request->next = NULL;
    *list->tail = request;
    list->tail = &request->next;
    list->count++;
}

static struct redis_request *list_pop(struct request_list *list)
{
    struct redis_request *request = list->head;
    if (request != NULL) {
        list->head = request->next;
        list->count--;
        if (list->head == NULL) {
            list->tail = &list->head;
        }
    }
    return request;
}

static struct redis_request *request_create(struct redis *redis, redis_done done, void *context)
{
    struct redis_request *request = MEM_NEW(struct redis_request);
    request->redis = redis;
    request->done = done;
    request->context = context;
    request->deadline_ms = loop_now_ms(redis->loop) + redis->config.command_timeout_ms;
    return request;
}

static void request_finish(
        struct redis_request *request, enum err err, const struct redis_value *reply)
{
    if (err != ERR_OK) {
        metric_family_add(&errors_total, err_name(err), 1);
    }
    if (request->done != NULL) {
        request->done(request->context, err, reply);
    }
    free(request);
}

static void on_reply(redisAsyncContext *async, void *raw, void *context)
{
    (void)async;
    struct redis_request *request = context;
    struct redis *redis = request->redis;
    const struct redis_request *oldest = list_pop(&redis->in_flight);
    ASSERT(oldest == request); /* Redis answers in order */
    if (raw == NULL) {
        redis->phase = REDIS_PHASE_DYING; /* hiredis takes no commands now */
        bool is_overdue = request->deadline_ms <= loop_now_ms(redis->loop);
        request_finish(request, is_overdue ? ERR_TIMEOUT : ERR_UNAVAILABLE, NULL);
        return;
    }
    struct redis_value value = redis_reply_value(raw);
    if (redis_reply_is_fatal(&value)) {
        redis_drop(redis, "the server refuses commands");
    }
    request_finish(request, ERR_OK, &value);
}

static void on_command_due(struct timer *timer, void *context)
{
    struct redis *redis = context;
    const struct redis_request *oldest = redis->in_flight.head;
    if (oldest == NULL) {
        return;
    }
    int64_t left_ms = oldest->deadline_ms - loop_now_ms(redis->loop);
    if (left_ms > 0) {
        timer_start(loop_timers(redis->loop), timer, left_ms);
    } else {
        redis_drop(redis, "a command took too long");
    }
}

static void request_send(
        struct redis *redis, struct redis_request *request, const struct str *args, size_t count)
{
    redis_command_write(&redis->command, args, count);
    struct str command = buf_view(&redis->command);
    list_push(&redis->in_flight, request);
    int status =
            redisAsyncFormattedCommand(redis->async, on_reply, request, command.ptr, command.len);
    ASSERT(status == REDIS_OK); /* refused only while dying, and then we do not ask */
    metric_add(&commands_total, 1);
    if (!timer_is_running(&redis->command_timer)) {
        timer_start(
                loop_timers(redis->loop), &redis->command_timer, redis->config.command_timeout_ms);
    }
}

/* Only those of before: a caller may ask again at once. */
static void refuse_all(void *context)
{
    struct redis *redis = context;
    for (size_t left = redis->refused.count; left > 0; left--) {
        request_finish(list_pop(&redis->refused), ERR_UNAVAILABLE, NULL);
    }
}

void redis_guard_writes(struct redis *redis, bool (*may_write)(void *context), void *context)
{
    redis->may_write = may_write;
    redis->may_write_context = context;
}

void redis_on_refused(struct redis *redis, void (*fn)(void *context), void *context)
{
    redis->on_refused = fn;
    redis->on_refused_context = context;
}

bool redis_has_room(const struct redis *redis)
{
    return redis_is_up(redis) && redis->in_flight.count * 2 < (size_t)redis->config.max_pending;
}

/* Without a connection it is no news: who reconnects writes everything again. */
static void refuse(struct redis *redis, struct redis_request *request)
{
    if (request->done == NULL && redis->on_refused != NULL && redis_is_up(redis)) {
        redis->on_refused(redis->on_refused_context);
    }
    list_push(&redis->refused, request);
    loop_defer(redis->loop, LOOP_PHASE_STORE, &redis->refuse_task);
}

void redis_command(
        struct redis *redis, const struct str *args, size_t count, redis_done done, void *context)
{
    ASSERT(count > 0);
    bool is_guarded = done == NULL && redis->may_write != NULL;
    if (is_guarded && !redis->may_write(redis->may_write_context)) {
        return;
    }
    struct redis_request *request = request_create(redis, done, context);
    if (redis_is_up(redis) && redis->in_flight.count < (size_t)redis->config.max_pending) {
        redis->has_guarded |= is_guarded;
        request_send(redis, request, args, count);
    } else {
        refuse(redis, request);
    }
}

/* ---- hiredis' event hooks */

static void set_events(struct redis *redis, unsigned events)
{
    redis->events = events;
    loop_watch_set(redis->watch, events);
}

static void add_read(void *context)
{
    struct redis *redis = context;
    set_events(redis, redis->events | LOOP_READABLE);
}

static void del_read(void *context)
{
    struct redis *redis = context;
    set_events(redis, redis->events & ~(unsigned)LOOP_READABLE);
}

/* A new command waits for the end of the turn and is then written without asking the kernel; only
 * what it did not take waits for the descriptor. */
static void add_write(void *context)
{
    struct redis *redis = context;
    if (redis->is_writing || (redis->async->c.flags & REDIS_CONNECTED) == 0) {
        set_events(redis, redis->events | LOOP_WRITABLE);
    } else {
        loop_defer(redis->loop, LOOP_PHASE_STORE, &redis->write_task);
    }
}

static void del_write(void *context)
{
    struct redis *redis = context;
    set_events(redis, redis->events & ~(unsigned)LOOP_WRITABLE);
}

static void schedule_attempt(struct redis *redis)
{
    int64_t delay_ms = 0; /* a Sentinel has told the address: go there */
    if (redis->primary == NULL) {
        int64_t backoff_ms = redis->backoff_ms * 2;
        backoff_ms = backoff_ms < redis->config.reconnect_min_ms ? redis->config.reconnect_min_ms
                                                                 : backoff_ms;
        backoff_ms = backoff_ms > redis->config.reconnect_max_ms ? redis->config.reconnect_max_ms
                                                                 : backoff_ms;
        redis->backoff_ms = backoff_ms;
        delay_ms = backoff_ms / 2
                + (int64_t)(id128_random().lo % (uint64_t)(backoff_ms / 2 + 1)); /* jitter */
    }
    timer_start(loop_timers(redis->loop), &redis->attempt_timer, delay_ms);
}

static void change(struct redis *redis, bool is_up)
{
    metric_set(&up_gauge, is_up);
    if (redis->on_change != NULL && !redis->is_closing) {
        redis->on_change(redis->on_change_context, is_up);
    }
}

/* Of attempts in a row that fail, only the first is worth a warning. */
static void log_loss(const struct redis *redis, const char *reason)
{
    bool is_news = redis->up_announced || redis->backoff_ms == 0;
    log_at(is_news ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG,
            "redis",
            redis->up_announced ? "connection lost" : "cannot connect",
            log_cstr("reason", reason));
}

/* The context dies in any case after this; its descriptor is still open. */
static void clean_up(void *context)
{
    struct redis *redis = context;
    if (!redis->is_closing && redis->primary == NULL) { /* a Sentinel that answered is no loss */
        const char *reason = redis->drop_reason != NULL ? redis->drop_reason
                : redis->async->err != 0                ? redis->async->errstr
                                                        : "closed by the server";
        log_loss(redis, reason);
    }
    loop_watch_destroy(redis->watch);
    redis->watch = NULL;
    redis->events = 0;
    redis->async = NULL;
    redis->drop_reason = NULL;
    redis->has_guarded = false;
    redis->phase = REDIS_PHASE_WAITING;
    loop_task_cancel(redis->loop, &redis->write_task);
    loop_task_cancel(redis->loop, &redis->drop_task);
    timer_stop(&redis->attempt_timer);
    timer_stop(&redis->command_timer);
    if (!redis->is_closing) {
        schedule_attempt(redis);
    }
    if (redis->up_announced) {
        redis->up_announced = false;
        redis->down_since_ms = loop_now_ms(redis->loop);
        change(redis, false);
    }
}

/* What was said before we slept must not be heard after it. */
static bool may_still_write(struct redis *redis)
{
    if (!redis->has_guarded) {
        return true;
    }
    loop_refresh(redis->loop);
    return redis->may_write(redis->may_write_context);
}

static void write_now(void *context)
{
    struct redis *redis = context;
    if (redis->async == NULL) {
        return;
    }
    if (!may_still_write(redis)) {
        redis_drop(redis, "writes that are too late");
        return;
    }
    redis->is_writing = true;
    redisAsyncHandleWrite(redis->async);
    redis->is_writing = false;
    if ((redis->events & LOOP_WRITABLE) == 0) {
        redis->has_guarded = false;
    }
}

static void on_events(void *context, unsigned events)
{
    struct redis *redis = context;
    if ((events & LOOP_WRITABLE) != 0) {
        write_now(redis);
    }
    if (redis->async != NULL && (events & (LOOP_READABLE | LOOP_HANGUP)) != 0) {
        redisAsyncHandleRead(redis->async);
    }
    if (redis->async != NULL && redis_limits_is_exceeded(redis->async->c.reader)) {
        redis_drop(redis, "a reply is too large");
    }
}

static void drop_now(void *context)
{
    struct redis *redis = context;
    if (redis->async != NULL) {
        redisAsyncFree(redis->async); /* calls clean_up */
    }
}

/* ---- the handshake */

static void handshake_command(
        struct redis *redis, const struct str *args, size_t count, redis_done done)
{
    request_send(redis, request_create(redis, done, redis), args, count);
}

static bool is_primary(const struct redis_value *role)
{
    struct redis_value word = redis_value_at(role, 0);
    return word.type == REDIS_STRING && str_equal(word.text, STR("master"));
}

/* The reply to PING, or to ROLE after a Sentinel: its word may be older than a failover. */
static void on_greeting(void *context, enum err err, const struct redis_value *reply)
{
    struct redis *redis = context;
    if (err != ERR_OK || redis->drop_reason != NULL) {
        return;
    }
    bool is_good = reply->type == REDIS_STATUS || is_primary(reply);
    if (!is_good) {
        redis_drop(redis, "the server is not ready or not the primary");
        return;
    }
    timer_stop(&redis->attempt_timer);
    redis->phase = REDIS_PHASE_UP;
    redis->backoff_ms = 0;
    redis->up_announced = true;
    log_info("redis", "connected");
    change(redis, true);
}

static void on_auth(void *context, enum err err, const struct redis_value *reply)
{
    struct redis *redis = context;
    if (err == ERR_OK && reply->type != REDIS_STATUS) {
        redis_drop(redis, "AUTH was refused");
    }
}

/* False: there is a password file, but it cannot be read. */
static bool send_auth(struct redis *redis)
{
    if (redis->config.password_file[0] == '\0') {
        return true;
    }
    struct buf secret;
    struct buf why;
    buf_init(&secret, 0);
    buf_init(&why, 0);
    bool is_read = config_read_secret(redis->config.password_file, &secret, &why) == ERR_OK;
    if (is_read) {
        struct str args[3] = { STR("AUTH") };
        size_t count = 1;
        if (redis->config.user[0] != '\0') {
            args[count++] = str_from_cstr(redis->config.user);
        }
        args[count++] = buf_view(&secret);
        handshake_command(redis, args, count, on_auth);
        buf_fini_secret(&redis->command);
    } else {
        log_error("redis", "password file cannot be read", log_str("reason", buf_view(&why)));
    }
    buf_fini_secret(&secret);
    buf_fini(&why);
    return is_read;
}

static void on_primary_told(void *context, enum err err, const struct redis_value *reply)
{
    struct redis *redis = context;
    if (err != ERR_OK) {
        return;
    }
    struct redis_value host = redis_value_at(reply, 0);
    struct redis_value port = redis_value_at(reply, 1);
    if (host.type != REDIS_STRING || port.type != REDIS_STRING) {
        redis_drop(redis, "the Sentinel does not know the primary");
        return;
    }
    struct buf address;
    buf_init(&address, 0);
    buf_printf(&address, STR_FMT ":" STR_FMT, STR_ARG(host.text), STR_ARG(port.text));
    redis->primary = str_to_cstr(buf_view(&address));
    buf_fini(&address);
    redis_drop(redis, "the Sentinel has answered");
}

static void on_connect(const redisAsyncContext *async, int status)
{
    struct redis *redis = async->data;
    if (status != REDIS_OK) {
        return; /* hiredis frees the context by itself */
    }
    if (redis->phase == REDIS_PHASE_SENTINEL) {
        struct str args[] = {
            STR("SENTINEL"),
            STR("get-master-addr-by-name"),
            str_from_cstr(redis->config.sentinel_master),
        };
        handshake_command(redis, args, 3, on_primary_told);
        return;
    }
    if (!send_auth(redis)) {
        redis_drop(redis, "no password");
        return;
    }
    struct str greeting = redis->config.sentinels.count > 0 ? STR("ROLE") : STR("PING");
    handshake_command(redis, &greeting, 1, on_greeting);
}

/* ---- connecting */

/* "host:port", the port behind the last colon: host may be IPv6. */
static redisAsyncContext *connect_tcp(const char *address)
{
    const char *colon = strrchr(address, ':');
    uint64_t port = 0;
    if (colon == NULL || !str_to_u64(str_from_cstr(colon + 1), &port) || port > UINT16_MAX) {
        return NULL;
    }
    char *host = str_to_cstr(str_from(address, (size_t)(colon - address)));
    redisAsyncContext *async = redisAsyncConnect(host, (int)port);
    if (async != NULL && async->err == 0) {
        (void)redisEnableKeepAlive(&async->c);
    }
    free(host);
    return async;
}

static redisAsyncContext *connect_next(struct redis *redis)
{
    const struct redis_config *config = &redis->config;
    redis->phase = REDIS_PHASE_CONNECTING;
    if (redis->primary != NULL) {
        redisAsyncContext *async = connect_tcp(redis->primary);
        free(redis->primary);
        redis->primary = NULL; /* whatever comes of it: next time ask again */
        return async;
    }
    if (config->sentinels.count > 0) {
        redis->phase = REDIS_PHASE_SENTINEL;
        return connect_tcp(
                config->sentinels.items[redis->next_sentinel++ % config->sentinels.count]);
    }
    struct str address = str_from_cstr(config->address);
    if (str_starts_with(address, STR("unix:"))) {
        return redisAsyncConnectUnix(config->address + STR("unix:").len);
    }
    return connect_tcp(config->address + STR("tcp:").len);
}

static void attempt_start(struct redis *redis)
{
    redisAsyncContext *async = connect_next(redis);
    if (async == NULL || async->err != 0) {
        log_loss(redis, async != NULL ? async->errstr : "malformed address");
        if (async != NULL) {
            redisAsyncFree(async);
        }
        redis->phase = REDIS_PHASE_WAITING;
        schedule_attempt(redis);
        return;
    }
    redis->async = async;
    async->data = redis;
    async->ev.data = redis;
    async->ev.addRead = add_read;
    async->ev.delRead = del_read;
    async->ev.addWrite = add_write;
    async->ev.delWrite = del_write;
    async->ev.cleanup = clean_up;
    redis_limits_install(&redis->limits, async->c.reader);
    redis->watch = loop_watch_create(redis->loop, async->c.fd, on_events, redis);
    timer_start(loop_timers(redis->loop), &redis->attempt_timer, redis->config.connect_timeout_ms);
    (void)redisAsyncSetConnectCallback(async, on_connect); /* asks for a write event */
}

static void on_attempt_due(struct timer *timer, void *context)
{
    (void)timer;
    struct redis *redis = context;
    if (redis->phase == REDIS_PHASE_WAITING) {
        attempt_start(redis);
    } else {
        redis_drop(redis, "connecting took too long");
    }
}

/* ---- life */

static char *copy(const char *text)
{
    return str_to_cstr(str_from_cstr(text != NULL ? text : ""));
}

static void copy_config(struct redis_config *out, const struct redis_config *config)
{
    *out = *config;
    out->address = copy(config->address);
    out->user = copy(config->user);
    out->password_file = copy(config->password_file);
    out->sentinel_master = copy(config->sentinel_master);
    out->sentinels.items = mem_calloc(config->sentinels.count + 1, sizeof(char *));
    for (size_t i = 0; i < config->sentinels.count; i++) {
        out->sentinels.items[i] = copy(config->sentinels.items[i]);
    }
}

static void free_config(struct redis_config *config)
{
    free(config->address);
    free(config->user);
    free(config->password_file);
    free(config->sentinel_master);
    for (size_t i = 0; i < config->sentinels.count; i++) {
        free(config->sentinels.items[i]);
    }
    free(config->sentinels.items);
}

enum err redis_open(struct loop *loop, const struct redis_config *config, struct redis **redis_out)
{
    struct redis *redis = MEM_NEW(struct redis);
    redis->loop = loop;
    redis->down_since_ms = loop_now_ms(loop);
    buf_init(&redis->command, 0);
    copy_config(&redis->config, config);
    list_init(&redis->in_flight);
    list_init(&redis->refused);
    redis->write_task = (struct loop_task){ .run = write_now, .context = redis };
    redis->drop_task = (struct loop_task){ .run = drop_now, .context = redis };
    redis->refuse_task = (struct loop_task){ .run = refuse_all, .context = redis };
    timer_init(&redis->attempt_timer, on_attempt_due, redis);
    timer_init(&redis->command_timer, on_command_due, redis);
    metric_register(&commands_total);
    metric_register(&up_gauge);
    if (redis->config.address[0] != '\0' || redis->config.sentinels.count > 0) {
        redis->phase = REDIS_PHASE_WAITING;
        timer_start(loop_timers(loop), &redis->attempt_timer, 0);
    }
    *redis_out = redis;
    return ERR_OK;
}

void redis_close(struct redis *redis)
{
    if (redis == NULL) {
        return;
    }
    redis->is_closing = true;
    drop_now(redis);
    timer_stop(&redis->attempt_timer);
    timer_stop(&redis->command_timer);
    loop_task_cancel(redis->loop, &redis->refuse_task);
    refuse_all(redis);
    free(redis->primary);
    free_config(&redis->config);
    buf_fini(&redis->command);
    free(redis);
}

bool redis_is_up(const struct redis *redis)
{
    return redis->phase == REDIS_PHASE_UP && redis->drop_reason == NULL;
}

int64_t redis_down_ms(const struct redis *redis)
{
    return redis->up_announced ? 0 : loop_now_ms(redis->loop) - redis->down_since_ms;
}

void redis_on_change(struct redis *redis, void (*fn)(void *context, bool is_up), void *context)
{
    redis->on_change = fn;
    redis->on_change_context = context;
}

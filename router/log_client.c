/* Requests are kept packed until they are answered, so that a repeat costs nothing. */
#include "router/log_client.h"

#include "chassis/base/map.h"
#include "chassis/base/mem.h"
#include "router/peers.h"
#include "router/router.h"

#define SCAN_MS      50
#define LINK_DOWN_MS 1000
#define BACKOFF_MS   100

enum log_kind {
    LOG_OPEN,
    LOG_READ,
    LOG_ERASE,
};

struct log_request {
    uint64_t id;
    enum log_kind kind;
    union {
        log_open_done open;
        log_read_done read;
        log_erase_done erase;
    } done;
    void *context;
    struct buf record;
    struct peer *peer; /* NULL: not sent */
    uint64_t peer_boot;
    int64_t sent_ms;
    int64_t not_before_ms;
    int64_t deadline_ms;
    UT_hash_handle hh;
};

struct log_client {
    struct router *router;
    struct log_request *requests;
    uint64_t last_id;
    struct timer scan;
};

static int64_t now_of(const struct log_client *client)
{
    return loop_now_ms(client->router->loop);
}

static void request_free(struct log_client *client, struct log_request *request)
{
    HASH_DEL(client->requests, request);
    buf_fini(&request->record);
    free(request);
}

/* Ends a request without a reply. */
static void request_fail(struct log_client *client, struct log_request *request, enum err err)
{
    struct log_request ended = *request;
    request_free(client, request);
    switch (ended.kind) {
    case LOG_OPEN: ended.done.open(ended.context, err, NULL); break;
    case LOG_READ: ended.done.read(ended.context, err, NULL); break;
    case LOG_ERASE: ended.done.erase(ended.context, err); break;
    }
}

static void try_send(struct log_client *client, struct log_request *request)
{
    struct peer *peer = peers_choose(client->router->peers,
            LINK_ROLE_ARCHIVE,
            str_from_cstr(client->router->node),
            request->peer);
    if (peer == NULL || link_send(peer->link, buf_view(&request->record)) != ERR_OK) {
        request->peer = NULL;
        return;
    }

    request->peer = peer;
    request->peer_boot = peer->boot_epoch;
    request->sent_ms = now_of(client);
}

static bool needs_send(const struct log_client *client, const struct log_request *request)
{
    int64_t now = now_of(client);
    const struct peer *peer = request->peer;
    if (now < request->not_before_ms) {
        return false;
    }

    return peer == NULL || peer->is_dead || peer->boot_epoch != request->peer_boot
            || (!peer->is_up && now - peer->down_since_ms >= LINK_DOWN_MS)
            || now - request->sent_ms >= client->router->settings->archive_patience_ms;
}

static void scan(struct log_client *client)
{
    struct log_request *request;
    struct log_request *next;
    HASH_ITER(hh, client->requests, request, next)
    {
        if (needs_send(client, request)) {
            try_send(client, request);
        }
    }
}

/* The callback of one request may cancel others: after each, from the beginning. */
static void expire(struct log_client *client)
{
    int64_t now = now_of(client);
    struct log_request *request = client->requests;
    while (request != NULL) {
        if (now >= request->deadline_ms) {
            request_fail(client, request, ERR_TIMEOUT);
            request = client->requests;
        } else {
            request = request->hh.next;
        }
    }
}

static void on_scan(struct timer *timer, void *context)
{
    struct log_client *client = context;
    expire(client);
    scan(client);
    if (client->requests != NULL) {
        timer_start(loop_timers(client->router->loop), timer, SCAN_MS);
    }
}

/* Takes the envelope's request number, packs, sends. */
static struct log_request *request_create(
        struct log_client *client, enum log_kind kind, void *context)
{
    struct log_request *request = MEM_NEW(struct log_request);
    request->id = ++client->last_id;
    request->kind = kind;
    request->context = context;
    request->deadline_ms = now_of(client) + client->router->settings->commit_timeout_ms;
    buf_init(&request->record, 0);
    HASH_ADD(hh, client->requests, id, sizeof(request->id), request);
    return request;
}

static uint64_t request_start(
        struct log_client *client, struct log_request *request, const Wire__Envelope *envelope)
{
    wire_pack(&request->record, envelope);
    try_send(client, request);
    if (!timer_is_running(&client->scan)) {
        timer_start(loop_timers(client->router->loop), &client->scan, SCAN_MS);
    }
    return request->id;
}

uint64_t log_open_owner(struct log_client *client,
        int64_t owner,
        int64_t origins_after_id,
        log_open_done done,
        void *context)
{
    struct log_request *request = request_create(client, LOG_OPEN, context);
    request->done.open = done;
    Wire__LogOpen message = WIRE__LOG_OPEN__INIT;
    message.request = request->id;
    message.owner = owner;
    message.origins_after_id = origins_after_id;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_LOG_OPEN;
    envelope.log_open = &message;
    return request_start(client, request, &envelope);
}

uint64_t log_read(struct log_client *client,
        int64_t owner,
        int64_t after_id,
        uint32_t max_entries,
        uint32_t max_bytes,
        log_read_done done,
        void *context)
{
    struct log_request *request = request_create(client, LOG_READ, context);
    request->done.read = done;
    Wire__LogRead message = WIRE__LOG_READ__INIT;
    message.request = request->id;
    message.owner = owner;
    message.after_id = after_id;
    message.max_entries = max_entries;
    message.max_bytes = max_bytes;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_LOG_READ;
    envelope.log_read = &message;
    return request_start(client, request, &envelope);
}

uint64_t log_erase(struct log_client *client, int64_t owner, log_erase_done done, void *context)
{
    struct log_request *request = request_create(client, LOG_ERASE, context);
    request->done.erase = done;
    Wire__LogErase message = WIRE__LOG_ERASE__INIT;
    message.request = request->id;
    message.owner = owner;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_LOG_ERASE;
    envelope.log_erase = &message;
    return request_start(client, request, &envelope);
}

void log_cancel(struct log_client *client, uint64_t id)
{
    struct log_request *request;
    HASH_FIND(hh, client->requests, &id, sizeof(id), request);
    if (request != NULL) {
        request_free(client, request);
    }
}

/* The request a reply belongs to, taken out; NULL: none, or it has to be asked again. */
static struct log_request *take_answered(
        struct log_client *client, uint64_t id, enum log_kind kind, Wire__Status status)
{
    struct log_request *request;
    HASH_FIND(hh, client->requests, &id, sizeof(id), request);
    if (request == NULL || request->kind != kind) {
        return NULL; /* cancelled, or the other answer of a repeat has come */
    }
    if (status == WIRE__STATUS__STATUS_TEMPORARY) {
        request->peer = NULL;
        request->not_before_ms = now_of(client) + BACKOFF_MS;
        return NULL;
    }

    HASH_DEL(client->requests, request);
    buf_fini(&request->record);
    return request;
}

static enum err status_err(Wire__Status status)
{
    return status == WIRE__STATUS__STATUS_OK ? ERR_OK : ERR_INVALID;
}

static void on_open_reply(struct log_client *client, const Wire__LogOpenReply *reply)
{
    struct log_request *request = take_answered(client, reply->request, LOG_OPEN, reply->status);
    if (request != NULL) {
        enum err err = status_err(reply->status);
        request->done.open(request->context, err, err == ERR_OK ? reply : NULL);
        free(request);
    }
}

static void on_read_reply(struct log_client *client, const Wire__LogReadReply *reply)
{
    struct log_request *request = take_answered(client, reply->request, LOG_READ, reply->status);
    if (request != NULL) {
        enum err err = status_err(reply->status);
        request->done.read(request->context, err, err == ERR_OK ? reply : NULL);
        free(request);
    }
}

static void on_erase_reply(struct log_client *client, const Wire__LogEraseReply *reply)
{
    struct log_request *request = take_answered(client, reply->request, LOG_ERASE, reply->status);
    if (request != NULL) {
        request->done.erase(request->context, status_err(reply->status));
        free(request);
    }
}

void log_client_on_envelope(struct log_client *client, const Wire__Envelope *envelope)
{
    if (envelope->verb_case == WIRE__ENVELOPE__VERB_LOG_OPEN_REPLY) {
        on_open_reply(client, envelope->log_open_reply);
    } else if (envelope->verb_case == WIRE__ENVELOPE__VERB_LOG_READ_REPLY) {
        on_read_reply(client, envelope->log_read_reply);
    } else if (envelope->verb_case == WIRE__ENVELOPE__VERB_LOG_ERASE_REPLY) {
        on_erase_reply(client, envelope->log_erase_reply);
    }
}

void log_client_on_peer_change(struct log_client *client)
{
    scan(client);
}

enum err log_client_create(struct router *router, struct log_client **client_out)
{
    struct log_client *client = MEM_NEW(struct log_client);
    client->router = router;
    client->last_id =
            (uint64_t)loop_wall_us(router->loop); /* no former incarnation's answer fits */
    timer_init(&client->scan, on_scan, client);
    *client_out = client;
    return ERR_OK;
}

void log_client_destroy(struct log_client *client)
{
    if (client == NULL) {
        return;
    }

    timer_stop(&client->scan);
    while (client->requests != NULL) {
        request_fail(client, client->requests, ERR_CLOSED);
    }
    free(client);
}

/* A hash by id and a list in order of age: all time-outs are alike, so one timer watches the
 * oldest. */
#include "edge/requests.h"

#include <utlist.h>

#include "chassis/base/buf.h"
#include "chassis/base/digest.h"
#include "chassis/base/err.h"
#include "chassis/base/map.h"
#include "chassis/base/mem.h"
#include "chassis/timer.h"

struct request {
    uint64_t id;
    unsigned shard;
    int64_t age_ms; /* at the last tick */
    request_answered answered;
    void *context;
    struct buf record;
    struct request *prev, *next;
    UT_hash_handle hh;
};

struct requests {
    struct timer_wheel *timers;
    struct timer timer;
    int64_t timeout_ms;
    uint64_t last_id;
    request_send send;
    void *send_context;
    struct request *by_id;
    struct request *by_age; /* oldest first */
};

/* A request is timed out after between 10 and 11 ticks. */
#define TICKS 10

static void request_free(struct requests *requests, struct request *request)
{
    HASH_DEL(requests->by_id, request);
    DL_DELETE(requests->by_age, request);
    buf_fini_secret(&request->record); /* may hold a password */
    free(request);
    if (!requests->by_age) {
        timer_stop(&requests->timer);
    }
}

static void time_out_oldest(struct requests *requests)
{
    while (requests->by_age && requests->by_age->age_ms > requests->timeout_ms) {
        request_answered answered = requests->by_age->answered;
        void *context = requests->by_age->context;
        request_free(requests, requests->by_age);
        answered(context, NULL);
    }
}

static void on_tick(struct timer *timer, void *context)
{
    struct requests *requests = context;
    struct request *request = NULL;
    timer_start(requests->timers, timer, requests->timeout_ms / TICKS);
    DL_FOREACH(requests->by_age, request)
    {
        request->age_ms += requests->timeout_ms / TICKS;
    }
    time_out_oldest(requests);
}

struct requests *requests_create(
        struct timer_wheel *timers, int64_t timeout_ms, request_send send, void *send_context)
{
    struct requests *requests = MEM_NEW(struct requests);
    requests->timers = timers;
    requests->timeout_ms = timeout_ms;
    requests->send = send;
    requests->send_context = send_context;
    requests->last_id = random_u64(); /* an answer meant for an earlier life is not ours */
    timer_init(&requests->timer, on_tick, requests);
    return requests;
}

void requests_destroy(struct requests *requests)
{
    if (!requests) {
        return;
    }
    while (requests->by_age) {
        request_free(requests, requests->by_age);
    }
    timer_stop(&requests->timer);
    free(requests);
}

static void set_id(Wire__Envelope *envelope, uint64_t id)
{
    switch ((int)envelope->verb_case) {
    case WIRE__ENVELOPE__VERB_AUTH_LOOKUP: envelope->auth_lookup->request = id; break;
    case WIRE__ENVELOPE__VERB_AUTH_VERIFY: envelope->auth_verify->request = id; break;
    case WIRE__ENVELOPE__VERB_AUTH_PLAIN: envelope->auth_plain->request = id; break;
    case WIRE__ENVELOPE__VERB_AUTH_TOKEN: envelope->auth_token->request = id; break;
    case WIRE__ENVELOPE__VERB_AUTH_UPGRADE: envelope->auth_upgrade->request = id; break;
    case WIRE__ENVELOPE__VERB_BIND: envelope->bind->request = id; break;
    case WIRE__ENVELOPE__VERB_COMPONENT_BIND: envelope->component_bind->request = id; break;
    case WIRE__ENVELOPE__VERB_REGISTER: envelope->register_->request = id; break;
    case WIRE__ENVELOPE__VERB_RESUME: envelope->resume->request = id; break;
    default: UNREACHABLE("a verb with a request id");
    }
}

static bool is_not_owner(const Wire__Envelope *reply)
{
    switch ((int)reply->verb_case) {
    case WIRE__ENVELOPE__VERB_AUTH_LOOKUP_REPLY:
        return reply->auth_lookup_reply->status == WIRE__STATUS__STATUS_NOT_OWNER;
    case WIRE__ENVELOPE__VERB_AUTH_RESULT:
        return reply->auth_result->status == WIRE__STATUS__STATUS_NOT_OWNER;
    case WIRE__ENVELOPE__VERB_BIND_REPLY:
        return reply->bind_reply->status == WIRE__STATUS__STATUS_NOT_OWNER;
    case WIRE__ENVELOPE__VERB_RESUME_REPLY:
        return reply->resume_reply->status == WIRE__STATUS__STATUS_NOT_OWNER;
    case WIRE__ENVELOPE__VERB_REGISTER_REPLY:
        return reply->register_reply->status == WIRE__STATUS__STATUS_NOT_OWNER;
    default: return false;
    }
}

struct request *requests_add(struct requests *requests,
        unsigned shard,
        Wire__Envelope *envelope,
        request_answered answered,
        void *context)
{
    struct request *request = MEM_NEW(struct request);
    request->id = ++requests->last_id;
    request->shard = shard;
    request->answered = answered;
    request->context = context;
    set_id(envelope, request->id);
    buf_init(&request->record, 0);
    wire_pack(&request->record, envelope);
    HASH_ADD(hh, requests->by_id, id, sizeof(request->id), request);
    DL_APPEND(requests->by_age, request);
    if (!timer_is_running(&requests->timer)) {
        timer_start(requests->timers, &requests->timer, requests->timeout_ms / TICKS);
    }
    (void)requests->send(requests->send_context, shard, buf_view(&request->record));
    return request;
}

void requests_cancel(struct requests *requests, struct request *request)
{
    if (request) {
        request_free(requests, request);
    }
}

static struct request *find(const struct requests *requests, uint64_t id)
{
    struct request *request = NULL;
    HASH_FIND(hh, requests->by_id, &id, sizeof(id), request);
    return request;
}

bool requests_answer(struct requests *requests, uint64_t id, const Wire__Envelope *reply)
{
    struct request *request = find(requests, id);
    if (!request) {
        return false;
    }
    if (is_not_owner(reply)) {
        return true;
    }
    request_answered answered = request->answered;
    void *context = request->context;
    request_free(requests, request);
    answered(context, reply);
    return true;
}

void requests_repeat(struct requests *requests, unsigned shard)
{
    struct request *request = NULL;
    DL_FOREACH(requests->by_age, request)
    {
        if (request->shard == shard
                && !requests->send(requests->send_context, shard, buf_view(&request->record))) {
            return;
        }
    }
}

bool requests_find_shard(const struct requests *requests, uint64_t id, unsigned *shard_out)
{
    const struct request *request = find(requests, id);
    if (!request) {
        return false;
    }
    *shard_out = request->shard;
    return true;
}

uint32_t requests_count(const struct requests *requests)
{
    return HASH_COUNT(requests->by_id);
}

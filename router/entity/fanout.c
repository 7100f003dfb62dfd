/* Presence to many: recipients sorted by home, sessions by edge. */
#include "router/entity/fanout.h"

#include "chassis/base/mem.h"
#include "chassis/loop.h"
#include "chassis/metrics.h"
#include "router/entity/posts.h"
#include "router/entity/send.h"
#include "router/entity/sm.h"
#include "router/pipeline.h"
#include "router/route_many.h"
#include "router/router.h"
#include "router/shard.h"

#define FIRST_TARGETS     8
#define MAX_TARGETS       1000                /* in one frame */
#define MAX_ADDRESS_BYTES ((size_t)256 << 10) /* likewise */
#define MAX_EDGES         64                  /* at a time; beyond it frames leave early */

static struct metric recipients_total = METRIC_COUNTER_INIT(
        "fanout_recipients_total", "Accounts a presence was fanned out to here", NULL);
static struct metric frames_total =
        METRIC_COUNTER_INIT("fanout_frames_total", "Frames to edges that took", NULL);

struct fanout {
    struct fanout *next;
    struct arena arena; /* holds it, too */
    struct origin origin;
    struct stanza stanza; /* without `to` */
    struct str *to;
    size_t count;
};

/* ---- waiting */

void fanouts_init(struct fanouts *fanouts)
{
    fanouts->head = NULL;
    fanouts->end = &fanouts->head;
    metric_register(&recipients_total);
    metric_register(&frames_total);
}

static struct fanout *fanouts_pop(struct fanouts *fanouts)
{
    struct fanout *fanout = fanouts->head;
    if (fanout) {
        fanouts->head = fanout->next;
        fanouts->end = fanouts->head ? fanouts->end : &fanouts->head;
    }
    return fanout;
}

static void fanout_destroy(struct fanout *fanout)
{
    struct arena arena = fanout->arena;
    arena_fini(&arena);
}

void fanouts_fini(struct fanouts *fanouts)
{
    struct fanout *fanout;
    while ((fanout = fanouts_pop(fanouts)) != NULL) {
        fanout_destroy(fanout);
    }
}

static void fanout_add(struct entity_table *table,
        const struct origin *origin,
        const struct stanza *stanza,
        const struct str *to,
        size_t count)
{
    struct arena arena;
    arena_init(&arena, 0);
    struct fanout *fanout = ARENA_NEW(&arena, struct fanout);
    fanout->origin = *origin;
    stanza_dup(&arena, stanza, &fanout->stanza);
    fanout->to = arena_alloc(&arena, count * sizeof(struct str) + 1);
    fanout->count = count;
    for (size_t i = 0; i < count; i++) {
        fanout->to[i] = str_dup(&arena, to[i]);
    }
    fanout->arena = arena;
    struct fanouts *fanouts = entity_table_fanouts(table);
    *fanouts->end = fanout;
    fanouts->end = &fanout->next;
    entity_table_schedule(table);
}

/* ---- sending */

struct sorted {
    struct str *here;
    size_t here_count;
    struct str *there;
    size_t there_count;
};

static void sort(
        struct router *router, struct arena *arena, const struct effect *effect, struct sorted *out)
{
    size_t bytes = (effect->to_count + 1) * sizeof(struct str);
    *out = (struct sorted){ .here = arena_alloc(arena, bytes), .there = arena_alloc(arena, bytes) };
    for (size_t i = 0; i < effect->to_count; i++) {
        struct jid to;
        if (jid_split(effect->to[i], &to) != ERR_OK
                || !settings_has_somebody(router->settings, &to)) {
            continue; /* there is no federation yet */
        }
        if (shard_is_owned(router->shards, shard_of(router->shards, to.bare))) {
            out->here[out->here_count++] = effect->to[i];
        } else {
            out->there[out->there_count++] = effect->to[i];
        }
    }
}

void fanout_send(struct entity *sender, const struct effect *effect)
{
    static const struct origin none;
    struct router *router = sender->router;
    struct arena arena;
    struct sorted sorted;
    arena_init(&arena, 0);
    sort(router, &arena, effect, &sorted);
    if (sorted.here_count > 0) {
        fanout_add(router->entities, &none, &effect->stanza, sorted.here, sorted.here_count);
    }
    if (sorted.there_count > 0) {
        route_many_send(router->many, &none, &effect->stanza, sorted.there, sorted.there_count);
    }
    arena_fini(&arena);
}

/* ---- what leaves for one edge */

struct member {
    struct entity *entity;
    struct resource *resource;
    uint32_t sequence; /* 0: not numbered */
};

struct edge_frame {
    const char *edge;
    struct egress_target *targets;
    struct member *members;
    size_t count;
    size_t capacity;
    size_t bytes; /* of addresses */
};

struct run {
    struct router *router;
    const struct stanza *stanza;
    struct edge_frame *frames[MAX_EDGES];
    size_t frame_count;
};

static void frame_flush(struct run *run, struct edge_frame *frame)
{
    if (frame->count == 0) {
        return;
    }
    enum err err = egress_deliver(
            run->router->egress, frame->edge, run->stanza, 0, frame->targets, frame->count);
    metric_add(&frames_total, 1);
    for (size_t i = 0; err != ERR_OK && i < frame->count; i++) {
        const struct member *member = &frame->members[i];
        if (member->sequence) {
            sm_not_sent(member->entity, member->resource, member->sequence, err);
        } else {
            send_failed(member->entity, member->resource, err);
        }
    }
    frame->count = 0;
    frame->bytes = 0;
}

static void run_end(struct run *run)
{
    for (size_t i = 0; i < run->frame_count; i++) {
        frame_flush(run, run->frames[i]);
        free(run->frames[i]->targets);
        free(run->frames[i]->members);
        free(run->frames[i]);
    }
    run->frame_count = 0;
}

static struct edge_frame *frame_of(struct run *run, const char *edge)
{
    for (size_t i = 0; i < run->frame_count; i++) {
        struct edge_frame *frame = run->frames[i];
        if (strcmp(frame->edge, edge) == 0) {
            return frame;
        }
    }
    if (run->frame_count == MAX_EDGES) {
        run_end(run);
    }
    struct edge_frame *frame = MEM_NEW(struct edge_frame);
    frame->edge = edge; /* of a resource: nothing is freed during a run */
    run->frames[run->frame_count++] = frame;
    return frame;
}

static void frame_grow(struct edge_frame *frame)
{
    if (frame->count < frame->capacity) {
        return;
    }
    frame->capacity = frame->capacity ? frame->capacity * 2 : FIRST_TARGETS;
    frame->targets = mem_realloc(frame->targets, frame->capacity * sizeof(frame->targets[0]));
    frame->members = mem_realloc(frame->members, frame->capacity * sizeof(frame->members[0]));
}

/* A frame of the bus takes long addresses, too. */
static void frame_make_room(struct run *run, struct edge_frame *frame, size_t bytes)
{
    if (frame->count == MAX_TARGETS || frame->bytes + bytes > MAX_ADDRESS_BYTES) {
        frame_flush(run, frame);
    }
    frame->bytes += bytes;
    frame_grow(frame);
}

static void add_target(
        struct run *run, struct entity *entity, struct resource *resource, uint32_t sequence)
{
    struct edge_frame *frame = frame_of(run, resource->edge);
    frame_make_room(run, frame, 2 * entity->bare.len);
    frame->targets[frame->count] = (struct egress_target){
        .session = resource->session,
        .bare = entity->bare,
        .to = entity->bare,
        .sequence = sequence,
        .attach = resource->sm ? resource->sm->attach : 0,
    };
    frame->members[frame->count++] = (struct member){ entity, resource, sequence };
}

/* RFC 6121 §8.5.2.1.2: every available resource. */
static void deliver_to_available(
        struct run *run, struct entity *entity, const struct stanza *stanza)
{
    for (struct resource *at = entity->resources; at; at = at->next) {
        if (!at->is_available || at->is_closing || at->is_lost
                || csi_hold_back(entity, at, stanza, 0)) {
            continue;
        }
        uint32_t sequence = at->sm ? sm_number(entity, at, stanza) : 0;
        if (!at->sm || sequence) {
            add_target(run, entity, at, sequence);
        }
    }
}

/* ---- one recipient */

static void post(struct entity *entity, const struct origin *origin, const struct stanza *stanza)
{
    entity_on_route(entity->table, origin, stanza, NULL, NULL);
}

/* Nothing of the sender waits before it. */
static bool is_ready(const struct entity *entity, const struct stanza *stanza)
{
    bool is_settled = entity->state == ENTITY_ACTIVE || entity->state == ENTITY_UNKNOWN;
    return is_settled && !entity->waiting && !entity->mailbox.head
            && !outbox_has_sender(&entity->outbox, stanza->from);
}

/* Numbers a session was given are still in frames of the run: what leaves for a session by another
 * way comes behind them, or its edge sees a gap. */
static void take_turn(
        struct run *run, struct entity *entity, const struct origin *origin, struct stanza *stanza)
{
    struct arena arena;
    struct turn turn;
    arena_init(&arena, 0);
    effects_begin(&turn, &arena, entity, stanza);
    turn.origin = *origin;
    enum verdict verdict = pipeline_inbound(&turn);
    if (verdict == VERDICT_PASS && entity->state == ENTITY_ACTIVE) {
        if (jid_is_bare(&turn.to)) {
            deliver_to_available(run, entity, stanza);
        } else {
            run_end(run);
            routes_deliver_volatile(entity, stanza);
        }
    } else if (verdict == VERDICT_REJECT) {
        turn_reply_error(&turn, stanza, &turn.error);
    }
    if (turn.effects) {
        run_end(run);
    }
    effects_apply(&turn);
    if (verdict == VERDICT_WAIT) {
        account_request_start(entity, item_create(ITEM_ROUTE, stanza, 0), &turn.request);
    }
    arena_fini(&arena);
}

static void deliver_one(
        struct run *run, struct entity_table *table, const struct fanout *fanout, struct str to)
{
    struct jid jid;
    if (jid_split(to, &jid) != ERR_OK) {
        return;
    }
    struct stanza stanza = fanout->stanza;
    stanza.to = to;
    struct entity *entity = entity_find(table, jid.bare);
    unsigned shard = shard_of(run->router->shards, jid.bare);
    bool is_owned = shard_is_owned(run->router->shards, shard);
    if (settings_find_component(run->router->settings, jid.domain)) {
        if (is_owned) {
            entity_on_route(table, &fanout->origin, &stanza, NULL, NULL);
        }
        return;
    }
    bool may_wake = is_owned && !entity_table_is_settled(table, shard);
    if (!entity && !may_wake) {
        return; /* an account in no memory has no session */
    }
    entity = entity ? entity : entity_get(table, jid.bare);
    if (is_ready(entity, &stanza)) {
        take_turn(run, entity, &fanout->origin, &stanza);
    } else {
        post(entity, &fanout->origin, &stanza);
    }
}

void fanouts_run(struct entity_table *table)
{
    struct fanouts *fanouts = entity_table_fanouts(table);
    struct fanout *fanout;
    while ((fanout = fanouts_pop(fanouts)) != NULL) {
        struct run run = { .router = entity_table_router(table), .stanza = &fanout->stanza };
        for (size_t i = 0; i < fanout->count; i++) {
            deliver_one(&run, table, fanout, fanout->to[i]);
        }
        run_end(&run);
        metric_add(&recipients_total, (int64_t)fanout->count);
        fanout_destroy(fanout);
    }
}

void entity_on_route_many(struct entity_table *table,
        const struct origin *origin,
        const struct stanza *stanza,
        const struct str *to,
        size_t count)
{
    fanout_add(table, origin, stanza, to, count);
    fanouts_run(table); /* before the next record posts something behind it */
}

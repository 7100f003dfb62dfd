/* Sends the batches of commit_queue, one at a time, and repeats each until somebody answers. */
#include "router/commit.h"

#include "chassis/base/digest.h"
#include "chassis/base/map.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/metrics.h"
#include "chassis/service.h"
#include "router/commit_queue.h"
#include "router/peers.h"
#include "router/router.h"
#include "router/shard.h"

#define HOUSEKEEPING_MS   250 /* lazy watermarks, withdrawals */
#define LINK_DOWN_MS      1000
#define BACKOFF_MIN_MS    50
#define BACKOFF_MAX_MS    500
#define LARGE_GROUP       64 /* entries; it does not wait for more */
#define BATCHES_PER_FRAME 2  /* leaves room for the row that goes over the limit */
#define PROBE_REQUEST     UINT64_MAX

static struct metric metric_seconds = METRIC_HISTOGRAM_INIT(
        "commit_seconds", "From the first row of a group to the answer of archive-svc.", NULL);
static struct metric metric_batches =
        METRIC_COUNTER_INIT("commit_batches_total", "Groups committed.", NULL);
static struct metric metric_entries =
        METRIC_COUNTER_INIT("commit_entries_total", "Log entries committed.", NULL);
static struct metric metric_retries =
        METRIC_COUNTER_INIT("commit_retries_total", "Groups sent again.", NULL);
static struct metric metric_withdrawn =
        METRIC_COUNTER_INIT("commit_withdrawals_total", "Times that rows timed out unsent.", NULL);
static struct metric metric_depth =
        METRIC_GAUGE_INIT("outbox_depth", "Log entries waiting for archive-svc.", NULL);

/* Watermarks that wait for the next group. */
struct lazy {
    int64_t owner;
    int64_t id;
    unsigned shard;
    UT_hash_handle hh;
};

/* Who waited for nothing: answered from the loop, never from inside commit_wait. */
struct ready {
    commit_done done;
    void *context;
};

struct commit {
    struct router *router;
    struct commit_queue queue;
    struct buf frame; /* the batch in flight, packed: repeats have the same bytes */
    struct peer *target;
    uint64_t target_boot;
    int64_t sent_ms;
    int64_t backoff_ms;
    int64_t not_before_ms; /* of the next repeat, after STATUS_TEMPORARY */
    bool needs_send;       /* the batch in flight has to be (re)sent */
    struct timer review;
    struct timer housekeeping;
    struct loop_task store;
    struct loop_task answer;
    struct lazy *lazies;
    struct ready *ready;
    size_t ready_count;
    size_t ready_capacity;
};

static void review(struct commit *commit);

static int64_t now_of(const struct commit *commit)
{
    return loop_now_ms(commit->router->loop);
}

/* ---- sending */

/* Nobody will ever write it, so it must not stand before the others: who waits hears
 * ERR_UNAVAILABLE. */
static void refuse_head(struct commit *commit, const char *why)
{
    log_error("commit",
            "a group is withdrawn",
            log_cstr("why", why),
            log_int("bytes", buf_view(&commit->frame).len));
    commit->needs_send = false;
    struct commit_batch *head = commit_queue_head(&commit->queue);
    head->was_sent = false;
    head->opened_ms = 0; /* before all others */
    commit_queue_withdraw(&commit->queue, 0);
    loop_defer(commit->router->loop, LOOP_PHASE_STORE, &commit->store);
}

static void fly(struct commit *commit, struct peer *peer)
{
    commit->target = peer;
    commit->target_boot = peer->boot_epoch;
    commit->sent_ms = now_of(commit);
    enum err err = link_send(peer->link, buf_view(&commit->frame));
    commit->needs_send = err != ERR_OK;
    if (err == ERR_OK) {
        peer->owed_append = commit_queue_head(&commit->queue)->seq;
    } else if (err == ERR_LIMIT) {
        peer->unwell_since_ms = commit->sent_ms; /* it takes nothing */
    }
    if (err == ERR_INVALID) { /* a single row, stanza limits beyond bus.max_frame: never sent */
        refuse_head(commit, "larger than bus.max_frame");
    }
}

/* Who was passed over and owes nothing more (it could not write) is asked to commit nothing, once
 * in a while: its answer brings it back, and no batch has to wait for it. */
static void probe(struct commit *commit)
{
    struct peer *peer = peers_find_unwell(commit->router->peers,
            LINK_ROLE_ARCHIVE,
            now_of(commit) - commit->router->settings->archive_patience_ms);
    if (peer == NULL) {
        return;
    }

    Wire__Append append = WIRE__APPEND__INIT;
    append.request = PROBE_REQUEST;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_APPEND;
    envelope.append = &append;
    struct buf frame;
    buf_init(&frame, 0);
    wire_pack(&frame, &envelope);
    if (link_send(peer->link, buf_view(&frame)) == ERR_OK) {
        peer->owed_append = PROBE_REQUEST;
    }
    buf_fini(&frame);
}

static void pack_head(struct commit *commit, struct commit_batch *batch)
{
    Wire__Append append;
    commit_batch_message(batch, &append);
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_APPEND;
    envelope.append = &append;
    buf_clear(&commit->frame);
    wire_pack(&commit->frame, &envelope);
}

static void take_lazies(struct commit *commit)
{
    struct lazy *lazy;
    struct lazy *next;
    HASH_ITER(hh, commit->lazies, lazy, next)
    {
        struct commit_row row = {
            .shard = lazy->shard,
            .epoch = shard_epoch(commit->router->shards, lazy->shard),
            .owner = lazy->owner,
            .id = lazy->id,
        };
        if (row.epoch != 0) { /* else it belongs to the next owner to find out */
            commit_queue_watermark(&commit->queue, now_of(commit), &row);
        }
        HASH_DEL(commit->lazies, lazy);
        free(lazy);
    }
}

static bool is_flying(struct commit *commit)
{
    const struct commit_batch *head = commit_queue_head(&commit->queue);
    return head != NULL && head->was_sent;
}

/* While traffic flows, small groups wait for more: a transaction, its frames and its wake-ups cost
 * the same for one message as for ten. The first one after a silence does not wait. */
static int64_t pause_ms(const struct commit *commit, const struct commit_batch *head)
{
    int64_t until = commit->sent_ms + commit->router->settings->commit_interval_ms;
    bool is_large = head->entry_count >= LARGE_GROUP || head->next;
    int64_t now = now_of(commit);
    return !is_large && until > now ? until - now : 0;
}

/* The next batch leaves if none is in flight and an archive-svc is there. Returns how long it waits
 * for more. */
static int64_t start_next(struct commit *commit)
{
    struct commit_batch *head = commit_queue_head(&commit->queue);
    if (head == NULL || head->was_sent) {
        return 0;
    }
    int64_t pause = pause_ms(commit, head);
    if (pause > 0) {
        return pause;
    }

    struct peer *peer = peers_choose(
            commit->router->peers, LINK_ROLE_ARCHIVE, str_from_cstr(commit->router->node), NULL);
    if (peer == NULL) {
        return 0; /* commit_on_peer_change goes on */
    }

    take_lazies(commit);
    head->was_sent = true;
    commit->backoff_ms = 0;
    commit->not_before_ms = 0;
    pack_head(commit, head);
    fly(commit, peer);
    probe(commit);
    return 0;
}

/* Somebody does his work and has not got the batch in flight. Whoever is silent, too, is not asked
 * again before commit_timeout: then an answer may have been lost. */
static bool has_better(struct commit *commit)
{
    const struct peer *other = peers_choose(commit->router->peers,
            LINK_ROLE_ARCHIVE,
            str_from_cstr(commit->router->node),
            commit->target);
    return other != NULL && other != commit->target && other->unwell_since_ms == 0
            && other->owed_append != commit_queue_head(&commit->queue)->seq;
}

/* When the batch in flight has to be looked at again; 0: it has to be sent (elsewhere) now. */
static int64_t patience_ms(struct commit *commit)
{
    const struct peer *target = commit->target;
    int64_t now = now_of(commit);
    if (commit->not_before_ms > now) {
        return commit->not_before_ms - now;
    }
    if (commit->needs_send || target->is_dead || target->boot_epoch != commit->target_boot) {
        return 0;
    }

    const struct settings *settings = commit->router->settings;
    int64_t until = commit->sent_ms
            + (has_better(commit) ? settings->archive_patience_ms : settings->commit_timeout_ms);
    if (!target->is_up) {
        int64_t gone = target->down_since_ms + LINK_DOWN_MS;
        until = gone < until ? gone : until;
    }
    return until > now ? until - now : 0;
}

static void repeat(struct commit *commit)
{
    if (!commit->needs_send && commit->target->unwell_since_ms == 0) {
        commit->target->unwell_since_ms = now_of(commit);
    }
    struct peer *other = peers_choose(commit->router->peers,
            LINK_ROLE_ARCHIVE,
            str_from_cstr(commit->router->node),
            commit->needs_send && !commit->target->is_dead ? NULL : commit->target);
    if (other == NULL) {
        commit->needs_send = true; /* commit_on_peer_change goes on */
        return;
    }

    metric_add(&metric_retries, 1);
    fly(commit, other);
}

static void review(struct commit *commit)
{
    int64_t pause = start_next(commit);
    if (!is_flying(commit)) {
        timer_stop(&commit->review);
        if (pause > 0) {
            timer_start(loop_timers(commit->router->loop), &commit->review, pause);
        }
        return;
    }

    int64_t wait = patience_ms(commit);
    if (wait == 0) {
        repeat(commit);
        if (!is_flying(commit)) { /* refused as too large: on_store goes on */
            return;
        }
        wait = commit->needs_send ? BACKOFF_MAX_MS : patience_ms(commit);
    }
    timer_start(loop_timers(commit->router->loop),
            &commit->review,
            wait > BACKOFF_MIN_MS ? wait : BACKOFF_MIN_MS);
}

static void on_review(struct timer *timer, void *context)
{
    (void)timer;
    review(context);
}

static void on_store(void *context)
{
    review(context);
}

/* ---- time */

static void keep_house(struct commit *commit)
{
    if (!timer_is_running(&commit->housekeeping)) {
        timer_start(loop_timers(commit->router->loop), &commit->housekeeping, HOUSEKEEPING_MS);
    }
}

static void on_housekeeping(struct timer *timer, void *context)
{
    (void)timer;
    struct commit *commit = context;
    take_lazies(commit);
    const struct commit_batch *head = commit_queue_head(&commit->queue);
    if (head == NULL) {
        return;
    }

    int64_t before = now_of(commit) - commit->router->settings->commit_timeout_ms;
    if (head->opened_ms <= before && shard_may_give_up(commit->router->shards)) {
        metric_add(&metric_withdrawn, 1);
        commit_queue_withdraw(&commit->queue, before);
    }
    review(commit);
    keep_house(commit);
}

static int64_t read_depth(void *context)
{
    const struct commit *commit = context;
    return (int64_t)commit->queue.entries;
}

/* ---- what entities ask for */

static void soon(struct commit *commit)
{
    loop_defer(commit->router->loop, LOOP_PHASE_STORE, &commit->store);
    keep_house(commit);
}

void commit_entry(struct commit *commit,
        unsigned shard,
        int64_t owner,
        int64_t id,
        const struct origin *origin,
        const struct stanza *stanza)
{
    struct commit_row row = {
        .shard = shard,
        .epoch = shard_epoch(commit->router->shards, shard),
        .owner = owner,
        .id = id,
    };
    commit_queue_entry(&commit->queue, now_of(commit), &row, origin, stanza);
    soon(commit);
}

void commit_input(
        struct commit *commit, unsigned shard, int64_t owner, const struct commit_input *input)
{
    struct commit_row row = {
        .shard = shard,
        .epoch = shard_epoch(commit->router->shards, shard),
        .owner = owner,
    };
    commit_queue_input(&commit->queue, now_of(commit), &row, input);
    soon(commit);
}

void commit_watermark(struct commit *commit, unsigned shard, int64_t owner, int64_t id)
{
    struct lazy *lazy;
    HASH_FIND(hh, commit->lazies, &owner, sizeof(owner), lazy);
    if (lazy == NULL) {
        lazy = MEM_NEW(struct lazy);
        lazy->owner = owner;
        lazy->shard = shard;
        HASH_ADD(hh, commit->lazies, owner, sizeof(lazy->owner), lazy);
    }
    lazy->id = id > lazy->id ? id : lazy->id;
    keep_house(commit);
}

int64_t commit_pending_watermark(const struct commit *commit, int64_t owner)
{
    const struct lazy *lazy;
    HASH_FIND(hh, commit->lazies, &owner, sizeof(owner), lazy);
    int64_t queued = commit_queue_find_watermark(&commit->queue, owner);
    return lazy != NULL && lazy->id > queued ? lazy->id : queued;
}

static void on_answer(void *context)
{
    struct commit *commit = context;
    struct ready *list = commit->ready;
    size_t count = commit->ready_count;
    commit->ready = NULL;
    commit->ready_count = 0;
    commit->ready_capacity = 0;
    for (size_t i = 0; i < count; i++) {
        list[i].done(list[i].context, ERR_OK);
    }
    free(list);
}

static void wait_for(struct commit *commit, const struct commit_waiter *waiter)
{
    if (commit_queue_wait(&commit->queue, waiter)) {
        return;
    }

    if (commit->ready_count == commit->ready_capacity) {
        commit->ready_capacity = commit->ready_capacity ? 2 * commit->ready_capacity : 16;
        commit->ready = mem_realloc(commit->ready, commit->ready_capacity * sizeof(*commit->ready));
    }
    commit->ready[commit->ready_count++] = (struct ready){ waiter->done, waiter->context };
    loop_defer(commit->router->loop, LOOP_PHASE_WORK, &commit->answer);
}

void commit_wait(struct commit *commit, unsigned shard, commit_done done, void *context)
{
    wait_for(commit, &(struct commit_waiter){ .shard = shard, .done = done, .context = context });
}

void commit_wait_input(struct commit *commit, unsigned shard, commit_done done, void *context)
{
    wait_for(commit,
            &(struct commit_waiter){
                    .shard = shard, .is_input = true, .done = done, .context = context });
}

void commit_flush(struct commit *commit, unsigned shard, commit_done done, void *context)
{
    take_lazies(commit);
    soon(commit);
    commit_wait(commit, shard, done, context);
}

bool commit_has_room(const struct commit *commit)
{
    return commit->queue.bytes < (size_t)commit->router->settings->max_uncommitted_bytes;
}

bool commit_is_idle(const struct commit *commit, unsigned shard)
{
    for (const struct lazy *lazy = commit->lazies; lazy != NULL; lazy = lazy->hh.next) {
        if (lazy->shard == shard) {
            return false;
        }
    }

    return !commit_queue_has(&commit->queue, shard);
}

void commit_drop_shard(struct commit *commit, unsigned shard)
{
    struct lazy *lazy;
    struct lazy *next;
    HASH_ITER(hh, commit->lazies, lazy, next)
    {
        if (lazy->shard == shard) {
            HASH_DEL(commit->lazies, lazy);
            free(lazy);
        }
    }
    commit_queue_drop(&commit->queue, shard);
}

/* ---- what comes back */

/* Any answer, however late, tells how its sender is. */
static void note_health(struct commit *commit, struct peer *peer, const Wire__AppendReply *reply)
{
    if (peer->owed_append == reply->request) {
        peer->owed_append = 0;
    }
    peer->unwell_since_ms = reply->status == WIRE__STATUS__STATUS_TEMPORARY ? now_of(commit) : 0;
}

/* Not committed, or not known to be. While another archive-svc has the batch, that one's answer is
 * waited for. */
static void on_temporary(struct commit *commit, const struct peer *peer)
{
    if (peer != commit->target || commit->needs_send) {
        return;
    }

    commit->backoff_ms = commit->backoff_ms ? 2 * commit->backoff_ms : BACKOFF_MIN_MS;
    if (commit->backoff_ms > BACKOFF_MAX_MS) {
        commit->backoff_ms = BACKOFF_MAX_MS;
    }
    /* With jitter: all routers hear at the same moment that a database is back, or has no room. */
    int64_t jitter_ms = (int64_t)(random_u64() % ((uint64_t)commit->backoff_ms / 2 + 1));
    commit->not_before_ms = now_of(commit) + commit->backoff_ms + jitter_ms;
    commit->needs_send = true;
    review(commit);
}

/* A shard may have left and come back since the head was sent: it was fenced under its epoch of
 * then. */
static void decide_head(struct commit *commit, const Wire__AppendReply *reply)
{
    const struct commit_batch *head = commit_queue_head(&commit->queue);
    uint64_t *epochs = mem_calloc(reply->n_fenced + 1, sizeof(epochs[0]));
    for (size_t i = 0; i < reply->n_fenced; i++) {
        const Wire__ShardEpoch *epoch = commit_batch_epoch(head, reply->fenced[i]);
        epochs[i] = epoch != NULL ? epoch->epoch : 0; /* else nothing of it was written */
    }
    commit_queue_decide(&commit->queue, reply->fenced, reply->n_fenced);
    for (size_t i = 0; i < reply->n_fenced; i++) {
        shard_fenced(commit->router->shards, reply->fenced[i], epochs[i]);
    }
    free(epochs);
}

void commit_on_reply(struct commit *commit, struct peer *peer, const Wire__AppendReply *reply)
{
    note_health(commit, peer, reply);
    const struct commit_batch *head = commit_queue_head(&commit->queue);
    if (head == NULL || !head->was_sent || head->seq != reply->request) {
        if (is_flying(commit)) {
            review(commit); /* perhaps its sender is the one to ask now */
        }
        return; /* of a repeat whose other answer has come already */
    }

    if (reply->status == WIRE__STATUS__STATUS_INVALID
            || reply->status == WIRE__STATUS__STATUS_LIMIT) {
        refuse_head(commit, "refused by archive-svc");
        return;
    }

    if (reply->status != WIRE__STATUS__STATUS_OK) {
        on_temporary(commit, peer);
        return;
    }

    failpoint("router.before-reply"); /* written, and nobody but us knows */
    metric_observe_us(&metric_seconds, (now_of(commit) - head->opened_ms) * 1000);
    metric_add(&metric_batches, 1);
    metric_add(&metric_entries, (int64_t)head->entry_count);
    commit->needs_send = false;
    decide_head(commit, reply);
    loop_defer(commit->router->loop, LOOP_PHASE_STORE, &commit->store);
}

void commit_on_peer_change(struct commit *commit)
{
    review(commit);
}

void commit_on_room(struct commit *commit)
{
    if (is_flying(commit) && commit->needs_send) {
        review(commit);
    }
}

/* ---- life */

enum err commit_create(struct router *router, struct commit **commit_out)
{
    struct commit *commit = MEM_NEW(struct commit);
    commit->router = router;
    const struct link_config *bus =
            config_get(service_config(router->service), &config_section_bus);
    size_t max_batch_bytes = (size_t)bus->max_frame_bytes / BATCHES_PER_FRAME;
    commit_queue_init(&commit->queue, router->settings->shards, max_batch_bytes);
    /* From the time: no answer to a former incarnation of us fits. */
    commit_queue_begin_after(&commit->queue, (uint64_t)loop_wall_us(router->loop));
    buf_init(&commit->frame, 0);
    timer_init(&commit->review, on_review, commit);
    timer_init(&commit->housekeeping, on_housekeeping, commit);
    commit->store = (struct loop_task){ .run = on_store, .context = commit };
    commit->answer = (struct loop_task){ .run = on_answer, .context = commit };
    metric_depth.read = read_depth;
    metric_depth.context = commit;
    struct metric *metrics[] = { &metric_seconds,
        &metric_batches,
        &metric_entries,
        &metric_retries,
        &metric_withdrawn,
        &metric_depth };
    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        metric_register(metrics[i]);
    }
    *commit_out = commit;
    return ERR_OK;
}

void commit_destroy(struct commit *commit)
{
    if (commit == NULL) {
        return;
    }

    timer_stop(&commit->review);
    timer_stop(&commit->housekeeping);
    loop_task_cancel(commit->router->loop, &commit->store);
    loop_task_cancel(commit->router->loop, &commit->answer);
    metric_depth.read = NULL;
    struct lazy *lazy;
    struct lazy *next;
    HASH_ITER(hh, commit->lazies, lazy, next)
    {
        HASH_DEL(commit->lazies, lazy);
        free(lazy);
    }
    for (size_t i = 0; i < commit->ready_count; i++) {
        commit->ready[i].done(commit->ready[i].context, ERR_CLOSED);
    }
    free(commit->ready);
    commit_queue_fini(&commit->queue);
    buf_fini(&commit->frame);
    free(commit);
}

/* One step after the other, each with one thing asked and one answer. */
#include "router/erasure.h"

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "chassis/metrics.h"
#include "chassis/redis.h"
#include "proto/xmpp/jid.h"
#include "router/commit.h"
#include "router/entity/entity_table.h"
#include "router/entity/roster.h"
#include "router/entity/roster_access.h"
#include "router/log_client.h"
#include "router/router.h"
#include "router/session_registry.h"
#include "router/shard.h"
#include "router/spool.h"
#include "router/store/lifecycle_store.h"
#include "router/store/roster_store.h"

#define LOOK_AGAIN_MS 100
#define MAX_LOOKS     200 /* for its sessions to end */

static struct metric erased_total =
        METRIC_COUNTER_INIT("accounts_erased_total", "Accounts of which nothing is left.", NULL);

struct erasure {
    struct router *router;
    int64_t owner;
    char *bare_text;
    struct str bare;
    unsigned shard;
    uint64_t epoch; /* of the shard at the beginning */
    erasure_done done;
    void *context;
    struct timer timer;
    void (*next)(struct erasure *erasure); /* what the timer goes on with */
    unsigned looks;
    struct roster roster;
    struct roster_item *contact; /* who is told next */
    struct origin origin;
    bool is_second; /* of the two stanzas for that contact */
};

static void finish(struct erasure *erasure, enum err err)
{
    erasure_done done = erasure->done;
    void *context = erasure->context;
    if (err == ERR_OK) {
        metric_add(&erased_total, 1);
        log_info("account", "an account was erased", log_int("id", erasure->owner));
    }
    done(context, erasure, err);
    erasure_destroy(erasure);
}

/* From the loop, never from inside of what has answered. */
static void go_on(struct erasure *erasure, int64_t delay_ms, void (*next)(struct erasure *erasure))
{
    erasure->next = next;
    timer_start(loop_timers(erasure->router->loop), &erasure->timer, delay_ms);
}

static void on_timer(struct timer *timer, void *context)
{
    (void)timer;
    struct erasure *erasure = context;
    const struct shard_table *shards = erasure->router->shards;
    if (shard_epoch(shards, erasure->shard) != erasure->epoch
            || !shard_is_owned(shards, erasure->shard)) {
        finish(erasure, ERR_FENCED);
        return;
    }
    erasure->next(erasure);
}

static void step_done(struct erasure *erasure, enum err err, void (*next)(struct erasure *erasure))
{
    if (err != ERR_OK) {
        finish(erasure, err);
    } else {
        go_on(erasure, 0, next);
    }
}

/* ---- last: the row */

static void on_removed(void *context, enum err err)
{
    finish(context, err == ERR_NOT_FOUND ? ERR_OK : err);
}

static void remove_row(struct erasure *erasure)
{
    lifecycle_remove(erasure->router->lifecycle_store, erasure->owner, on_removed, erasure);
}

/* ---- Redis: its sessions, and what they had not acknowledged */

static void on_sessions(
        void *context, enum err err, const struct session_record *records, size_t count)
{
    struct erasure *erasure = context;
    struct redis *redis = erasure->router->redis;
    for (size_t i = 0; err == ERR_OK && i < count; i++) {
        const struct spool_key key = { erasure->bare, records[i].session };
        spool_erase(redis, &key);
    }
    if (err == ERR_OK) {
        session_registry_erase(redis, erasure->bare);
        spool_remove_live(redis, erasure->shard, erasure->bare);
    }
    step_done(erasure, err, remove_row);
}

static void erase_sessions(struct erasure *erasure)
{
    if (erasure->router->redis) {
        session_registry_load(erasure->router->redis, erasure->bare, on_sessions, erasure);
    } else {
        remove_row(erasure);
    }
}

/* ---- the log, once nothing of it is on its way there any more */

static void on_erased(void *context, enum err err)
{
    step_done(context, err, erase_sessions);
}

static void erase_log(struct erasure *erasure)
{
    log_erase(erasure->router->log, erasure->owner, on_erased, erasure);
}

static void await_commits(struct erasure *erasure);

static void on_committed(void *context, enum err err)
{
    struct erasure *erasure = context;
    bool is_late = commit_pending_watermark(erasure->router->commit, erasure->owner) != 0;
    if (err == ERR_OK && is_late) {
        go_on(erasure, LOOK_AGAIN_MS, await_commits);
    } else {
        step_done(erasure, err, erase_log);
    }
}

static void await_commits(struct erasure *erasure)
{
    commit_wait(erasure->router->commit, erasure->shard, on_committed, erasure);
}

/* ---- contacts (RFC 6121 §3.2, §3.3): one stanza at a time */

static void tell_contact(struct erasure *erasure);

static void on_told(void *context, enum err err)
{
    step_done(context, err, tell_contact);
}

static void send_presence(struct erasure *erasure, enum stanza_type type)
{
    struct router *router = erasure->router;
    const struct stanza stanza = {
        .kind = STANZA_PRESENCE,
        .type = type,
        .from = erasure->bare,
        .to = erasure->contact->jid,
    };
    struct origin origin = erasure->origin;
    erasure->origin.counter++;
    if (shard_is_owned(router->shards, shard_of(router->shards, stanza.to))) {
        entity_on_route(router->entities, &origin, &stanza, on_told, erasure);
    } else {
        egress_route(router->egress, &origin, &stanza, on_told, erasure);
    }
}

static bool is_served(const struct erasure *erasure)
{
    struct jid jid;
    return jid_split(erasure->contact->jid, &jid) == ERR_OK
            && settings_has_somebody(erasure->router->settings, &jid);
}

static void next_contact(struct erasure *erasure)
{
    erasure->contact = erasure->contact->hh.next;
    erasure->is_second = false;
}

static void tell_contact(struct erasure *erasure)
{
    for (; erasure->contact; next_contact(erasure)) {
        unsigned flags = is_served(erasure) ? erasure->contact->flags : 0;
        if (!erasure->is_second) {
            erasure->is_second = true;
            if (flags & (ROSTER_TO | ROSTER_PENDING_OUT)) {
                send_presence(erasure, STANZA_TYPE_UNSUBSCRIBE);
                return;
            }
        }
        if (flags & (ROSTER_FROM | ROSTER_PENDING_IN)) {
            send_presence(erasure, STANZA_TYPE_UNSUBSCRIBED);
            next_contact(erasure);
            return;
        }
    }
    await_commits(erasure);
}

static void on_roster(void *context, enum err err, const struct roster_snapshot *snapshot)
{
    struct erasure *erasure = context;
    if (err != ERR_OK) {
        finish(erasure, err);
        return;
    }
    /* With a key that does not open there is nobody to tell: the rest goes all the same. */
    if (roster_access_read(
                erasure->router->vault, erasure->owner, erasure->bare, snapshot, &erasure->roster)
            != ERR_OK) {
        roster_clear(&erasure->roster);
    }
    erasure->contact = erasure->roster.items;
    go_on(erasure, 0, tell_contact);
}

static void load_roster(struct erasure *erasure)
{
    roster_load(erasure->router->rosters, erasure->owner, on_roster, erasure);
}

/* ---- first: the name, and its sessions */

static void end_sessions(struct erasure *erasure)
{
    if (erasure->looks == 0) { /* however busy it is */
        entity_on_account_changed(erasure->router->entities, erasure->bare);
    }
    if (entity_let_go(erasure->router->entities, erasure->bare)) {
        load_roster(erasure);
    } else if (erasure->looks++ < MAX_LOOKS) {
        go_on(erasure, LOOK_AGAIN_MS, end_sessions);
    } else {
        finish(erasure, ERR_TIMEOUT);
    }
}

static void on_buried(void *context, enum err err)
{
    struct erasure *erasure = context;
    /* NOT_FOUND: somebody has finished it meanwhile. */
    if (err == ERR_NOT_FOUND) {
        finish(erasure, ERR_OK);
    } else {
        step_done(erasure, err, end_sessions);
    }
}

static void bury(struct erasure *erasure)
{
    struct jid jid;
    if (jid_split(erasure->bare, &jid) != ERR_OK) {
        jid.domain = STR_NULL;
    }
    const struct account_policy *policy =
            settings_find_policy(erasure->router->settings, jid.domain);
    lifecycle_bury(erasure->router->lifecycle_store,
            erasure->owner,
            erasure->bare,
            policy->tombstone_days,
            on_buried,
            erasure);
}

/* ---- life */

struct erasure *erasure_start(
        struct router *router, int64_t owner, struct str bare, erasure_done done, void *context)
{
    metric_register(&erased_total);
    struct erasure *erasure = MEM_NEW(struct erasure);
    erasure->router = router;
    erasure->owner = owner;
    erasure->bare_text = str_to_cstr(bare);
    erasure->bare = str_from(erasure->bare_text, bare.len);
    erasure->shard = shard_of(router->shards, bare);
    erasure->epoch = shard_epoch(router->shards, erasure->shard);
    erasure->done = done;
    erasure->context = context;
    erasure->origin.session = id128_random();
    timer_init(&erasure->timer, on_timer, erasure);
    go_on(erasure, 0, bury);
    return erasure;
}

int64_t erasure_owner(const struct erasure *erasure)
{
    return erasure->owner;
}

void erasure_destroy(struct erasure *erasure)
{
    timer_stop(&erasure->timer);
    roster_clear(&erasure->roster);
    free(erasure->bare_text);
    free(erasure);
}

/* A look every few seconds for erasures and notices; the policy a few times a day, page by page. */
#include "router/lifecycle.h"

#include <utlist.h>

#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "chassis/metrics.h"
#include "proto/xmpp/jid.h"
#include "router/cluster.h"
#include "router/entity/entity_table.h"
#include "router/erasure.h"
#include "router/host_message.h"
#include "router/login_days.h"
#include "router/router.h"
#include "router/shard.h"
#include "router/store/lifecycle_store.h"

#define LOOK_MS        5000
#define SOON_MS        200
#define PAGE           200
#define MAX_ERASURES   8
#define SWEEP_MS       (INT64_C(6) * 3600 * 1000)
#define FIRST_SWEEP_MS (INT64_C(10) * 60 * 1000)
#define PAGE_MS        50 /* between two pages of the policy */

static struct metric_family moved = {
    .name = "inactive_accounts_total",
    .help = "Accounts the policy for inactive ones has moved on.",
    .label = "to",
};

struct running {
    struct lifecycle *lifecycle;
    struct erasure *erasure;
    struct running *prev;
    struct running *next;
};

struct notice {
    struct lifecycle *lifecycle;
    int64_t owner;
    enum notice_kind kind;
    char *bare;
    struct origin origin; /* the same for each attempt, but one that was refused is over */
    bool is_refused;      /* and waits for the next look */
    struct notice *prev;
    struct notice *next;
};

struct lifecycle {
    struct router *router;
    bool is_stopped;
    struct timer look_timer;
    bool is_looking;
    bool is_poked; /* while looking */
    struct running *running;
    size_t running_count;
    int64_t erase_after;    /* its turn comes again when the others have had theirs */
    struct notice *notices; /* on their way, or refused */
    struct timer sweep_timer;
    bool is_sweeping;
    int64_t sweep_after;
};

static bool is_home(const struct lifecycle *lifecycle, struct str bare)
{
    const struct shard_table *shards = lifecycle->router->shards;
    return !lifecycle->is_stopped && shard_is_owned(shards, shard_of(shards, bare));
}

static struct str domain_of(struct str bare)
{
    struct jid jid;
    return jid_split(bare, &jid) == ERR_OK ? jid.domain : STR_NULL;
}

static const struct account_policy *policy_of(const struct lifecycle *lifecycle, struct str bare)
{
    return settings_find_policy(lifecycle->router->settings, domain_of(bare));
}

static void look_in(struct lifecycle *lifecycle, int64_t delay_ms)
{
    if (!lifecycle->is_stopped) {
        timer_start(loop_timers(lifecycle->router->loop), &lifecycle->look_timer, delay_ms);
    }
}

/* ---- erasures */

static void on_erasure_done(void *context, struct erasure *erasure, enum err err)
{
    struct running *running = context;
    struct lifecycle *lifecycle = running->lifecycle;
    if (err != ERR_OK && err != ERR_FENCED && err != ERR_CLOSED) {
        log_warn("account",
                "an erasure is tried again later",
                log_int("id", erasure_owner(erasure)),
                log_cstr("err", err_name(err)));
    }
    DL_DELETE(lifecycle->running, running);
    bool was_full = lifecycle->running_count-- == MAX_ERASURES;
    free(running);
    if (was_full && err == ERR_OK) {
        lifecycle_poke(lifecycle);
    }
}

static bool is_erasing(const struct lifecycle *lifecycle, int64_t owner)
{
    const struct running *running;
    DL_FOREACH(lifecycle->running, running)
    {
        if (erasure_owner(running->erasure) == owner) {
            return true;
        }
    }
    return false;
}

static void erase(struct lifecycle *lifecycle, const struct lifecycle_row *row)
{
    struct running *running = MEM_NEW(struct running);
    running->lifecycle = lifecycle;
    running->erasure =
            erasure_start(lifecycle->router, row->id, row->bare, on_erasure_done, running);
    DL_APPEND(lifecycle->running, running);
    lifecycle->running_count++;
    lifecycle->erase_after = row->id;
}

/* ---- notices */

static void notice_free(struct notice *notice)
{
    DL_DELETE(notice->lifecycle->notices, notice);
    free(notice->bare);
    free(notice);
}

static void on_notice_ended(void *context, enum err err)
{
    (void)err; /* else it is told again: the log knows a repeat for a while */
    notice_free(context);
}

static void end_notice(struct notice *notice)
{
    lifecycle_end_notice(notice->lifecycle->router->lifecycle_store,
            notice->owner,
            notice->kind,
            on_notice_ended,
            notice);
}

/* Decided is not taken; what could not be written is tried at another look. */
static void on_notice_sent(void *context, enum err err)
{
    struct notice *notice = context;
    if (err == ERR_DENIED) {
        notice->is_refused = true;
        notice->origin.part++;
        return;
    }
    struct entity_table *entities = notice->lifecycle->router->entities;
    if (err == ERR_OK && !notice->lifecycle->is_stopped
            && entity_has_taken(entities, str_from_cstr(notice->bare), &notice->origin)) {
        end_notice(notice);
    } else {
        notice_free(notice);
    }
}

/* The same for each attempt, so that the log recognises a repeat. */
static struct origin origin_of(const struct lifecycle_row *row)
{
    uint8_t hash[DIGEST_MAX_BYTES];
    struct buf text;
    struct origin origin = { .counter = (uint32_t)row->notice };
    buf_init(&text, 0);
    buf_printf(&text, "starling notice %lld", (long long)row->id);
    digest_hash(DIGEST_SHA256, buf_view(&text), hash);
    memcpy(&origin.session.hi, hash, sizeof(origin.session.hi));
    memcpy(&origin.session.lo, hash + sizeof(origin.session.hi), sizeof(origin.session.lo));
    buf_fini(&text);
    return origin;
}

static struct notice *find_notice(
        const struct lifecycle *lifecycle, const struct lifecycle_row *row)
{
    struct notice *notice;
    DL_FOREACH(lifecycle->notices, notice)
    {
        if (notice->owner == row->id && notice->kind == row->notice) {
            return notice;
        }
    }
    return NULL;
}

static struct notice *notice_create(struct lifecycle *lifecycle, const struct lifecycle_row *row)
{
    struct notice *notice = MEM_NEW(struct notice);
    notice->lifecycle = lifecycle;
    notice->owner = row->id;
    notice->kind = row->notice;
    notice->bare = str_to_cstr(row->bare);
    notice->origin = origin_of(row);
    DL_APPEND(lifecycle->notices, notice);
    return notice;
}

static void send_notice(struct notice *notice, const struct lifecycle_row *row)
{
    struct lifecycle *lifecycle = notice->lifecycle;
    const struct account_policy *policy = policy_of(lifecycle, row->bare);
    bool is_welcome = row->notice == NOTICE_WELCOME;
    struct str to = str_from_cstr(notice->bare);
    const struct host_message message = {
        .host = domain_of(to),
        .to = to,
        .subject = is_welcome ? policy->welcome_subject : STR_NULL,
        .body = is_welcome ? policy->welcome_text : policy->inactive_text,
        .type = STANZA_TYPE_NORMAL,
        .origin = notice->origin,
    };
    bool is_wanted = message.body.len > 0 && row->state == ACCOUNT_ACTIVE
            && settings_find_host(lifecycle->router->settings, message.host);
    if (is_wanted) {
        host_message_send(lifecycle->router, &message, on_notice_sent, notice);
    } else {
        end_notice(notice);
    }
}

static void tell(struct lifecycle *lifecycle, const struct lifecycle_row *row)
{
    struct notice *notice = find_notice(lifecycle, row);
    if (notice && !notice->is_refused) {
        return; /* on its way */
    }
    notice = notice ? notice : notice_create(lifecycle, row);
    notice->is_refused = false;
    send_notice(notice, row);
}

/* Somebody else has told them, or their account is gone. */
static void forget_refused(struct lifecycle *lifecycle)
{
    struct notice *notice;
    struct notice *next;
    DL_FOREACH_SAFE(lifecycle->notices, notice, next)
    {
        if (notice->is_refused) {
            notice_free(notice);
        }
    }
}

/* ---- looking */

static void end_look(struct lifecycle *lifecycle)
{
    lifecycle->is_looking = false;
    look_in(lifecycle, lifecycle->is_poked ? SOON_MS : LOOK_MS);
    lifecycle->is_poked = false;
}

static void list_notices(struct lifecycle *lifecycle, int64_t after);

static void on_notices(void *context, enum err err, const struct lifecycle_row *rows, size_t count)
{
    struct lifecycle *lifecycle = context;
    if (err != ERR_OK || lifecycle->is_stopped) {
        end_look(lifecycle);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (is_home(lifecycle, rows[i].bare)) {
            tell(lifecycle, &rows[i]);
        }
    }
    if (count == 0) {
        forget_refused(lifecycle);
    }
    if (count == PAGE) {
        list_notices(lifecycle, rows[count - 1].id);
    } else {
        end_look(lifecycle);
    }
}

static void list_notices(struct lifecycle *lifecycle, int64_t after)
{
    lifecycle_list_notices(lifecycle->router->lifecycle_store, after, PAGE, on_notices, lifecycle);
}

static void list_deleted(struct lifecycle *lifecycle);

static void on_deleted(void *context, enum err err, const struct lifecycle_row *rows, size_t count)
{
    struct lifecycle *lifecycle = context;
    for (size_t i = 0; err == ERR_OK && i < count; i++) {
        if (lifecycle->running_count < MAX_ERASURES && is_home(lifecycle, rows[i].bare)
                && !is_erasing(lifecycle, rows[i].id)) {
            erase(lifecycle, &rows[i]);
        }
    }
    if (err == ERR_OK && lifecycle->running_count < MAX_ERASURES) {
        lifecycle->erase_after = count == PAGE ? rows[count - 1].id : 0;
    }
    if (err != ERR_OK || lifecycle->is_stopped) {
        end_look(lifecycle);
    } else if (count == PAGE && lifecycle->running_count < MAX_ERASURES) {
        list_deleted(lifecycle);
    } else {
        list_notices(lifecycle, 0);
    }
}

static void list_deleted(struct lifecycle *lifecycle)
{
    lifecycle_list_deleted(lifecycle->router->lifecycle_store,
            lifecycle->erase_after,
            PAGE,
            on_deleted,
            lifecycle);
}

static void on_look(struct timer *timer, void *context)
{
    (void)timer;
    struct lifecycle *lifecycle = context;
    lifecycle->is_looking = true;
    list_deleted(lifecycle);
}

void lifecycle_poke(struct lifecycle *lifecycle)
{
    if (lifecycle == NULL) {
        return;
    }
    if (lifecycle->is_looking) {
        lifecycle->is_poked = true;
    } else {
        look_in(lifecycle, SOON_MS);
    }
}

/* ---- the policy for inactive accounts */

struct step {
    struct lifecycle *lifecycle;
    const char *to;
    char bare[];
};

static void on_step(void *context, enum err err)
{
    struct step *step = context;
    if (err == ERR_OK) {
        metric_family_add(&moved, step->to, 1);
        log_info("account",
                "an account has not been used for long",
                log_jid("account", str_from_cstr(step->bare)),
                log_cstr("now", step->to));
        if (!step->lifecycle->is_stopped) {
            cluster_tell_account_changed(step->lifecycle->router, str_from_cstr(step->bare), false);
        }
    }
    free(step);
}

static struct step *step_create(
        struct lifecycle *lifecycle, const struct lifecycle_row *row, const char *to)
{
    struct step *step = mem_alloc(sizeof(*step) + row->bare.len + 1);
    step->lifecycle = lifecycle;
    step->to = to;
    memcpy(step->bare, row->bare.ptr, row->bare.len);
    step->bare[row->bare.len] = '\0';
    return step;
}

/* Who was warned has the time between the two numbers, however long ago the last login was. */
static bool is_due(const struct lifecycle_row *row, int64_t days, int64_t former_days)
{
    int64_t grace = former_days > 0 ? days - former_days : 0;
    return days > 0 && row->idle_days >= days && row->stage_days >= grace;
}

static void judge_active(struct lifecycle *lifecycle, const struct lifecycle_row *row)
{
    const struct account_policy *policy = policy_of(lifecycle, row->bare);
    struct lifecycle_store *store = lifecycle->router->lifecycle_store;
    int64_t warn = policy->inactive_warn_days;
    int64_t disable = policy->inactive_disable_days;
    bool is_warned = row->stage == INACTIVE_WARNED || warn == 0;
    if (is_warned && is_due(row, disable, warn)) {
        struct step *step = step_create(lifecycle, row, "disabled");
        lifecycle_set_stage(store, row->id, INACTIVE_DISABLED, disable, on_step, step);
    } else if (row->stage == INACTIVE_NOT && warn > 0 && row->idle_days >= warn) {
        struct step *step = step_create(lifecycle, row, "warned");
        lifecycle_set_stage(store, row->id, INACTIVE_WARNED, warn, on_step, step);
    }
}

static void judge_disabled(struct lifecycle *lifecycle, const struct lifecycle_row *row)
{
    const struct account_policy *policy = policy_of(lifecycle, row->bare);
    int64_t days = policy->inactive_delete_days;
    if (row->stage == INACTIVE_DISABLED && is_due(row, days, policy->inactive_disable_days)) {
        struct step *step = step_create(lifecycle, row, "deleted");
        lifecycle_delete_inactive(lifecycle->router->lifecycle_store, row->id, days, on_step, step);
    }
}

static bool is_admin(const struct lifecycle *lifecycle, struct str bare)
{
    const struct settings_texts *admins = &lifecycle->router->settings->admins;
    for (size_t i = 0; i < admins->count; i++) {
        if (str_equal(admins->items[i], bare)) {
            return true;
        }
    }
    return false;
}

static void judge(struct lifecycle *lifecycle, const struct lifecycle_row *row)
{
    struct router *router = lifecycle->router;
    unsigned shard = shard_of(router->shards, row->bare);
    if (!is_home(lifecycle, row->bare) || row->idle_days <= 0
            || !entity_knows_sessions(router->entities, shard)
            || !settings_find_host(router->settings, domain_of(row->bare))) {
        return;
    }
    if (entity_is_in_use(router->entities, row->bare)) {
        login_days_note(router->login_days, row->id, false);
    } else if (row->state == ACCOUNT_DISABLED) {
        judge_disabled(lifecycle, row);
    } else if (row->state == ACCOUNT_ACTIVE && !is_admin(lifecycle, row->bare)) {
        judge_active(lifecycle, row);
    }
}

static bool has_policy(const struct settings *settings)
{
    for (size_t i = 0; i < settings->policy_count; i++) {
        const struct account_policy *policy = &settings->policies[i];
        if (policy->inactive_warn_days > 0 || policy->inactive_disable_days > 0) {
            return true;
        }
    }
    return false;
}

static void sweep_in(struct lifecycle *lifecycle, int64_t delay_ms)
{
    if (!lifecycle->is_stopped) {
        timer_start(loop_timers(lifecycle->router->loop), &lifecycle->sweep_timer, delay_ms);
    }
}

static void on_page(void *context, enum err err, const struct lifecycle_row *rows, size_t count)
{
    struct lifecycle *lifecycle = context;
    for (size_t i = 0; err == ERR_OK && i < count; i++) {
        judge(lifecycle, &rows[i]);
    }
    lifecycle->is_sweeping = err == ERR_OK && count == PAGE;
    if (lifecycle->is_sweeping) {
        lifecycle->sweep_after = rows[count - 1].id;
    }
    sweep_in(lifecycle, lifecycle->is_sweeping ? PAGE_MS : SWEEP_MS);
}

static void on_forgotten(void *context, enum err err)
{
    (void)context;
    (void)err; /* the next time */
}

static void on_sweep(struct timer *timer, void *context)
{
    (void)timer;
    struct lifecycle *lifecycle = context;
    struct router *router = lifecycle->router;
    if (!lifecycle->is_sweeping) {
        lifecycle->sweep_after = 0;
        lifecycle_forget_old(router->lifecycle_store, on_forgotten, NULL);
    }
    lifecycle->is_sweeping = has_policy(router->settings);
    if (!lifecycle->is_sweeping) {
        sweep_in(lifecycle, SWEEP_MS);
        return;
    }
    lifecycle_list_accounts(
            router->lifecycle_store, lifecycle->sweep_after, PAGE, on_page, lifecycle);
}

void lifecycle_sweep(struct lifecycle *lifecycle)
{
    if (!lifecycle->is_sweeping) {
        sweep_in(lifecycle, 0);
    }
}

/* ---- life */

struct lifecycle *lifecycle_create(struct router *router)
{
    struct lifecycle *lifecycle = MEM_NEW(struct lifecycle);
    lifecycle->router = router;
    timer_init(&lifecycle->look_timer, on_look, lifecycle);
    timer_init(&lifecycle->sweep_timer, on_sweep, lifecycle);
    return lifecycle;
}

void lifecycle_start(struct lifecycle *lifecycle)
{
    look_in(lifecycle, LOOK_MS);
    sweep_in(lifecycle, FIRST_SWEEP_MS);
}

void lifecycle_stop(struct lifecycle *lifecycle)
{
    if (lifecycle != NULL) {
        lifecycle->is_stopped = true;
        timer_stop(&lifecycle->look_timer);
        timer_stop(&lifecycle->sweep_timer);
    }
}

void lifecycle_destroy(struct lifecycle *lifecycle)
{
    if (lifecycle == NULL) {
        return;
    }
    while (lifecycle->running != NULL) {
        struct running *running = lifecycle->running;
        DL_DELETE(lifecycle->running, running);
        erasure_destroy(running->erasure);
        free(running);
    }
    while (lifecycle->notices != NULL) {
        notice_free(lifecycle->notices);
    }
    free(lifecycle);
}

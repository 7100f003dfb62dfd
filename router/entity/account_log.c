/* Cursor over the message log: tracked entries, runs of done ones, and the backlog. */
#include "router/entity/account_log.h"

#include <stdlib.h>

#include "chassis/base/arena.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"

#define PAGE_OVERLAP_MIN 20 /* entries; smaller pages are not worth it */

struct tracked {
    struct tracked *next;
    int64_t id;    /* of a run: the first one */
    int64_t until; /* of a run: the last one; else `id` */
    bool is_done;
    bool is_before_backlog; /* between it and the next one there may be entries of the backlog */
    size_t done_count;      /* entries of a run */
    bool is_of_page;
    bool is_page_pending;
    size_t bytes;
    size_t target_count;
    struct id128 *targets;
};

static void tracked_free(struct tracked *entry)
{
    free(entry->targets);
    free(entry);
}

void account_log_init(struct account_log *log, const struct account_log_ops *ops, void *context)
{
    *log = (struct account_log){ .ops = ops, .context = context };
}

void account_log_fini(struct account_log *log)
{
    while (log->head) {
        struct tracked *entry = log->head;
        log->head = entry->next;
        tracked_free(entry);
    }
    *log = (struct account_log){ .ops = log->ops, .context = log->context };
}

void account_log_open(struct account_log *log, int64_t last_id, int64_t watermark)
{
    log->last_id = last_id;
    log->watermark = watermark;
    log->has_backlog = last_id > watermark;
    log->backlog_after = watermark;
    log->backlog_until = last_id;
    for (struct tracked *entry = log->head; entry; entry = entry->next) {
        entry->is_before_backlog = true; /* opened again: nobody knows what is between them */
    }
}

int64_t account_log_next_id(struct account_log *log, int64_t wall_us)
{
    int64_t least = log->last_id > log->watermark ? log->last_id : log->watermark;
    log->last_id = wall_us > least ? wall_us : least + 1;
    return log->last_id;
}

/* ---- how much waits */

static void size_add(struct account_log_size *size, int64_t entries, int64_t bytes)
{
    size->entries = size->entries + entries > 0 ? size->entries + entries : 0;
    size->bytes = size->bytes + bytes > 0 ? size->bytes + bytes : 0;
}

void account_log_set_waiting(struct account_log *log, int64_t entries, int64_t bytes)
{
    log->waiting = (struct account_log_size){ entries, bytes };
}

bool account_log_has_room(
        const struct account_log *log, size_t bytes, int64_t max_entries, int64_t max_bytes)
{
    return (max_entries == 0 || log->waiting.entries < max_entries)
            && (max_bytes == 0 || log->waiting.bytes + (int64_t)bytes <= max_bytes)
            && log->done_count < ACCOUNT_LOG_MAX_DONE;
}

void account_log_on_appended(struct account_log *log, size_t bytes)
{
    size_add(&log->waiting, 1, (int64_t)bytes);
    size_add(&log->uncommitted, 1, (int64_t)bytes);
}

void account_log_on_withdrawn(struct account_log *log, size_t bytes)
{
    size_add(&log->waiting, -1, -(int64_t)bytes);
    size_add(&log->uncommitted, -1, -(int64_t)bytes);
}

/* ---- tracked entries */

/* The last one that is older; NULL: none. */
static struct tracked *find_before(const struct account_log *log, int64_t id)
{
    if (log->tail && log->tail->until < id) {
        return log->tail; /* new entries, the common case */
    }
    struct tracked *before = NULL;
    for (struct tracked *entry = log->head; entry && entry->until < id; entry = entry->next) {
        before = entry;
    }
    return before;
}

static struct tracked *next_of(const struct account_log *log, const struct tracked *before)
{
    return before ? before->next : log->head;
}

static struct tracked *find_tracked(const struct account_log *log, int64_t id)
{
    struct tracked *entry = next_of(log, find_before(log, id));
    return entry && entry->id <= id ? entry : NULL;
}

/* The next page waits for those who can confirm this one. Not for a client that is gone, lest
 * another device of the account waits until its session ends; without another one it does. */
static void settle_page(struct account_log *log, struct tracked *entry)
{
    bool is_pending = false;
    for (size_t i = 0; i < entry->target_count && entry->is_of_page && !is_pending; i++) {
        is_pending = log->ops->is_live(log->context, entry->targets[i]);
    }
    is_pending = is_pending
            || (entry->is_of_page && log->ops->audience(log->context) != ACCOUNT_LOG_LIVE);
    if (is_pending != entry->is_page_pending) {
        entry->is_page_pending = is_pending;
        log->page_pending += is_pending ? 1 : SIZE_MAX; /* or one less */
    }
}

static void leave_page(struct account_log *log, struct tracked *entry)
{
    entry->is_of_page = false;
    settle_page(log, entry);
}

static struct tracked *track(struct account_log *log,
        int64_t id,
        bool is_of_page,
        const struct id128 *targets,
        size_t count)
{
    struct tracked *entry = MEM_NEW(struct tracked);
    struct tracked *before = find_before(log, id);
    *entry = (struct tracked){
        .next = next_of(log, before),
        .id = id,
        .until = id,
        .is_before_backlog = log->has_backlog && id < log->backlog_until
                && (!before || before->is_before_backlog),
        .is_of_page = is_of_page,
        .target_count = count,
    };
    entry->targets = count ? mem_alloc(count * sizeof(targets[0])) : NULL;
    if (count) {
        memcpy(entry->targets, targets, count * sizeof(targets[0]));
    }
    *(before ? &before->next : &log->head) = entry;
    if (!entry->next) {
        log->tail = entry;
    }
    log->tracked_count++;
    settle_page(log, entry);
    return entry;
}

static void rebuild_tail(struct account_log *log)
{
    log->tail = log->head;
    while (log->tail && log->tail->next) {
        log->tail = log->tail->next;
    }
}

/* ---- done, and perhaps not yet below the watermark */

static bool is_before_backlog(const struct account_log *log, const struct tracked *entry)
{
    bool is_read = !log->has_backlog || (entry->next && entry->next->id <= log->backlog_after + 1);
    return entry->is_before_backlog && !is_read;
}

/* An id in a run counts as done, so nothing else may be between two that become one. */
static void join_next(struct account_log *log, struct tracked *entry)
{
    struct tracked *next;
    while ((next = entry->next) && entry->is_done && next->is_done
            && !is_before_backlog(log, entry)) {
        entry->until = next->until;
        entry->done_count += next->done_count;
        entry->is_before_backlog = next->is_before_backlog;
        entry->next = next->next;
        log->tail = entry->next ? log->tail : entry;
        tracked_free(next);
    }
}

/* The backlog begins later, or has ended. */
static void join_all(struct account_log *log)
{
    for (struct tracked *entry = log->head; entry; entry = entry->next) {
        entry->is_before_backlog = is_before_backlog(log, entry);
        join_next(log, entry);
        entry->is_before_backlog = is_before_backlog(log, entry);
    }
}

/* `entry` may be gone behind it. */
static void set_done(struct account_log *log, struct tracked *entry)
{
    entry->is_done = true;
    leave_page(log, entry);
    log->tracked_count--;
    log->done_count++;
    entry->done_count = 1;
    size_add(&log->waiting, -1, -(int64_t)entry->bytes);
    entry->target_count = 0;
    free(entry->targets);
    entry->targets = NULL;
    join_next(log, entry);
    struct tracked *before = find_before(log, entry->id);
    if (before && before->is_done) {
        join_next(log, before);
    }
}

/* The watermark never passes the backlog: what is done behind it stays, so that a page skips it. A
 * run has nothing of the backlog in it. */
static void pop_done(struct account_log *log)
{
    int64_t watermark = log->watermark;
    while (log->head && log->head->is_done
            && (!log->has_backlog || log->head->id <= log->backlog_after)) {
        struct tracked *run = log->head;
        watermark = run->until;
        log->head = run->next;
        log->done_count -= run->done_count;
        tracked_free(run);
    }
    if (!log->head) {
        log->tail = NULL;
        if (!log->has_backlog) {
            log->waiting = log->uncommitted; /* whatever was counted and is not there */
        }
    }
    if (watermark > log->watermark) {
        log->watermark = watermark;
        log->ops->watermark(log->context, watermark);
    }
}

/* For nobody: the watermark may pass it like one that was confirmed. */
static void track_done(struct account_log *log, int64_t id, size_t bytes)
{
    struct tracked *entry = track(log, id, false, NULL, 0);
    entry->bytes = bytes;
    set_done(log, entry);
}

/* ---- the backlog */

/* The next page is read while the client is busy with the second half of this one: clients under
 * stream management acknowledge now and then, and the end of a page would wait for it. */
static bool is_page_nearly_confirmed(const struct account_log *log)
{
    return log->page_pending <= (log->page_size >= PAGE_OVERLAP_MIN ? log->page_size / 2 : 0);
}

static void read_next(struct account_log *log)
{
    if (log->has_backlog && !log->is_reading && !log->is_replaying && is_page_nearly_confirmed(log)
            && log->tracked_count < ACCOUNT_LOG_MAX_TRACKED
            && log->ops->audience(log->context) != ACCOUNT_LOG_NO_SESSION) {
        log->is_reading = true;
        log->read_until = log->backlog_until;
        log->ops->read(log->context, log->backlog_after);
    }
}

/* `before`: the tracked entry or run in front of it; NULL: none, or it is tracked itself. */
static void backlog_add(struct account_log *log, int64_t id, struct tracked *before)
{
    if (before) {
        before->is_before_backlog = true;
    }
    if (!log->has_backlog) {
        log->has_backlog = true;
        log->backlog_after = id - 1;
        log->backlog_until = id;
        return;
    }
    if (id > log->backlog_until) {
        log->backlog_until = id;
    }
    if (id <= log->backlog_after) {
        log->backlog_after = id - 1;
        if (log->is_reading) { /* that page would begin too late */
            log->is_reading = false;
            log->ops->cancel_read(log->context);
        }
    }
}

void account_log_poke(struct account_log *log)
{
    read_next(log);
}

void account_log_on_link(struct account_log *log)
{
    for (struct tracked *entry = log->head; entry; entry = entry->next) {
        settle_page(log, entry);
    }
    read_next(log);
}

void account_log_on_eligible(struct account_log *log)
{
    for (struct tracked *entry = log->head; entry; entry = entry->next) {
        leave_page(log, entry); /* the pages begin anew */
    }
    for (const struct tracked *entry = log->head; entry; entry = entry->next) {
        if (!entry->is_done) {
            backlog_add(log, log->tail->until, NULL);
            backlog_add(log, entry->id, NULL);
            break;
        }
    }
    read_next(log);
}

void account_log_on_committed(struct account_log *log, int64_t id, const struct stanza *stanza)
{
    size_t bytes = stanza_bytes(stanza);
    size_add(&log->uncommitted, -1, -(int64_t)bytes);
    if (id <= log->watermark || find_tracked(log, id)) {
        return; /* a page was faster than the commit's reply */
    }
    bool is_catching_up =
            log->has_backlog && log->ops->audience(log->context) != ACCOUNT_LOG_NO_SESSION;
    if (!is_catching_up && log->tracked_count < ACCOUNT_LOG_MAX_TRACKED) {
        struct id128 targets[ACCOUNT_LOG_MAX_TARGETS];
        struct account_log_send send = { .stanza = stanza, .id = id };
        size_t count = log->ops->deliver(log->context, &send, targets);
        if (count == ACCOUNT_LOG_NOBODY) {
            track_done(log, id, bytes);
            pop_done(log);
            return;
        }
        if (count > 0) {
            track(log, id, false, targets, count)->bytes = bytes;
            return;
        }
        /* No read here: deliver has just failed, its owner pokes later. */
        backlog_add(log, id, find_before(log, id));
        return;
    }
    backlog_add(log, id, find_before(log, id));
    read_next(log);
}

void account_log_on_delivered(struct account_log *log, struct id128 session, int64_t id)
{
    struct tracked *entry = find_tracked(log, id);
    if (!entry || entry->is_done) {
        return;
    }
    bool is_target = false;
    for (size_t i = 0; i < entry->target_count; i++) {
        is_target = is_target || id128_equal(entry->targets[i], session);
    }
    if (!is_target) {
        return; /* nobody confirms what it was not sent (P9) */
    }
    set_done(log, entry);
    pop_done(log);
    read_next(log);
}

static void remove_target(struct tracked *entry, struct id128 session)
{
    size_t kept = 0;
    for (size_t i = 0; i < entry->target_count; i++) {
        if (!id128_equal(entry->targets[i], session)) {
            entry->targets[kept++] = entry->targets[i];
        }
    }
    entry->target_count = kept;
}

void account_log_on_session_end(struct account_log *log, struct id128 session)
{
    struct tracked *before = NULL;
    struct tracked *entry;
    while ((entry = next_of(log, before)) != NULL) {
        remove_target(entry, session);
        if (entry->target_count > 0 || entry->is_done) {
            settle_page(log, entry);
            before = entry;
            continue;
        }
        *(before ? &before->next : &log->head) = entry->next;
        leave_page(log, entry);
        backlog_add(log, entry->id, before);
        log->tracked_count--;
        tracked_free(entry);
    }
    rebuild_tail(log);
    pop_done(log);
    read_next(log);
}

static void add_targets(
        struct account_log *log, struct tracked *entry, const struct id128 *targets, size_t count)
{
    size_t total = entry->target_count + count;
    entry->targets = mem_realloc(entry->targets, total * sizeof(entry->targets[0]));
    memcpy(entry->targets + entry->target_count, targets, count * sizeof(targets[0]));
    entry->target_count = total;
    entry->is_of_page = true;
    settle_page(log, entry);
}

/* False: whom it is for cannot take it now; the page ends before it. */
static bool replay_entry(struct account_log *log, struct arena *arena, const Wire__LogEntry *entry)
{
    struct tracked *tracked = find_tracked(log, entry->id);
    if (entry->id <= log->watermark || (tracked && tracked->is_done)) {
        return true;
    }
    struct stanza stanza;
    if (wire_stanza_unpack(arena, wire_str(entry->stanza), &stanza) != ERR_OK) {
        log_error("entity", "log entry is not a stanza, skipped", log_int("id", entry->id));
        return true;
    }
    struct id128 targets[ACCOUNT_LOG_MAX_TARGETS];
    struct account_log_send send = {
        .stanza = &stanza,
        .id = entry->id,
        .is_replay = true,
        .except = tracked ? tracked->targets : NULL,
        .except_count = tracked ? tracked->target_count : 0,
    };
    size_t count = log->ops->deliver(log->context, &send, targets);
    if (count == ACCOUNT_LOG_NOBODY) {
        if (!tracked) {
            track_done(log, entry->id, stanza_bytes(&stanza));
        }
        return true;
    }
    if (count > 0 && tracked) {
        add_targets(log, tracked, targets, count);
    } else if (count > 0) {
        track(log, entry->id, true, targets, count)->bytes = stanza_bytes(&stanza);
    }
    return count > 0 || tracked;
}

void account_log_on_page(struct account_log *log, const Wire__LogReadReply *page)
{
    if (!log->is_reading) {
        return;
    }
    log->is_reading = false;
    if (!page) {
        return;
    }
    struct arena arena;
    arena_init(&arena, 0);
    bool is_whole = true;
    log->is_replaying = true;
    for (size_t i = 0; i < page->n_entries && is_whole; i++) {
        is_whole = replay_entry(log, &arena, page->entries[i]);
        if (is_whole && page->entries[i]->id > log->backlog_after) {
            log->backlog_after = page->entries[i]->id;
        }
        arena_reset(&arena);
    }
    log->is_replaying = false;
    arena_fini(&arena);
    if (is_whole && page->is_complete) {
        if (log->read_until > log->backlog_after) {
            log->backlog_after = log->read_until; /* gone from the log meanwhile: expired, erased */
        }
        log->has_backlog = log->backlog_until > log->backlog_after;
    }
    log->page_size = page->n_entries;
    join_all(log);
    pop_done(log);
    if (is_whole && (page->is_complete || page->n_entries > 0)) {
        read_next(log);
    }
}

bool account_log_is_quiet(const struct account_log *log)
{
    return !log->is_reading && log->tracked_count == 0;
}

/* Rounds: count, a batch of keys, a batch of rows; the next one soon while there is work. Cursors
 * go over all owners once, so what cannot be opened does not hold up the rest. */
#include "router/reseal.h"

#include "chassis/base/digest.h"
#include "chassis/base/encoding.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "chassis/metrics.h"
#include "router/data_seal.h"
#include "router/entity/entity_table.h"
#include "router/router.h"
#include "router/shard.h"
#include "router/store/reseal_store.h"

#define RETRY_MS 500
#define ROUND_MS 200   /* between batches: 200 keys, 20 rows */
#define WAIT_MS  3000  /* rows are left: of accounts at home elsewhere, or nowhere yet */
#define REST_MS  30000 /* when there is nothing to do, or nothing more can be done */

static struct metric metric_keys = METRIC_GAUGE_INIT("storage_keys_outdated",
        "Account keys that another service key than the newest wraps.",
        NULL);
static struct metric metric_rows = METRIC_GAUGE_INIT(
        "storage_rows_clear", "Rows of account data that are not sealed yet.", NULL);
static struct metric metric_broken = METRIC_GAUGE_INIT("storage_keys_unreadable",
        "Account keys that no service key here opens, in the last pass.",
        NULL);

struct reseal {
    struct router *router;
    struct reseal_store *store;
    struct timer timer;
    void (*done)(void *context, enum err err); /* NULL: it was told */
    void *context;
    int64_t keys_left, rows_left; /* as last counted */
    int64_t key_cursor, row_cursor;
    int64_t broken, broken_before; /* keys: in this pass, in the one before */
    size_t pending;                /* rows on their way */
    bool has_counted;
    bool is_passing_keys;
    bool has_moved; /* something was written since the last count */
};

struct reseal *reseal_create(struct router *router)
{
    struct reseal *reseal = MEM_NEW(struct reseal);
    reseal->router = router;
    reseal->store = reseal_store_create(router->pg);
    metric_register(&metric_keys);
    metric_register(&metric_rows);
    metric_register(&metric_broken);
    return reseal;
}

void reseal_destroy(struct reseal *reseal)
{
    if (reseal) {
        timer_stop(&reseal->timer);
        reseal_store_destroy(reseal->store);
        free(reseal);
    }
}

static void run_in(
        struct reseal *reseal, void (*run)(struct timer *timer, void *context), int64_t delay_ms)
{
    timer_stop(&reseal->timer);
    timer_init(&reseal->timer, run, reseal);
    timer_start(loop_timers(reseal->router->loop), &reseal->timer, delay_ms);
}

/* Says whether it failed. With ERR_CLOSED the router ends, and nobody asks again. */
static bool retry_if_failed(
        struct reseal *reseal, enum err err, void (*run)(struct timer *timer, void *context))
{
    if (err != ERR_OK && err != ERR_CLOSED) {
        run_in(reseal, run, RETRY_MS);
    }
    return err != ERR_OK;
}

static void on_round(struct timer *timer, void *context);

/* ---- rows in the clear */

struct row_work {
    struct reseal *reseal;
    char *bare;
    bool has_new_key;
};

static bool is_in_pass(const struct reseal *reseal)
{
    return reseal->key_cursor > 0 || reseal->row_cursor > 0;
}

static void end_round(struct reseal *reseal)
{
    int64_t delay_ms = reseal->rows_left > 0 ? WAIT_MS : REST_MS;
    run_in(reseal, on_round, is_in_pass(reseal) || reseal->has_moved ? ROUND_MS : delay_ms);
}

static void on_row_put(void *context, enum err err)
{
    struct row_work *work = context;
    struct reseal *reseal = work->reseal;
    if (err == ERR_CLOSED) {
        free(work->bare);
        free(work);
        return;
    }
    reseal->has_moved = reseal->has_moved || err == ERR_OK;
    if (err == ERR_OK && work->has_new_key) { /* an entity in memory thinks that there is none */
        entity_on_account_changed(reseal->router->entities, str_from_cstr(work->bare));
    }
    free(work->bare);
    free(work);
    if (--reseal->pending == 0) {
        end_round(reseal);
    }
}

static bool get_key(struct reseal *reseal,
        const struct reseal_row *row,
        struct vault_key *key_out,
        struct buf *wrapped_out)
{
    const struct vault *vault = reseal->router->vault;
    if (row->wrapped_key.len > 0) {
        return vault_open_key(vault, row->owner, row->wrapped_key, key_out) == ERR_OK;
    }
    vault_new_key(vault, row->owner, key_out, wrapped_out);
    return true;
}

/* Who administrates the database may have put anything there. */
static bool is_ours(const struct reseal_row *row)
{
    return row->key.len <= VAULT_LOOKUP_BYTES && row->kind >= ACCOUNT_DATA_PRIVATE_XML
            && row->kind <= ACCOUNT_DATA_BLOCKLIST;
}

static void seal_row(struct reseal *reseal, const struct reseal_row *row)
{
    struct vault_key key;
    struct buf wrapped;
    struct buf sealed;
    buf_init(&wrapped, 0);
    buf_init(&sealed, 0);
    if (is_ours(row) && get_key(reseal, row, &key, &wrapped)) {
        struct data_place place = data_place_of(&key, row->kind, row->key);
        data_seal(&key, &place, row->value, &sealed);
        struct reseal_row change = *row;
        change.wrapped_key = buf_view(&wrapped);
        change.sealed_key = data_place_key(&place);
        change.sealed = buf_view(&sealed);
        struct row_work *work = MEM_NEW(struct row_work);
        *work = (struct row_work){ reseal, str_to_cstr(row->bare), wrapped.len > 0 };
        reseal->pending++;
        reseal_put_row(reseal->store, &change, on_row_put, work);
        secret_wipe(&key, sizeof(key));
    }
    buf_fini(&wrapped);
    buf_fini(&sealed);
}

static bool is_home(const struct router *router, struct str bare)
{
    return shard_is_owned(router->shards, shard_of(router->shards, bare));
}

/* The cursor stays before the last owner of a full batch: it may have more rows. Of an owner
 * without key only the first row goes now, and the others find its key. */
static void on_rows(void *context, enum err err, const struct reseal_row *rows, size_t count)
{
    struct reseal *reseal = context;
    if (retry_if_failed(reseal, err, on_round)) {
        return;
    }
    int64_t former = 0;
    int64_t last = count > 0 ? rows[count - 1].owner : 0;
    for (size_t i = 0; i < count; i++) {
        bool is_first = rows[i].owner != former;
        former = rows[i].owner;
        if (is_home(reseal->router, rows[i].bare) && (is_first || rows[i].wrapped_key.len > 0)) {
            seal_row(reseal, &rows[i]);
        }
    }
    if (count < RESEAL_MAX_ROWS) {
        reseal->row_cursor = 0;
    } else {
        reseal->row_cursor = rows[0].owner == last ? last : last - 1;
    }
    if (reseal->pending == 0) {
        end_round(reseal);
    }
}

/* ---- keys */

static void load_rows(struct reseal *reseal)
{
    if (reseal->rows_left == 0) {
        end_round(reseal);
        return;
    }
    reseal_load_rows(reseal->store, reseal->row_cursor, on_rows, reseal);
}

static void on_keys_put(void *context, enum err err)
{
    struct reseal *reseal = context;
    if (err != ERR_CLOSED) {
        reseal->has_moved = reseal->has_moved || err == ERR_OK;
        load_rows(reseal);
    }
}

static void end_pass(struct reseal *reseal)
{
    if (reseal->broken > 0 && reseal->broken != reseal->broken_before) {
        log_error("storage",
                "account keys cannot be opened and are left alone",
                log_int("count", reseal->broken));
    }
    reseal->broken_before = reseal->broken;
    reseal->broken = 0;
    reseal->key_cursor = 0;
    reseal->is_passing_keys = false;
    metric_set(&metric_broken, reseal->broken_before);
}

static void wrap_anew(struct reseal *reseal, const struct reseal_key *keys, size_t count)
{
    struct reseal_key changes[RESEAL_MAX_KEYS];
    struct buf anew[RESEAL_MAX_KEYS];
    size_t changed = 0;
    for (size_t i = 0; i < count; i++) {
        struct buf *wrapped = &anew[changed];
        buf_init(wrapped, 0);
        enum err err = vault_rewrap(reseal->router->vault, keys[i].owner, keys[i].wrapped, wrapped);
        if (err == ERR_OK) {
            changes[changed++] =
                    (struct reseal_key){ keys[i].owner, keys[i].wrapped, buf_view(wrapped) };
        } else {
            reseal->broken++;
            buf_fini(wrapped);
        }
    }
    if (count < RESEAL_MAX_KEYS) {
        end_pass(reseal);
    }
    if (changed > 0) {
        reseal_put_keys(reseal->store, changes, changed, on_keys_put, reseal);
    } else {
        load_rows(reseal);
    }
    for (size_t i = 0; i < changed; i++) {
        buf_fini(&anew[i]);
    }
}

static void on_keys(void *context, enum err err, const struct reseal_key *keys, size_t count)
{
    struct reseal *reseal = context;
    if (retry_if_failed(reseal, err, on_round)) {
        return;
    }
    if (count > 0) {
        reseal->key_cursor = keys[count - 1].owner;
    }
    wrap_anew(reseal, keys, count);
}

/* ---- rounds */

static void load_batches(struct reseal *reseal)
{
    if (reseal->is_passing_keys) {
        reseal_load_keys(reseal->store,
                vault_tag(reseal->router->vault, 0),
                reseal->key_cursor,
                on_keys,
                reseal);
    } else {
        load_rows(reseal);
    }
}

static void note_progress(struct reseal *reseal, int64_t keys, int64_t rows)
{
    bool was_done = reseal->has_counted && reseal->keys_left == 0 && reseal->rows_left == 0;
    bool is_done = keys == 0 && rows == 0;
    if (is_done != was_done || !reseal->has_counted) {
        log_info("storage",
                is_done ? "everything is under the newest key" : "there is something to reseal",
                log_int("keys", keys),
                log_int("rows", rows));
    }
    reseal->has_counted = true;
    reseal->keys_left = keys;
    reseal->rows_left = rows;
    metric_set(&metric_keys, keys);
    metric_set(&metric_rows, rows);
}

static void on_count(void *context, enum err err, int64_t keys, int64_t rows)
{
    struct reseal *reseal = context;
    if (retry_if_failed(reseal, err, on_round)) {
        return;
    }
    note_progress(reseal, keys, rows);
    reseal->is_passing_keys = keys > 0;
    if (keys == 0) {
        end_pass(reseal);
    }
    load_batches(reseal);
}

/* Counting reads all of both tables: once in a pass over them. */
static void on_round(struct timer *timer, void *context)
{
    (void)timer;
    struct reseal *reseal = context;
    if (is_in_pass(reseal)) {
        load_batches(reseal);
        return;
    }
    reseal->has_moved = false;
    reseal_count(reseal->store, vault_tag(reseal->router->vault, 0), on_count, reseal);
}

/* ---- the start */

static void log_missing(struct str tag)
{
    struct buf id;
    buf_init(&id, 0);
    hex_encode(&id, str_from(tag.ptr + 1, tag.len - 1));
    log_error("storage",
            "account keys are wrapped by a service key that is not given",
            log_str("key", buf_view(&id)));
    buf_fini(&id);
}

static enum err judge(const struct reseal *reseal,
        const struct str *tags,
        size_t count,
        const struct reseal_key *any)
{
    const struct vault *vault = reseal->router->vault;
    enum err err = ERR_OK;
    for (size_t i = 0; i < count; i++) {
        if (!vault_has_tag(vault, tags[i])) {
            log_missing(tags[i]);
            err = ERR_DENIED;
        }
    }
    struct vault_key key;
    if (any && vault_open_key(vault, any->owner, any->wrapped, &key) != ERR_OK) {
        log_error("storage", "account keys do not open with the service keys that are given");
        err = ERR_DENIED;
    }
    secret_wipe(&key, sizeof(key));
    return err;
}

static void on_start(struct timer *timer, void *context);

static void on_tags(void *context,
        enum err err,
        const struct str *tags,
        size_t count,
        const struct reseal_key *any)
{
    struct reseal *reseal = context;
    if (retry_if_failed(reseal, err, on_start)) {
        return;
    }
    err = judge(reseal, tags, count, any);
    if (err == ERR_OK) {
        run_in(reseal, on_round, ROUND_MS);
    }
    reseal->done(reseal->context, err);
}

static void on_start(struct timer *timer, void *context)
{
    (void)timer;
    struct reseal *reseal = context;
    reseal_load_tags(reseal->store, on_tags, reseal);
}

void reseal_start(struct reseal *reseal, void (*done)(void *context, enum err err), void *context)
{
    reseal->done = done;
    reseal->context = context;
    run_in(reseal, on_start, 0);
}

/* ---- the report */

static void write_key(const struct reseal *reseal, struct buf *out, size_t i)
{
    struct str tag = vault_tag(reseal->router->vault, i);
    hex_encode(out, str_from(tag.ptr + 1, tag.len - 1));
}

void reseal_report(const struct reseal *reseal, struct buf *out)
{
    buf_printf(out, "[{\"node\":\"%s\",\"key\":\"", reseal->router->node);
    write_key(reseal, out, 0);
    buf_append_literal(out, "\",\"others\":\"");
    for (size_t i = 1; i < vault_keys(reseal->router->vault); i++) {
        buf_append_str(out, i > 1 ? STR(" ") : STR_NULL);
        write_key(reseal, out, i);
    }
    buf_append_literal(out, "\"");
    if (reseal->has_counted) {
        buf_printf(out,
                ",\"keys_left\":%lld,\"rows_left\":%lld,\"unreadable\":%lld",
                (long long)reseal->keys_left,
                (long long)reseal->rows_left,
                (long long)reseal->broken_before);
    }
    buf_append_literal(out, "}]\n");
}

/* The archive's SQL on a real PostgreSQL with the real migrations, in the service's own role. */
#include "archive-svc/archive_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

#include "chassis/base/mem.h"
#include "tests/lib/scratch_database.h"

enum {
    WAIT_MS = 20000,
    MAX_ROWS = 64,
};

static const int64_t base_us = INT64_C(1600000000000000); /* 2020-09 */
static const int64_t week_us = INT64_C(604800000000);

struct fixture {
    struct scratch_database database; /* its pool is not used */
    struct pg_pool *append_pool, *read_pool;
    struct archive_store *store;
    int64_t next_owner;
};

static struct fixture fixture;

/* ---- building batches */

struct batch {
    Wire__Append append;
    Wire__ShardEpoch epochs[4], *epoch_list[4];
    Wire__Id ids[MAX_ROWS];
    Wire__Origin origins[MAX_ROWS];
    Wire__LogEntry entries[MAX_ROWS], *entry_list[MAX_ROWS];
    Wire__SessionInput inputs[MAX_ROWS], *input_list[MAX_ROWS];
    Wire__Watermark marks[MAX_ROWS], *mark_list[MAX_ROWS];
};

static struct batch *batch_new(void)
{
    struct batch *batch = MEM_NEW(struct batch);
    wire__append__init(&batch->append);
    batch->append.epochs = batch->epoch_list;
    batch->append.entries = batch->entry_list;
    batch->append.inputs = batch->input_list;
    batch->append.watermarks = batch->mark_list;
    return batch;
}

static void add_epoch(struct batch *batch, uint32_t shard, uint64_t epoch)
{
    size_t i = batch->append.n_epochs++;
    wire__shard_epoch__init(&batch->epochs[i]);
    batch->epochs[i].shard = shard;
    batch->epochs[i].epoch = epoch;
    batch->epoch_list[i] = &batch->epochs[i];
}

static void add_entry(
        struct batch *batch, uint32_t shard, int64_t owner, int64_t id, struct str stanza)
{
    size_t i = batch->append.n_entries++;
    batch->ids[i] = WIRE_ID_INIT(((struct id128){ 7, (uint64_t)id }));
    wire__origin__init(&batch->origins[i]);
    batch->origins[i].session = &batch->ids[i];
    batch->origins[i].counter = UINT32_MAX;
    batch->origins[i].part = 3;
    wire__log_entry__init(&batch->entries[i]);
    batch->entries[i].shard = shard;
    batch->entries[i].owner = owner;
    batch->entries[i].id = id;
    batch->entries[i].origin = &batch->origins[i];
    batch->entries[i].stanza = wire_bytes(stanza);
    batch->entry_list[i] = &batch->entries[i];
}

static void add_input(
        struct batch *batch, uint32_t shard, int64_t owner, Wire__Id *session, uint32_t h)
{
    size_t i = batch->append.n_inputs++;
    wire__session_input__init(&batch->inputs[i]);
    batch->inputs[i].shard = shard;
    batch->inputs[i].owner = owner;
    batch->inputs[i].session = session;
    batch->inputs[i].h = h;
    batch->inputs[i].is_closed = h == 0;
    batch->input_list[i] = &batch->inputs[i];
}

static void add_mark(struct batch *batch, uint32_t shard, int64_t owner, int64_t id)
{
    size_t i = batch->append.n_watermarks++;
    wire__watermark__init(&batch->marks[i]);
    batch->marks[i].shard = shard;
    batch->marks[i].owner = owner;
    batch->marks[i].id = id;
    batch->mark_list[i] = &batch->marks[i];
}

/* ---- asking and waiting */

struct answer {
    bool is_done;
    enum err err;
    int64_t rows;
    int64_t other;
    uint32_t fenced[4];
    size_t fenced_count;
    int64_t last_id, watermark;
    size_t count;
    int64_t ids[MAX_ROWS];
    uint32_t counter, part;
    uint64_t session_lo;
    uint32_t h;
    size_t inputs;
    int64_t waiting, waiting_bytes;
    bool is_complete;
    char stanza[32];
};

static void await(struct answer *answer)
{
    assert_true(
            scratch_run_until(fixture.database.loop, scratch_is_true, &answer->is_done, WAIT_MS));
}

static void on_appended(void *context, enum err err, const struct archive_append_result *result)
{
    struct answer *answer = context;
    answer->is_done = true;
    answer->err = err;
    if (result != NULL) {
        answer->rows = result->rows;
        answer->fenced_count = result->fenced_count;
        memcpy(answer->fenced, result->fenced, result->fenced_count * sizeof(uint32_t));
    }
}

static void on_done(void *context, enum err err)
{
    struct answer *answer = context;
    answer->is_done = true;
    answer->err = err;
}

static void on_counted(void *context, enum err err, int64_t count)
{
    on_done(context, err);
    ((struct answer *)context)->rows = count;
}

static void on_cleaned(void *context, enum err err, int64_t owners, int64_t entries)
{
    on_counted(context, err, owners);
    ((struct answer *)context)->other = entries;
}

static void on_opened(void *context, enum err err, Wire__LogOpenReply *reply)
{
    struct answer *answer = context;
    on_done(context, err);
    answer->last_id = reply->last_id;
    answer->watermark = reply->watermark;
    answer->count = reply->n_origins;
    assert_int_equal(reply->n_origins, reply->n_origin_ids);
    for (size_t i = 0; i < reply->n_origins && i < MAX_ROWS; i++) {
        answer->ids[i] = reply->origin_ids[i];
        answer->counter = reply->origins[i]->counter;
        answer->part = reply->origins[i]->part;
        answer->session_lo = reply->origins[i]->session->lo;
    }
    answer->inputs = reply->n_inputs;
    answer->waiting = reply->waiting_entries;
    answer->waiting_bytes = reply->waiting_bytes;
    answer->h = reply->n_inputs > 0 ? reply->inputs[0]->h : 0;
}

static void on_read(void *context, enum err err, Wire__LogReadReply *reply)
{
    struct answer *answer = context;
    on_done(context, err);
    answer->count = reply->n_entries;
    answer->is_complete = reply->is_complete;
    for (size_t i = 0; i < reply->n_entries && i < MAX_ROWS; i++) {
        answer->ids[i] = reply->entries[i]->id;
        struct str stanza = wire_str(reply->entries[i]->stanza);
        (void)snprintf(answer->stanza, sizeof(answer->stanza), STR_FMT, STR_ARG(stanza));
    }
}

static struct answer append(struct batch *batch)
{
    struct answer answer = { 0 };
    assert_int_equal(
            archive_store_append(fixture.store, &batch->append, on_appended, &answer), ERR_OK);
    free(batch); /* borrowed for the call only */
    await(&answer);
    return answer;
}

static struct answer open_log(int64_t owner, int64_t after_id)
{
    struct answer answer = { 0 };
    archive_store_open(fixture.store, owner, after_id, on_opened, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
    return answer;
}

static struct answer read_log(
        int64_t owner, int64_t after_id, uint32_t max_entries, uint32_t max_bytes)
{
    struct archive_page page = { owner, after_id, max_entries, max_bytes };
    struct answer answer = { 0 };
    archive_store_read(fixture.store, &page, on_read, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
    return answer;
}

/* As if it were five seconds later, with an age of five seconds. */
static struct archive_age before(int64_t id)
{
    return (struct archive_age){ .now_us = id + 5000000, .age_us = 5000000 };
}

static struct answer clean(int64_t before_id)
{
    struct answer answer = { 0 };
    archive_store_clean(fixture.store, before(before_id), on_cleaned, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
    return answer;
}

static int64_t new_owner(void)
{
    return ++fixture.next_owner;
}

static void fill(int64_t owner, size_t count)
{
    struct batch *batch = batch_new();
    add_epoch(batch, 1, 11);
    for (size_t i = 1; i <= count; i++) {
        add_entry(batch, 1, owner, base_us + (int64_t)i, STR("0123456789"));
    }
    assert_int_equal(append(batch).rows, count);
}

static void advance(int64_t owner, int64_t id)
{
    struct batch *batch = batch_new();
    add_epoch(batch, 1, 11);
    add_mark(batch, 1, owner, id);
    assert_int_equal(append(batch).err, ERR_OK);
}

/* ---- append */

static struct batch *one_of_each(int64_t owner)
{
    struct batch *batch = batch_new();
    add_epoch(batch, 1, 11);
    add_entry(batch, 1, owner, base_us + 1, STR("one"));
    add_entry(batch, 1, owner, base_us + 2, STR("two"));
    batch->ids[MAX_ROWS - 1] = WIRE_ID_INIT(((struct id128){ 1, 2 }));
    add_input(batch, 1, owner, &batch->ids[MAX_ROWS - 1], 5);
    add_input(batch, 1, owner, &batch->ids[MAX_ROWS - 1], UINT32_MAX);
    add_mark(batch, 1, owner, base_us + 1);
    return batch;
}

/* G03: the same batch again leaves exactly one row each. */
static void test_a_repeated_batch_has_one_effect(void **state)
{
    (void)state;
    int64_t owner = new_owner();
    struct answer first = append(one_of_each(owner));
    assert_int_equal(first.err, ERR_OK);
    assert_int_equal(first.rows, 2);
    assert_int_equal(first.fenced_count, 0);
    struct answer again = append(one_of_each(owner));
    assert_int_equal(again.err, ERR_OK);
    assert_int_equal(again.rows, 0);

    struct answer log = open_log(owner, 0);
    assert_int_equal(log.last_id, base_us + 2);
    assert_int_equal(log.watermark, base_us + 1);
    assert_int_equal(log.count, 2);
    assert_int_equal(log.ids[0], base_us + 1);
    assert_int_equal(log.counter, UINT32_MAX);
    assert_int_equal(log.part, 3);
    assert_int_equal(log.session_lo, base_us + 2);
    assert_int_equal(log.inputs, 1);
    assert_int_equal(log.h, UINT32_MAX); /* the last word of the batch */
    assert_int_equal(log.waiting, 1);    /* above the watermark (C34) */
    assert_true(log.waiting_bytes > 0);
}

/* A copy that comes late, after a later batch: nothing goes back, not across 2^32 either. */
static void test_a_late_repeat_takes_nothing_back(void **state)
{
    (void)state;
    int64_t owner = new_owner();
    (void)append(one_of_each(owner));
    struct batch *later = one_of_each(owner);
    later->append.n_inputs = 0;
    add_input(later, 1, owner, &later->ids[MAX_ROWS - 1], 7);
    add_mark(later, 1, owner, base_us + 2);
    (void)append(later);
    assert_int_equal(append(one_of_each(owner)).err, ERR_OK);
    struct answer log = open_log(owner, 0);
    assert_int_equal(log.h, 7);
    assert_int_equal(log.watermark, base_us + 2);
    assert_int_equal(log.count, 2);
}

/* Two archive-svcs at work on the same batch at once, and a probe. */
static void test_copies_at_the_same_time_have_one_effect(void **state)
{
    (void)state;
    int64_t owner = new_owner();
    struct answer answers[8] = { 0 };
    struct answer probe = { 0 };
    int64_t rows = 0;
    for (size_t i = 0; i < 8; i++) {
        struct batch *batch = one_of_each(owner);
        assert_int_equal(
                archive_store_append(fixture.store, &batch->append, on_appended, &answers[i]),
                ERR_OK);
        free(batch);
    }
    Wire__Append nothing = WIRE__APPEND__INIT;
    assert_int_equal(archive_store_append(fixture.store, &nothing, on_appended, &probe), ERR_OK);
    for (size_t i = 0; i < 8; i++) {
        await(&answers[i]);
        assert_int_equal(answers[i].err, ERR_OK);
        assert_int_equal(answers[i].fenced_count, 0);
        rows += answers[i].rows;
    }
    assert_int_equal(rows, 2);
    assert_int_equal(open_log(owner, 0).count, 2);
    await(&probe);
    assert_int_equal(probe.err, ERR_OK);
}

static void test_a_closed_session_is_forgotten(void **state)
{
    (void)state;
    int64_t owner = new_owner();
    (void)append(one_of_each(owner));
    struct batch *batch = one_of_each(owner);
    add_input(batch, 1, owner, &batch->ids[MAX_ROWS - 1], 0);
    (void)append(batch);
    assert_int_equal(open_log(owner, 0).inputs, 0);
}

static void test_a_fenced_shard_writes_nothing_anywhere(void **state)
{
    (void)state;
    int64_t owner = new_owner();
    struct batch *batch = one_of_each(owner);
    batch->epochs[0].epoch = 10; /* 11 is current */
    struct answer answer = append(batch);
    assert_int_equal(answer.err, ERR_OK);
    assert_int_equal(answer.rows, 0);
    assert_int_equal(answer.fenced_count, 1);
    assert_int_equal(answer.fenced[0], 1);
    struct answer log = open_log(owner, 0);
    assert_int_equal(log.last_id, 0);
    assert_int_equal(log.watermark, 0);
    assert_int_equal(log.inputs, 0);
}

static void test_only_the_fenced_shards_of_a_mixed_batch_are_left_out(void **state)
{
    (void)state;
    int64_t good = new_owner();
    int64_t bad = new_owner();
    struct batch *batch = batch_new();
    add_epoch(batch, 2, 22);
    add_epoch(batch, 1, 12);   /* too new is as wrong as too old */
    add_epoch(batch, 3000, 1); /* never leased */
    add_entry(batch, 1, bad, base_us + 1, STR("no"));
    add_entry(batch, 2, good, base_us + 1, STR("yes"));
    add_mark(batch, 1, bad, base_us + 1);
    add_mark(batch, 2, good, base_us + 1);
    struct answer answer = append(batch);
    assert_int_equal(answer.rows, 1);
    assert_int_equal(answer.fenced_count, 2);
    assert_int_equal(answer.fenced[0], 1);
    assert_int_equal(answer.fenced[1], 3000);
    assert_int_equal(open_log(good, 0).watermark, base_us + 1);
    assert_int_equal(open_log(bad, 0).last_id, 0);
}

/* P1: a counter that covers the entry that is left out would make its sender forget it. */
static void test_a_fence_leaves_out_the_inputs_that_are_ahead(void **state)
{
    (void)state;
    int64_t sender = new_owner();
    int64_t other = new_owner();
    int64_t recipient = new_owner();
    Wire__Id first = WIRE_ID_INIT(((struct id128){ 1, 1 }));
    Wire__Id second = WIRE_ID_INIT(((struct id128){ 2, 2 }));
    for (uint64_t epoch = 21; epoch <= 22; epoch++) { /* 22 is current */
        struct batch *batch = batch_new();
        add_epoch(batch, 1, 11);
        add_epoch(batch, 2, epoch);
        add_entry(batch, 2, recipient, base_us + 1, STR("gone"));
        add_input(batch, 1, sender, &first, 5);
        batch->inputs[0].is_ahead = true;
        add_input(batch, 1, other, &second, 6);
        struct answer answer = append(batch);
        bool is_fenced = epoch == 21;
        assert_int_equal(answer.fenced_count, is_fenced ? 1 : 0);
        assert_int_equal(answer.rows, is_fenced ? 0 : 1);
        assert_int_equal(open_log(sender, 0).inputs, is_fenced ? 0 : 1);
        assert_int_equal(open_log(other, 0).h, 6);
    }
}

/* T10: an append that begins while the shard changes hands waits and is then fenced. */
static void test_an_append_waits_for_a_takeover_and_sees_its_epoch(void **state)
{
    (void)state;
    char command[1024];
    (void)snprintf(command,
            sizeof(command),
            "export PGHOST=%s PGUSER=postgres;"
            " psql -X -q -c 'DO $$ BEGIN PERFORM pg_advisory_xact_lock(7301, 3);"
            "  FOR i IN 1..500 LOOP EXIT WHEN EXISTS (SELECT FROM pg_locks"
            "   WHERE classid = 7301 AND objid = 3 AND NOT granted); PERFORM pg_sleep(0.01);"
            "  END LOOP; UPDATE router.shard_lease SET epoch = 34 WHERE shard = 3; END $$' &"
            " for i in $(seq 100); do psql -X -A -t -c 'SELECT 1 FROM pg_locks"
            "  WHERE classid = 7301 AND objid = 3 AND granted' | grep -q 1 && exit 0; done; exit 1",
            fixture.database.dir);
    assert_int_equal(system(command), 0);
    struct batch *batch = batch_new();
    add_epoch(batch, 3, 33);
    add_entry(batch, 3, new_owner(), base_us + 1, STR("late"));
    struct answer answer = append(batch);
    assert_int_equal(answer.err, ERR_OK);
    assert_int_equal(answer.rows, 0);
    assert_int_equal(answer.fenced_count, 1);
}

static void test_a_watermark_never_goes_back(void **state)
{
    (void)state;
    int64_t owner = new_owner();
    advance(owner, base_us + 9);
    advance(owner, base_us + 3);
    struct answer log = open_log(owner, 0);
    assert_int_equal(log.watermark, base_us + 9);
    assert_int_equal(log.last_id, base_us + 9); /* ids go on behind it, though no entry is left */
}

static void test_malformed_batches_are_refused_at_once(void **state)
{
    (void)state;
    struct answer answer = { 0 };
    for (int i = 0; i < 5; i++) {
        struct batch *batch = one_of_each(1);
        switch (i) {
        case 0: batch->entries[0].shard = 2; break; /* without epoch */
        case 1: batch->entries[0].id = 0; break;
        case 2: batch->entries[0].id = INT64_MAX; break;
        case 3: batch->entries[0].origin = NULL; break;
        default: add_epoch(batch, 1, 12); break; /* two epochs of one shard */
        }
        assert_int_equal(archive_store_append(fixture.store, &batch->append, on_appended, &answer),
                ERR_INVALID);
        free(batch);
    }
    assert_false(answer.is_done);
}

/* T16: the clock jumps to a week nobody has prepared. */
static void test_a_missing_partition_is_made_on_demand(void **state)
{
    (void)state;
    int64_t owner = new_owner();
    int64_t id = base_us + 700 * week_us;
    struct batch *batch = batch_new();
    add_epoch(batch, 1, 11);
    add_entry(batch, 1, owner, id, STR("future"));
    struct answer answer = { 0 };
    assert_int_equal(
            archive_store_append(fixture.store, &batch->append, on_appended, &answer), ERR_OK);
    await(&answer);
    assert_int_equal(answer.err, ERR_NOT_FOUND);
    struct answer room = { 0 };
    archive_store_make_room(fixture.store, &batch->append, on_done, &room);
    await(&room);
    assert_int_equal(room.err, ERR_OK);
    assert_int_equal(append(batch).rows, 1);
    assert_int_equal(open_log(owner, 0).last_id, id);
}

/* ---- read */

static void test_pages_follow_each_other_in_order_without_gap(void **state)
{
    (void)state;
    int64_t owner = new_owner();
    fill(owner, 10);
    struct answer page = read_log(owner, base_us + 1, 4, 1000);
    assert_int_equal(page.count, 4);
    assert_false(page.is_complete);
    assert_int_equal(page.ids[0], base_us + 2);
    assert_string_equal(page.stanza, "0123456789");
    page = read_log(owner, page.ids[3], 6, 1000);
    assert_int_equal(page.count, 5);
    assert_true(page.is_complete);
    assert_int_equal(page.ids[4], base_us + 10);
    page = read_log(owner, page.ids[4], 4, 1000);
    assert_int_equal(page.count, 0);
    assert_true(page.is_complete);
}

static void test_a_page_is_cut_by_bytes_but_never_empty(void **state)
{
    (void)state;
    int64_t owner = new_owner();
    fill(owner, 5);
    struct answer page = read_log(owner, 0, 10, 25); /* 10 bytes each */
    assert_int_equal(page.count, 3);
    assert_false(page.is_complete);
    page = read_log(owner, 0, 10, 0);
    assert_int_equal(page.count, 1);
    assert_false(page.is_complete);
}

static void test_open_gives_only_recent_origins(void **state)
{
    (void)state;
    int64_t owner = new_owner();
    fill(owner, 6);
    advance(owner, base_us + INT64_C(1000000000));
    struct answer log = open_log(owner, base_us + 4);
    assert_int_equal(log.count, 2);
    assert_int_equal(log.ids[0], base_us + 5);
    assert_int_equal(log.ids[1], base_us + 6);
}

/* P2: repeats come when the outage is over, not within a time. */
static void test_open_gives_origins_from_before_an_outage(void **state)
{
    (void)state;
    int64_t owner = new_owner();
    int64_t hour_later = base_us + INT64_C(3600000000);
    fill(owner, 6);
    assert_int_equal(open_log(owner, hour_later).count, 6);
    advance(owner, base_us + 6); /* delivered, but the sender may not know */
    assert_int_equal(open_log(owner, hour_later).count, 6);
}

static void test_erase_leaves_nothing_of_the_owner_and_all_of_others(void **state)
{
    (void)state;
    int64_t owner = new_owner();
    int64_t other = new_owner();
    (void)append(one_of_each(owner));
    (void)append(one_of_each(other));
    struct answer answer = { 0 };
    archive_store_erase(fixture.store, owner, on_done, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
    struct answer log = open_log(owner, 0);
    assert_int_equal(log.last_id, 0);
    assert_int_equal(log.inputs, 0);
    assert_int_equal(open_log(other, 0).count, 2);
}

/* ---- retention */

static void clean_all(void)
{
    while (clean(base_us + week_us).rows == ARCHIVE_CLEAN_OWNERS) {
    }
}

static void test_only_delivered_and_old_entries_are_cleaned(void **state)
{
    (void)state;
    clean_all();
    int64_t owner = new_owner();
    fill(owner, 10);
    advance(owner, base_us + 6);
    struct answer answer = clean(base_us + 4); /* 5 and 6 are too young, 7.. not delivered */
    assert_int_equal(answer.rows, 1);
    assert_int_equal(answer.other, 4);
    assert_int_equal(read_log(owner, 0, 20, 1000).ids[0], base_us + 5);
    assert_int_equal(clean(base_us + 4).rows, 0); /* nothing left to look at */
    assert_int_equal(clean(base_us + 100).other, 2);
    struct answer left = read_log(owner, 0, 20, 1000);
    assert_int_equal(left.count, 4);
    assert_int_equal(left.ids[0], base_us + 7);
}

static void test_cleaning_goes_in_bounded_steps(void **state)
{
    (void)state;
    clean_all();
    int64_t owner = new_owner();
    char sql[256];
    (void)snprintf(sql,
            sizeof(sql),
            "INSERT INTO archive.message SELECT %lld, %lld + n, gen_random_uuid(), 1, 0, 'x'"
            " FROM generate_series(1, 450) n",
            (long long)owner,
            (long long)base_us);
    scratch_sql(&fixture.database, sql);
    advance(owner, base_us + 450);
    assert_int_equal(clean(base_us + week_us).other, 200);
    assert_int_equal(clean(base_us + week_us).other, 200);
    assert_int_equal(clean(base_us + week_us).other, 50);
    assert_int_equal(clean(base_us + week_us).rows, 0);
}

/* T16: our clock is ten years ahead of the database's. */
static void test_a_clock_ahead_drops_nothing(void **state)
{
    (void)state;
    int64_t real_us = (int64_t)time(NULL) * 1000000;
    struct answer answer = { 0 };
    archive_store_ensure_partitions(fixture.store, real_us, on_counted, &answer);
    await(&answer);
    int64_t owner = new_owner();
    struct batch *batch = batch_new();
    add_epoch(batch, 1, 11);
    add_entry(batch, 1, owner, real_us, STR("now"));
    add_mark(batch, 1, owner, real_us);
    assert_int_equal(append(batch).rows, 1);
    struct archive_age age = { real_us + 520 * week_us, 4 * week_us };
    answer = (struct answer){ 0 };
    archive_store_drop_partitions(fixture.store, age, on_counted, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
    answer = (struct answer){ 0 };
    archive_store_clean(fixture.store, age, on_cleaned, &answer);
    await(&answer);
    assert_int_equal(read_log(owner, 0, 1, 10).count, 1);
}

static void test_partitions_are_made_ahead_and_dropped_when_wholly_old(void **state)
{
    (void)state;
    int64_t now_us = base_us + 10 * week_us;
    int64_t end_us = (now_us / week_us + 1) * week_us;
    struct answer answer = { 0 };
    archive_store_ensure_partitions(fixture.store, now_us, on_counted, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
    assert_int_equal(answer.rows, 2);
    answer.is_done = false;
    archive_store_ensure_partitions(fixture.store, now_us, on_counted, &answer);
    await(&answer);
    assert_int_equal(answer.rows, 0);

    int64_t owner = new_owner();
    struct batch *batch = batch_new();
    add_epoch(batch, 1, 11);
    add_entry(batch, 1, owner, now_us, STR("old"));
    add_entry(batch, 1, owner, now_us + week_us, STR("young"));
    assert_int_equal(append(batch).rows, 2);
    answer.is_done = false;
    archive_store_drop_partitions(fixture.store, before(end_us - 1), on_counted, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
    assert_int_equal(
            read_log(owner, 0, 10, 100).count, 2); /* its last microsecond is not old yet */
    answer.is_done = false;
    archive_store_drop_partitions(fixture.store, before(end_us), on_counted, &answer);
    await(&answer);
    assert_true(answer.rows >= 1);
    struct answer left = read_log(owner, 0, 10, 100);
    assert_int_equal(left.count, 1);
    assert_string_equal(left.stanza, "young");
}

static void test_stale_session_inputs_are_cleaned(void **state)
{
    (void)state;
    int64_t owner = new_owner();
    (void)append(one_of_each(owner));
    scratch_sql(&fixture.database,
            "UPDATE archive.session_input SET updated = now() - interval '3 days'");
    int64_t fresh = new_owner();
    (void)append(one_of_each(fresh));
    struct answer answer = { 0 };
    archive_store_clean_inputs(fixture.store, on_counted, &answer);
    await(&answer);
    assert_true(answer.rows >= 1);
    assert_int_equal(open_log(owner, 0).inputs, 0);
    assert_int_equal(open_log(fresh, 0).inputs, 1);
}

/* ---- measurement: "archive_store_test bench" */

static int bench(void)
{
    enum {
        ROWS = 64,
        PARALLEL = 4,
        BATCHES = 4000,
    };
    static char stanza[300];
    memset(stanza, 's', sizeof(stanza));
    struct answer answers[PARALLEL] = { 0 };
    struct timespec start;
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &start);
    int64_t id = base_us;
    for (int sent = 0; sent < BATCHES; sent++) {
        struct answer *answer = &answers[sent % PARALLEL];
        if (sent >= PARALLEL) {
            await(answer);
            ASSERT(answer->rows == ROWS);
        }
        *answer = (struct answer){ 0 };
        struct batch *batch = batch_new();
        add_epoch(batch, 1, 11);
        for (int i = 0; i < ROWS; i++) {
            add_entry(batch, 1, 1000000 + (id * 7919) % 100000, id, str_from(stanza, 300));
            id++;
        }
        ASSERT(archive_store_append(fixture.store, &batch->append, on_appended, answer) == ERR_OK);
        free(batch);
    }
    for (int i = 0; i < PARALLEL; i++) {
        await(&answers[i]);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds =
            (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
    printf("%d batches of %d rows: %.0f rows/s, %.2f ms per batch\n",
            BATCHES,
            ROWS,
            BATCHES * ROWS / seconds,
            seconds * 1000 * PARALLEL / BATCHES);
    return 0;
}

/* ---- frame */

static int set_up(void **state)
{
    (void)state;
    scratch_database_start(&fixture.database);
    scratch_sql(&fixture.database,
            "INSERT INTO public.starling_migration (service, number, name)"
            " VALUES ('archive', 2, 'log');"
            "INSERT INTO router.shard_lease (shard, owner, epoch)"
            " VALUES (1, 'r1', 11), (2, 'r1', 22), (3, 'r2', 33)");
    fixture.append_pool = scratch_pool(&fixture.database, "starling_archive", 2);
    fixture.read_pool = scratch_pool(&fixture.database, "starling_archive", 1);
    fixture.store = archive_store_create(fixture.append_pool, fixture.read_pool);
    struct answer answer = { 0 };
    archive_store_ensure_partitions(fixture.store, base_us, on_counted, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pg_pool_close(fixture.append_pool);
    pg_pool_close(fixture.read_pool);
    archive_store_destroy(fixture.store);
    scratch_database_stop(&fixture.database);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "bench") == 0) {
        (void)set_up(NULL);
        (void)bench();
        return tear_down(NULL);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_repeated_batch_has_one_effect),
        cmocka_unit_test(test_a_late_repeat_takes_nothing_back),
        cmocka_unit_test(test_copies_at_the_same_time_have_one_effect),
        cmocka_unit_test(test_a_closed_session_is_forgotten),
        cmocka_unit_test(test_a_fenced_shard_writes_nothing_anywhere),
        cmocka_unit_test(test_only_the_fenced_shards_of_a_mixed_batch_are_left_out),
        cmocka_unit_test(test_a_fence_leaves_out_the_inputs_that_are_ahead),
        cmocka_unit_test(test_an_append_waits_for_a_takeover_and_sees_its_epoch),
        cmocka_unit_test(test_a_watermark_never_goes_back),
        cmocka_unit_test(test_malformed_batches_are_refused_at_once),
        cmocka_unit_test(test_a_missing_partition_is_made_on_demand),
        cmocka_unit_test(test_pages_follow_each_other_in_order_without_gap),
        cmocka_unit_test(test_a_page_is_cut_by_bytes_but_never_empty),
        cmocka_unit_test(test_open_gives_only_recent_origins),
        cmocka_unit_test(test_open_gives_origins_from_before_an_outage),
        cmocka_unit_test(test_erase_leaves_nothing_of_the_owner_and_all_of_others),
        cmocka_unit_test(test_only_delivered_and_old_entries_are_cleaned),
        cmocka_unit_test(test_cleaning_goes_in_bounded_steps),
        cmocka_unit_test(test_stale_session_inputs_are_cleaned),
        /* These two drop the partitions of the others. */
        cmocka_unit_test(test_partitions_are_made_ahead_and_dropped_when_wholly_old),
        cmocka_unit_test(test_a_clock_ahead_drops_nothing),
    };
    return cmocka_run_group_tests_name("archive_store", tests, set_up, tear_down);
}

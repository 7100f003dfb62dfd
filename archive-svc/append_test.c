/* What routers see: records in, replies out, with a real PostgreSQL behind and a link that is only
 * a list. */
#include "archive-svc/append.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

#include "archive-svc/archive_store.h"
#include "archive-svc/retention.h"
#include "archive-svc/settings.h"
#include "chassis/base/mem.h"
#include "chassis/metrics.h"
#include "tests/lib/scratch_database.h"

enum {
    WAIT_MS = 10000,
    MAX_REPLIES = 128,
};

/* ---- a link that keeps what is sent */

struct link_peer {
    struct seen {
        Wire__Envelope__VerbCase verb;
        uint64_t request;
        Wire__Status status;
        size_t count; /* fenced shards, entries, origins */
        int64_t id;
    } replies[MAX_REPLIES];
    size_t count;
    bool is_full;
};

static enum err keep(struct link_peer *peer, struct str record)
{
    if (peer->is_full) {
        return ERR_LIMIT;
    }
    struct arena arena;
    arena_init(&arena, 0);
    const Wire__Envelope *envelope = NULL;
    assert_int_equal(wire_unpack(&arena, record, &envelope), ERR_OK);
    assert_true(peer->count < MAX_REPLIES);
    struct seen *seen = &peer->replies[peer->count++];
    seen->verb = envelope->verb_case;
    if (seen->verb == WIRE__ENVELOPE__VERB_APPEND_REPLY) {
        seen->request = envelope->append_reply->request;
        seen->status = envelope->append_reply->status;
        seen->count = envelope->append_reply->n_fenced;
    } else if (seen->verb == WIRE__ENVELOPE__VERB_LOG_OPEN_REPLY) {
        seen->request = envelope->log_open_reply->request;
        seen->status = envelope->log_open_reply->status;
        seen->count = envelope->log_open_reply->n_origins;
        seen->id = envelope->log_open_reply->last_id;
    } else if (seen->verb == WIRE__ENVELOPE__VERB_LOG_READ_REPLY) {
        seen->request = envelope->log_read_reply->request;
        seen->status = envelope->log_read_reply->status;
        seen->count = envelope->log_read_reply->n_entries;
    } else {
        assert_int_equal(seen->verb, WIRE__ENVELOPE__VERB_LOG_ERASE_REPLY);
        seen->request = envelope->log_erase_reply->request;
        seen->status = envelope->log_erase_reply->status;
    }
    arena_fini(&arena);
    return ERR_OK;
}

/* ---- fixture */

struct fixture {
    struct scratch_database database; /* its pool is not used */
    struct pg_pool *append_pool, *read_pool;
    struct archive archive;
    struct archive_settings settings;
    struct link_peer peer, other;
    struct asker *asker, *other_asker;
    size_t expected;
    int64_t next_id;
};

static struct fixture fixture;

static bool has_replies(void *context)
{
    const struct link_peer *peer = context;
    return peer->count >= fixture.expected;
}

static void await_replies(struct link_peer *peer, size_t count)
{
    fixture.expected = count;
    assert_true(scratch_run_until(fixture.database.loop, has_replies, peer, WAIT_MS));
}

static void run_for(int64_t ms)
{
    bool never = false;
    (void)scratch_run_until(fixture.database.loop, scratch_is_true, &never, ms);
}

static void give(struct asker *asker, uint64_t boot_epoch, const Wire__Envelope *envelope)
{
    struct buf record;
    buf_init(&record, 0);
    wire_pack(&record, envelope);
    archive_on_record(&fixture.archive, asker, boot_epoch, buf_view(&record));
    buf_fini(&record);
}

/* One entry for owner 1 in shard 1, whose epoch is 11. */
static void give_append(
        struct asker *asker, uint64_t boot_epoch, uint64_t request, uint64_t epoch, int64_t id)
{
    Wire__ShardEpoch shard = WIRE__SHARD_EPOCH__INIT;
    shard.shard = 1;
    shard.epoch = epoch;
    Wire__ShardEpoch *shards[] = { &shard };
    Wire__Id session = WIRE__ID__INIT;
    session.lo = 1;
    Wire__Origin origin = WIRE__ORIGIN__INIT;
    origin.session = &session;
    Wire__LogEntry entry = WIRE__LOG_ENTRY__INIT;
    entry.owner = 1;
    entry.shard = 1;
    entry.id = id;
    entry.origin = &origin;
    entry.stanza = wire_bytes(STR("stanza"));
    Wire__LogEntry *entries[] = { &entry };
    Wire__Append append = WIRE__APPEND__INIT;
    append.request = request;
    append.epochs = shards;
    append.n_epochs = 1;
    append.entries = entries;
    append.n_entries = 1;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_APPEND;
    envelope.append = &append;
    give(asker, boot_epoch, &envelope);
}

/* Counter and watermark of owner 1. */
static void give_input_and_mark(uint64_t request, uint32_t h)
{
    Wire__ShardEpoch shard = WIRE__SHARD_EPOCH__INIT;
    shard.shard = 1;
    shard.epoch = 11;
    Wire__ShardEpoch *shards[] = { &shard };
    Wire__Id session = WIRE__ID__INIT;
    session.lo = 77;
    Wire__SessionInput input = WIRE__SESSION_INPUT__INIT;
    input.owner = 1;
    input.shard = 1;
    input.session = &session;
    input.h = h;
    Wire__SessionInput *inputs[] = { &input };
    Wire__Watermark mark = WIRE__WATERMARK__INIT;
    mark.owner = 1;
    mark.shard = 1;
    mark.id = h;
    Wire__Watermark *marks[] = { &mark };
    Wire__Append append = WIRE__APPEND__INIT;
    append.request = request;
    append.epochs = shards;
    append.n_epochs = 1;
    append.inputs = inputs;
    append.n_inputs = 1;
    append.watermarks = marks;
    append.n_watermarks = 1;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_APPEND;
    envelope.append = &append;
    give(fixture.asker, 5, &envelope);
}

static int64_t new_id(void)
{
    return ++fixture.next_id;
}

/* ---- tests */

/* The first append of both finds no partition: two transactions want to make the same one. */
static void test_appends_of_one_router_are_answered_in_order(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 20; i++) {
        give_append(fixture.asker, 5, i, 11, new_id());
    }
    give_append(fixture.other_asker, 6, 100, 11, new_id());
    assert_int_equal(fixture.archive.appends_pending, 21);
    await_replies(&fixture.peer, 20);
    await_replies(&fixture.other, 1);
    assert_int_equal(fixture.other.replies[0].status, WIRE__STATUS__STATUS_OK);
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(fixture.peer.replies[i].request, i + 1);
        assert_int_equal(fixture.peer.replies[i].status, WIRE__STATUS__STATUS_OK);
    }
    assert_int_equal(fixture.archive.appends_pending, 0);
}

static void test_a_fenced_shard_is_named_in_the_reply(void **state)
{
    (void)state;
    give_append(fixture.asker, 5, 1, 10, new_id());
    await_replies(&fixture.peer, 1);
    assert_int_equal(fixture.peer.replies[0].status, WIRE__STATUS__STATUS_OK);
    assert_int_equal(fixture.peer.replies[0].count, 1);
}

/* F: what a router says is checked, too. */
static void test_malformed_appends_are_answered_invalid_and_do_not_stop_the_queue(void **state)
{
    (void)state;
    give_append(fixture.asker, 5, 1, 11, new_id());
    give_append(fixture.asker, 5, 2, 11, 0);
    give_append(fixture.asker, 5, 3, 11, new_id());
    await_replies(&fixture.peer, 3);
    assert_int_equal(fixture.peer.replies[1].request, 2);
    assert_int_equal(fixture.peer.replies[1].status, WIRE__STATUS__STATUS_INVALID);
    assert_int_equal(fixture.peer.replies[2].status, WIRE__STATUS__STATUS_OK);
}

static void test_garbage_is_ignored(void **state)
{
    (void)state;
    archive_on_record(&fixture.archive, fixture.asker, 5, STR("\xff\xff\xff garbage"));
    archive_on_record(&fixture.archive, fixture.asker, 5, STR_NULL);
    give_append(fixture.asker, 5, 1, 11, new_id());
    await_replies(&fixture.peer, 1);
}

/* T16 */
static void test_an_id_without_partition_gets_one(void **state)
{
    (void)state;
    give_append(fixture.asker, 5, 1, 11, INT64_C(3000000000000000)); /* 2065 */
    await_replies(&fixture.peer, 1);
    assert_int_equal(fixture.peer.replies[0].status, WIRE__STATUS__STATUS_OK);
}

static void test_a_new_incarnation_hears_nothing_of_the_old_ones_appends(void **state)
{
    (void)state;
    give_append(fixture.asker, 5, 1, 11, new_id());
    give_append(fixture.asker, 5, 2, 11, new_id());
    give_append(fixture.asker, 7, 9, 11, new_id());
    await_replies(&fixture.peer, 1);
    run_for(50);
    assert_int_equal(fixture.peer.count, 1);
    assert_int_equal(fixture.peer.replies[0].request, 9);
    assert_int_equal(fixture.archive.appends_pending, 0);
}

/* What piled up before a process that was frozen. */
static void test_a_repeat_of_what_is_at_work_is_answered_once(void **state)
{
    (void)state;
    int64_t id = new_id();
    give_append(fixture.asker, 5, 1, 11, id);
    give_append(fixture.asker, 5, 1, 11, id);
    give_append(fixture.asker, 5, 2, 11, new_id());
    give_append(fixture.asker, 5, 1, 11, id);
    assert_int_equal(fixture.archive.appends_pending, 2);
    await_replies(&fixture.peer, 2);
    run_for(50);
    assert_int_equal(fixture.peer.count, 2);
    give_append(fixture.asker, 5, 1, 11, id); /* it was answered: so is this */
    await_replies(&fixture.peer, 3);
    assert_int_equal(fixture.peer.replies[2].status, WIRE__STATUS__STATUS_OK);
}

/* G04: somebody holds the watermark and waits for the counter, the append the other way round.
 * PostgreSQL ends the one that looks first, which is the append. */
static void begin_deadlock(void)
{
    char command[1024];
    (void)snprintf(command,
            sizeof(command),
            "export PGHOST=%s PGUSER=postgres;"
            " psql -X -q -c \"SET deadlock_timeout = '30s'\" -c 'DO $$ BEGIN"
            "  PERFORM FROM archive.cursor WHERE owner = 1 FOR UPDATE;"
            "  PERFORM pg_advisory_xact_lock(1, 1);" /* a sign */
            "  FOR i IN 1..500 LOOP EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE NOT granted);"
            "   PERFORM pg_sleep(0.01); END LOOP;"
            "  UPDATE archive.session_input SET updated = now() WHERE owner = 1; END $$' &"
            " for i in $(seq 100); do psql -X -A -t -c 'SELECT 1 FROM pg_locks"
            "  WHERE classid = 1 AND objid = 1 AND granted' | grep -q 1 && exit 0; done; exit 1",
            fixture.database.dir);
    assert_int_equal(system(command), 0);
}

static void test_a_deadlock_is_tried_again_here(void **state)
{
    (void)state;
    give_input_and_mark(1, 5);
    await_replies(&fixture.peer, 1);
    begin_deadlock();
    give_input_and_mark(2, 6);
    await_replies(&fixture.peer, 2);
    assert_int_equal(fixture.peer.replies[1].request, 2);
    assert_int_equal(fixture.peer.replies[1].status, WIRE__STATUS__STATUS_OK);
    char command[512];
    (void)snprintf(command,
            sizeof(command),
            "psql -X -A -t -h %s -U postgres -c \"SELECT deadlocks FROM pg_stat_database"
            " WHERE datname = 'postgres'\" | grep -q '^1$'",
            fixture.database.dir);
    int code = 1;
    for (int i = 0; i < 100 && code != 0; i++) { /* statistics come late */
        run_for(50);
        code = system(command);
    }
    assert_int_equal(code, 0);
    assert_int_equal(fixture.peer.count, 2);
}

static void test_replies_wait_for_room_in_order(void **state)
{
    (void)state;
    fixture.peer.is_full = true;
    give_append(fixture.asker, 5, 1, 11, new_id());
    give_append(fixture.asker, 5, 2, 11, new_id());
    run_for(100);
    assert_int_equal(fixture.peer.count, 0);
    fixture.peer.is_full = false;
    give_append(fixture.asker, 5, 3, 11, new_id());
    asker_on_room(fixture.asker);
    await_replies(&fixture.peer, 3);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(fixture.peer.replies[i].request, i + 1);
    }
}

static void test_open_read_and_erase_are_answered(void **state)
{
    (void)state;
    int64_t id = new_id() + 1000000;
    give_append(fixture.asker, 5, 1, 11, id);
    await_replies(&fixture.peer, 1);

    Wire__LogOpen open = WIRE__LOG_OPEN__INIT;
    open.request = 2;
    open.owner = 1;
    open.origins_after_id = id - 1;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_LOG_OPEN;
    envelope.log_open = &open;
    give(fixture.asker, 5, &envelope);
    await_replies(&fixture.peer, 2);
    assert_true(fixture.peer.replies[1].count >= 1);
    assert_true(fixture.peer.replies[1].id >= id);

    Wire__LogRead read = WIRE__LOG_READ__INIT;
    read.request = 3;
    read.owner = 1;
    read.after_id = id - 1;
    read.max_entries = 1;
    envelope.verb_case = WIRE__ENVELOPE__VERB_LOG_READ;
    envelope.log_read = &read;
    give(fixture.asker, 5, &envelope);
    await_replies(&fixture.peer, 3);
    assert_int_equal(fixture.peer.replies[2].count, 1);

    Wire__LogErase erase = WIRE__LOG_ERASE__INIT;
    erase.request = 4;
    erase.owner = 1;
    envelope.verb_case = WIRE__ENVELOPE__VERB_LOG_ERASE;
    envelope.log_erase = &erase;
    give(fixture.asker, 5, &envelope);
    await_replies(&fixture.peer, 4);

    envelope.verb_case = WIRE__ENVELOPE__VERB_LOG_READ;
    envelope.log_read = &read;
    give(fixture.asker, 5, &envelope);
    await_replies(&fixture.peer, 5);
    assert_int_equal(fixture.peer.replies[4].count, 0);
}

static void on_idle(void *context)
{
    *(bool *)context = true;
}

static void test_drain_finishes_what_runs_and_refuses_what_comes(void **state)
{
    (void)state;
    give_append(fixture.asker, 5, 1, 11, new_id());
    bool is_idle = false;
    archive_drain(&fixture.archive, on_idle, &is_idle);
    assert_false(is_idle);
    give_append(fixture.asker, 5, 2, 11, new_id());
    assert_true(scratch_run_until(fixture.database.loop, scratch_is_true, &is_idle, WAIT_MS));
    assert_int_equal(fixture.peer.count, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct seen *seen = &fixture.peer.replies[i];
        assert_int_equal(seen->status,
                seen->request == 1 ? WIRE__STATUS__STATUS_OK : WIRE__STATUS__STATUS_TEMPORARY);
    }
}

/* G01, T03: the router repeats what came back as temporary. */
static void test_without_postgresql_appends_come_back_as_temporary(void **state)
{
    (void)state;
    scratch_do("scratch-pg", "crash", fixture.database.dir);
    give_append(fixture.asker, 5, 1, 11, new_id());
    await_replies(&fixture.peer, 1);
    assert_int_equal(fixture.peer.replies[0].status, WIRE__STATUS__STATUS_TEMPORARY);
    scratch_do("scratch-pg", "restart", fixture.database.dir);
    run_for(200); /* the other connections find out, too */
    give_append(fixture.asker, 5, 1, 11, fixture.next_id);
    await_replies(&fixture.peer, 2);
    assert_int_equal(fixture.peer.replies[1].status, WIRE__STATUS__STATUS_OK);
}

static void test_retention_makes_partitions_by_itself(void **state)
{
    (void)state;
    struct retention *retention = retention_create(&fixture.archive);
    run_for(300);
    char command[512];
    (void)snprintf(command,
            sizeof(command),
            "psql -X -A -t -h %s -U postgres -c \"SELECT to_regclass('archive.message_' || to_char("
            "to_timestamp(floor(extract(epoch FROM now()) / 604800) * 604800) AT TIME ZONE 'UTC',"
            " 'YYYYMMDD'))\" | grep -q message_",
            fixture.database.dir);
    assert_int_equal(system(command), 0);
    retention_destroy(retention);
}

/* ---- frame */

static bool are_up(void *context)
{
    (void)context;
    return pg_pool_is_up(fixture.append_pool) && pg_pool_is_up(fixture.read_pool);
}

static int begin(void **state)
{
    (void)state;
    fixture.append_pool = scratch_pool(&fixture.database, "starling_archive", 2);
    fixture.read_pool = scratch_pool(&fixture.database, "starling_archive", 2);
    fixture.settings = (struct archive_settings){
        .retention_days = 30,
        .replay_window_ms = 120000,
        .max_batch = 100,
        .read_max_entries = 100,
        .read_max_bytes = 65536,
    };
    fixture.archive = (struct archive){
        .loop = fixture.database.loop,
        .settings = &fixture.settings,
        .store = archive_store_create(fixture.append_pool, fixture.read_pool),
        .send = keep,
    };
    memset(&fixture.peer, 0, sizeof(fixture.peer));
    memset(&fixture.other, 0, sizeof(fixture.other));
    fixture.asker = asker_create(&fixture.archive, &fixture.peer);
    fixture.other_asker = asker_create(&fixture.archive, &fixture.other);
    return scratch_run_until(fixture.database.loop, are_up, NULL, WAIT_MS) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    pg_pool_close(fixture.append_pool);
    pg_pool_close(fixture.read_pool);
    asker_destroy(fixture.asker);
    asker_destroy(fixture.other_asker);
    archive_store_destroy(fixture.archive.store);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    scratch_database_start(&fixture.database);
    scratch_sql(&fixture.database,
            "INSERT INTO router.shard_lease (shard, owner, epoch) VALUES (1, 'r1', 11)");
    fixture.next_id = (int64_t)time(NULL) * 1000000;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_database_stop(&fixture.database);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_appends_of_one_router_are_answered_in_order), /* first: no partition yet */
        TEST(test_an_id_without_partition_gets_one),
        TEST(test_a_fenced_shard_is_named_in_the_reply),
        TEST(test_malformed_appends_are_answered_invalid_and_do_not_stop_the_queue),
        TEST(test_garbage_is_ignored),
        TEST(test_a_new_incarnation_hears_nothing_of_the_old_ones_appends),
        TEST(test_a_repeat_of_what_is_at_work_is_answered_once),
        TEST(test_a_deadlock_is_tried_again_here),
        TEST(test_replies_wait_for_room_in_order),
        TEST(test_open_read_and_erase_are_answered),
        TEST(test_drain_finishes_what_runs_and_refuses_what_comes),
        TEST(test_without_postgresql_appends_come_back_as_temporary),
        TEST(test_retention_makes_partitions_by_itself),
    };
    return cmocka_run_group_tests_name("append", tests, set_up, tear_down);
}

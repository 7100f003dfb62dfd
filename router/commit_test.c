/* What happens to a group that archive-svc answers, or refuses. */
#include "router/commit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/loop.h"
#include "router/peers.h"
#include "router/router.h"
#include "router/shard.h"

static struct {
    struct fake_clock time;
    struct clock clock;
    struct settings settings;
    struct router router;
    struct peer peer;
    struct link_config bus;
    uint64_t epoch;
    uint64_t request; /* of the last append */
    size_t entries;
    size_t watermarks;
    unsigned sent;
    enum err told[8];
    unsigned told_count;
} t;

/* ---- in place of the world */

const void *config_get(const struct config *config, const struct config_section *section)
{
    (void)config;
    (void)section;
    return &t.bus;
}

const struct config *service_config(struct service_context *service)
{
    (void)service;
    return NULL;
}

struct peer *peers_choose(
        const struct peers *peers, enum link_role role, struct str key, const struct peer *except)
{
    (void)peers;
    (void)role;
    (void)key;
    (void)except;
    return &t.peer;
}

enum err link_send(struct link_peer *peer, struct str record)
{
    (void)peer;
    struct arena arena;
    const Wire__Envelope *envelope = NULL;
    arena_init(&arena, 0);
    assert_int_equal(wire_unpack(&arena, record, &envelope), ERR_OK);
    t.request = envelope->append->request;
    t.entries = envelope->append->n_entries;
    t.watermarks = envelope->append->n_watermarks;
    t.sent++;
    arena_fini(&arena);
    return ERR_OK;
}

uint64_t shard_epoch(const struct shard_table *table, unsigned shard)
{
    (void)table;
    (void)shard;
    return t.epoch;
}

void shard_fenced(struct shard_table *table, unsigned shard)
{
    (void)table;
    (void)shard;
}

bool shard_may_give_up(const struct shard_table *table)
{
    (void)table;
    return true;
}

/* ---- steps */

static int setup(void **state)
{
    (void)state;
    memset(&t, 0, sizeof(t));
    t.time.monotonic_ms = 1000;
    t.clock = fake_clock_clock(&t.time);
    t.settings.shards = 4;
    t.settings.commit_timeout_ms = 10000;
    t.settings.max_uncommitted_bytes = 1 << 20;
    t.bus.max_frame_bytes = 1 << 20;
    t.epoch = 7;
    t.peer.is_up = true;
    t.router.node = "me";
    t.router.settings = &t.settings;
    t.router.loop = loop_create(&t.clock);
    return commit_create(&t.router, &t.router.commit) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    commit_destroy(t.router.commit);
    loop_destroy(t.router.loop);
    return 0;
}

static void stop_loop(void *context)
{
    loop_stop(context);
}

static void pass(int64_t ms)
{
    struct loop_task stop = { .run = stop_loop, .context = t.router.loop };
    t.time.monotonic_ms += ms;
    (void)timer_wheel_run(loop_timers(t.router.loop));
    loop_defer(t.router.loop, LOOP_PHASE_REAP, &stop);
    loop_run(t.router.loop);
}

static void on_done(void *context, enum err err)
{
    (void)context;
    if (err != ERR_CLOSED) {
        t.told[t.told_count++] = err;
    }
}

static void write_entry(int64_t id)
{
    struct origin origin = { { 1, 2 }, 3, 0 };
    struct stanza stanza = { .kind = STANZA_MESSAGE, .children = STR("<body>x</body>") };
    commit_entry(t.router.commit, 1, 9, id, &origin, &stanza);
    commit_wait(t.router.commit, 1, on_done, NULL);
}

static void reply(Wire__Status status)
{
    Wire__AppendReply message = WIRE__APPEND_REPLY__INIT;
    message.request = t.request;
    message.status = status;
    commit_on_reply(t.router.commit, &message);
}

/* ---- tests */

static void refused_group_is_withdrawn_and_the_next_one_leaves(Wire__Status status)
{
    write_entry(10);
    pass(1);
    assert_int_equal(t.sent, 1);
    write_entry(11);
    reply(status);
    assert_int_equal(t.told_count, 1);
    assert_int_equal(t.told[0], ERR_UNAVAILABLE);
    pass(1);
    assert_int_equal(t.sent, 2);
    reply(WIRE__STATUS__STATUS_OK);
    assert_int_equal(t.told_count, 2);
    assert_int_equal(t.told[1], ERR_OK);
    pass(5000);
    assert_int_equal(t.sent, 2);
    assert_true(commit_is_idle(t.router.commit, 1));
}

static void too_large_group_does_not_block(void **state)
{
    (void)state;
    refused_group_is_withdrawn_and_the_next_one_leaves(WIRE__STATUS__STATUS_LIMIT);
}

static void malformed_group_does_not_block(void **state)
{
    (void)state;
    refused_group_is_withdrawn_and_the_next_one_leaves(WIRE__STATUS__STATUS_INVALID);
}

static void group_of_a_busy_archive_is_repeated(void **state)
{
    (void)state;
    write_entry(10);
    pass(1);
    reply(WIRE__STATUS__STATUS_TEMPORARY);
    assert_int_equal(t.told_count, 0);
    pass(600);
    assert_int_equal(t.sent, 2);
    assert_int_equal(t.entries, 1);
}

static void watermark_is_pending_until_it_is_written(void **state)
{
    (void)state;
    commit_watermark(t.router.commit, 1, 9, 40);
    assert_int_equal(commit_pending_watermark(t.router.commit, 9), 40);
    assert_int_equal(commit_pending_watermark(t.router.commit, 8), 0);
    write_entry(50);
    pass(1);
    assert_int_equal(t.watermarks, 1);
    assert_int_equal(commit_pending_watermark(t.router.commit, 9), 40);
    reply(WIRE__STATUS__STATUS_OK);
    assert_int_equal(commit_pending_watermark(t.router.commit, 9), 0);
}

/* Else it were written under the epoch of the next owner (F08). */
static void watermark_of_a_shard_that_is_lost_is_not_written(void **state)
{
    (void)state;
    commit_watermark(t.router.commit, 1, 9, 40);
    t.epoch = 0;
    pass(300);
    assert_int_equal(t.sent, 0);
    assert_true(commit_is_idle(t.router.commit, 1));
}

static void small_groups_wait_for_more_while_messages_flow(void **state)
{
    (void)state;
    t.settings.commit_interval_ms = 20;
    write_entry(10);
    pass(1);
    assert_int_equal(t.sent, 1); /* the first one does not wait */
    reply(WIRE__STATUS__STATUS_OK);
    write_entry(11);
    pass(1);
    write_entry(12);
    pass(1);
    assert_int_equal(t.sent, 1);
    pass(20);
    assert_int_equal(t.sent, 2);
    assert_int_equal(t.entries, 2);
}

static void large_groups_wait_for_nothing(void **state)
{
    (void)state;
    t.settings.commit_interval_ms = 20;
    write_entry(10);
    pass(1);
    reply(WIRE__STATUS__STATUS_OK);
    for (int64_t id = 11; id < 11 + 64; id++) {
        struct origin origin = { { 1, 2 }, (uint32_t)id, 0 };
        struct stanza stanza = { .kind = STANZA_MESSAGE, .children = STR("<body>x</body>") };
        commit_entry(t.router.commit, 1, 9, id, &origin, &stanza);
    }
    pass(1);
    assert_int_equal(t.sent, 2);
    assert_int_equal(t.entries, 64);
}

#define COMMIT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        COMMIT_TEST(too_large_group_does_not_block),
        COMMIT_TEST(malformed_group_does_not_block),
        COMMIT_TEST(group_of_a_busy_archive_is_repeated),
        COMMIT_TEST(watermark_is_pending_until_it_is_written),
        COMMIT_TEST(watermark_of_a_shard_that_is_lost_is_not_written),
        COMMIT_TEST(small_groups_wait_for_more_while_messages_flow),
        COMMIT_TEST(large_groups_wait_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

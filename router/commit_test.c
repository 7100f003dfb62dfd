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
    struct peer archives[2];
    struct peer *items[2];
    struct peers peers;
    unsigned sent_to[2];
    uint64_t probed;
    struct link_config bus;
    uint64_t epoch;
    bool is_frame_small; /* nothing fits into one */
    unsigned fenced_shard;
    uint64_t fenced_epoch;
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

/* The links are the addresses of their peers; which one is chosen is told by the real peers.c. */
static size_t number_of(const struct link_peer *link)
{
    return (const void *)link == (const void *)&t.archives[1] ? 1 : 0;
}

const char *link_peer_node(const struct link_peer *link)
{
    return number_of(link) == 1 ? "a2" : "a1";
}

void *link_peer_data(const struct link_peer *link)
{
    return &t.archives[number_of(link)];
}

void link_peer_set_data(struct link_peer *link, void *data)
{
    (void)link;
    (void)data;
}

enum link_role link_peer_role(const struct link_peer *link)
{
    (void)link;
    return LINK_ROLE_ARCHIVE;
}

uint64_t link_peer_boot_epoch(const struct link_peer *link)
{
    (void)link;
    return 0;
}

struct link_peer *link_find_peer(struct link *link, const char *node)
{
    (void)link;
    (void)node;
    return NULL;
}

enum err link_send(struct link_peer *peer, struct str record)
{
    struct arena arena;
    const Wire__Envelope *envelope = NULL;
    arena_init(&arena, 0);
    assert_int_equal(wire_unpack(&arena, record, &envelope), ERR_OK);
    if (envelope->append->n_epochs == 0) {
        t.probed = envelope->append->request;
        arena_fini(&arena);
        return ERR_OK;
    }
    if (t.is_frame_small) {
        arena_fini(&arena);
        return ERR_INVALID;
    }
    t.sent_to[number_of(peer)]++;
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

void shard_fenced(struct shard_table *table, unsigned shard, uint64_t epoch)
{
    (void)table;
    t.fenced_shard = shard;
    t.fenced_epoch = epoch;
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
    for (size_t i = 0; i < 2; i++) {
        t.archives[i].link = (struct link_peer *)(void *)&t.archives[i];
        t.archives[i].role = LINK_ROLE_ARCHIVE;
        t.items[i] = &t.archives[i];
    }
    t.archives[0].is_up = true;
    t.peers = (struct peers){ .items = t.items, .count = 2 };
    t.router.peers = &t.peers;
    t.settings.archive_patience_ms = 2000;
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
    struct origin origin = { .session = { 1, 2 }, .counter = 3 };
    struct stanza stanza = { .kind = STANZA_MESSAGE, .children = STR("<body>x</body>") };
    commit_entry(t.router.commit, 1, 9, id, &origin, &stanza);
    commit_wait(t.router.commit, 1, on_done, NULL);
}

static void reply_to(size_t archive, uint64_t request, Wire__Status status)
{
    Wire__AppendReply message = WIRE__APPEND_REPLY__INIT;
    message.request = request;
    message.status = status;
    commit_on_reply(t.router.commit, &t.archives[archive], &message);
}

static void reply(Wire__Status status)
{
    reply_to(0, t.request, status);
}

/* A group leaves for one of two archive-svcs, which does not answer. Returns its number. */
static size_t go_silent(void)
{
    t.archives[1].is_up = true;
    write_entry(10);
    pass(1);
    assert_int_equal(t.sent, 1);
    pass(1900);
    assert_int_equal(t.sent, 1);
    return t.sent_to[1] == 1 ? 1 : 0;
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

static void group_that_is_too_large_for_the_next_archive_leaves_nothing(void **state)
{
    (void)state;
    t.archives[1].is_up = true;
    write_entry(10);
    pass(1);
    assert_int_equal(t.sent, 1);
    reply_to(t.sent_to[1], t.request, WIRE__STATUS__STATUS_TEMPORARY);
    reply_to(t.sent_to[1], t.request + 1, WIRE__STATUS__STATUS_OK); /* it is well again */
    t.is_frame_small = true;
    pass(600);
    assert_int_equal(t.told_count, 1);
    assert_int_equal(t.told[0], ERR_UNAVAILABLE);
    assert_true(commit_is_idle(t.router.commit, 1));
    t.is_frame_small = false;
    write_entry(11);
    pass(1);
    assert_int_equal(t.sent, 2);
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

/* G04: the pauses double, up to their longest, and no two routers keep step. */
static void repeats_back_off_with_jitter(void **state)
{
    (void)state;
    int64_t shortest = INT64_MAX;
    int64_t longest = 0;
    write_entry(10);
    pass(1);
    for (unsigned i = 1; i <= 40; i++) {
        unsigned sent = t.sent;
        int64_t ms = 0;
        reply(WIRE__STATUS__STATUS_TEMPORARY);
        while (t.sent == sent) {
            pass(10);
            ms += 10;
            assert_true(ms < 1000);
        }
        if (i == 1) {
            assert_in_range(ms, 50, 100);
        } else if (i > 4) {
            assert_in_range(ms, 500, 780);
            shortest = ms < shortest ? ms : shortest;
            longest = ms > longest ? ms : longest;
        }
    }
    assert_true(longest - shortest >= 50);
    reply(WIRE__STATUS__STATUS_OK);
    assert_int_equal(t.told_count, 1);
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
        struct origin origin = { .session = { 1, 2 }, .counter = (uint32_t)id };
        struct stanza stanza = { .kind = STANZA_MESSAGE, .children = STR("<body>x</body>") };
        commit_entry(t.router.commit, 1, 9, id, &origin, &stanza);
    }
    pass(1);
    assert_int_equal(t.sent, 2);
    assert_int_equal(t.entries, 64);
}

static void a_silent_archive_is_passed_over_until_it_answers(void **state)
{
    (void)state;
    size_t silent = go_silent();
    size_t other = 1 - silent;
    uint64_t first = t.request;
    pass(200);
    assert_int_equal(t.sent_to[other], 1);
    assert_int_equal(t.request, first); /* the same batch */
    reply_to(other, first, WIRE__STATUS__STATUS_OK);
    assert_int_equal(t.told_count, 1);
    assert_int_equal(t.told[0], ERR_OK);

    write_entry(11);
    pass(1);
    assert_int_equal(t.sent_to[other], 2);
    uint64_t second = t.request;
    reply_to(silent, first, WIRE__STATUS__STATUS_OK); /* late: decides nothing */
    assert_int_equal(t.told_count, 1);
    reply_to(other, second, WIRE__STATUS__STATUS_OK);
    assert_int_equal(t.told_count, 2);
    write_entry(12);
    pass(1);
    assert_int_equal(t.sent_to[silent], 2);
    assert_int_equal(t.probed, 0);
}

static void two_silent_archives_get_one_copy_each(void **state)
{
    (void)state;
    size_t silent = go_silent();
    for (int i = 0; i < 80; i++) {
        pass(100);
    }
    assert_int_equal(t.sent, 2);
    assert_int_equal(t.sent_to[1 - silent], 1);
    reply_to(silent, t.request, WIRE__STATUS__STATUS_OK);
    assert_int_equal(t.told_count, 1);
    reply_to(1 - silent, t.request, WIRE__STATUS__STATUS_OK);
    assert_int_equal(t.told_count, 1);
}

static void one_archive_alone_is_not_asked_twice(void **state)
{
    (void)state;
    write_entry(10);
    pass(1);
    pass(9000);
    assert_int_equal(t.sent, 1);
}

/* It could not write, and said so when another one had: it is asked for nothing, once in a while.
 */
static void an_archive_that_cannot_write_is_probed(void **state)
{
    (void)state;
    size_t unwell = go_silent();
    pass(200);
    reply_to(unwell, t.request, WIRE__STATUS__STATUS_TEMPORARY);
    pass(600);
    assert_int_equal(t.sent, 2); /* the other one has it */
    reply_to(1 - unwell, t.request, WIRE__STATUS__STATUS_OK);
    assert_int_equal(t.told_count, 1);
    write_entry(11);
    pass(1);
    assert_int_equal(t.probed, 0); /* too early */
    reply_to(1 - unwell, t.request, WIRE__STATUS__STATUS_OK);
    pass(2000);
    write_entry(12);
    pass(1);
    assert_int_not_equal(t.probed, 0);
    assert_int_equal(t.sent_to[1 - unwell], 3);
    reply_to(1 - unwell, t.request, WIRE__STATUS__STATUS_OK);
    reply_to(unwell, t.probed, WIRE__STATUS__STATUS_OK);
    write_entry(13);
    pass(1);
    assert_int_equal(t.sent_to[unwell], 2);
}

/* The shard was lost and came back while archive-svc was slow. */
static void a_group_is_fenced_under_its_own_epoch(void **state)
{
    (void)state;
    write_entry(10);
    pass(1);
    commit_drop_shard(t.router.commit, 1);
    t.epoch = 9;
    write_entry(11);
    uint32_t shard = 1;
    Wire__AppendReply message = WIRE__APPEND_REPLY__INIT;
    message.request = t.request;
    message.fenced = &shard;
    message.n_fenced = 1;
    commit_on_reply(t.router.commit, &t.archives[0], &message);
    assert_int_equal(t.fenced_shard, 1);
    assert_int_equal(t.fenced_epoch, 7);
    pass(1);
    assert_int_equal(t.sent, 2); /* what came under the new one leaves */
    message.request = t.request;
    commit_on_reply(t.router.commit, &t.archives[0], &message);
    assert_int_equal(t.fenced_epoch, 9);
}

#define COMMIT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        COMMIT_TEST(too_large_group_does_not_block),
        COMMIT_TEST(malformed_group_does_not_block),
        COMMIT_TEST(group_that_is_too_large_for_the_next_archive_leaves_nothing),
        COMMIT_TEST(group_of_a_busy_archive_is_repeated),
        COMMIT_TEST(repeats_back_off_with_jitter),
        COMMIT_TEST(watermark_is_pending_until_it_is_written),
        COMMIT_TEST(watermark_of_a_shard_that_is_lost_is_not_written),
        COMMIT_TEST(small_groups_wait_for_more_while_messages_flow),
        COMMIT_TEST(large_groups_wait_for_nothing),
        COMMIT_TEST(a_silent_archive_is_passed_over_until_it_answers),
        COMMIT_TEST(two_silent_archives_get_one_copy_each),
        COMMIT_TEST(one_archive_alone_is_not_asked_twice),
        COMMIT_TEST(a_group_is_fenced_under_its_own_epoch),
        COMMIT_TEST(an_archive_that_cannot_write_is_probed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

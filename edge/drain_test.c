/* How an edge ends its streams: in shares, spread over the window, with jitter, each in its way. */
#include "edge/drain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <utlist.h>

#include <cmocka.h>

#include "chassis/base/mem.h"
#include "chassis/loop.h"
#include "chassis/registry.h"
#include "edge/edge.h"
#include "edge/listeners.h"
#include "edge/session_table.h"
#include "edge/sm.h"
#include "edge/stream.h"

#define STEP_MS   50
#define WINDOW_MS 5000
#define STEPS     (WINDOW_MS / STEP_MS)
#define CLIENTS   1000

static struct {
    struct fake_clock time;
    struct clock clock;
    struct edge edge;
    struct settings settings;
    struct session sessions[CLIENTS];
    struct sm sms[CLIENTS];
    unsigned ended, detached, shut_down, pauses, leaves, drains;
    bool is_ready;
} t;

/* ---- what a drain uses */

static void end(struct stream *stream)
{
    DL_DELETE(t.edge.streams, stream);
    t.edge.stream_count--;
    t.ended++;
    free(stream);
}

void stream_detach(struct stream *stream)
{
    assert_true(session_may_resume(stream->session));
    t.detached++;
    end(stream);
}

void stream_fail(struct stream *stream, enum stream_condition condition, struct str text)
{
    (void)text;
    assert_true(!stream->session || !session_may_resume(stream->session));
    assert_int_equal(condition, STREAM_ERROR_SYSTEM_SHUTDOWN);
    t.shut_down++;
    end(stream);
}

void listeners_pause(struct listeners *listeners)
{
    (void)listeners;
    t.pauses++;
}

void registry_leave(struct registry *registry)
{
    (void)registry;
    t.leaves++;
}

void service_set_ready(struct service_context *service, bool is_ready)
{
    (void)service;
    t.is_ready = is_ready;
}

void service_drained(struct service_context *service)
{
    (void)service;
    t.drains++;
}

/* ---- the edge */

static int setup(void **state)
{
    (void)state;
    memset(&t, 0, sizeof(t));
    t.time.monotonic_ms = 1000;
    t.clock = fake_clock_clock(&t.time);
    t.is_ready = true;
    t.settings.c2s_copy.drain_window_ms = WINDOW_MS;
    t.settings.c2s = &t.settings.c2s_copy;
    t.edge.settings = &t.settings;
    t.edge.loop = loop_create(&t.clock);
    t.edge.sessions = session_table_create(1);
    t.edge.drain = drain_create(&t.edge);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    drain_destroy(t.edge.drain);
    session_table_destroy(t.edge.sessions);
    loop_destroy(t.edge.loop);
    return 0;
}

/* NULL: still negotiates. */
static void connect_client(struct session *session)
{
    struct stream *stream = MEM_NEW(struct stream);
    stream->session = session;
    DL_APPEND(t.edge.streams, stream);
    t.edge.stream_count++;
}

/* Every fourth cannot resume, every tenth has no session yet. */
static void connect_clients(void)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        t.sms[i] = (struct sm){ .phase = SM_ON, .may_resume = i % 4 != 0 };
        t.sessions[i].sm = &t.sms[i];
        connect_client(i % 10 == 9 ? NULL : &t.sessions[i]);
    }
}

/* Returns how many streams ended in it. */
static unsigned step(void)
{
    unsigned before = t.ended;
    (void)timer_wheel_run(loop_timers(t.edge.loop));
    t.time.monotonic_ms += STEP_MS;
    return t.ended - before;
}

/* ---- tests */

static void streams_end_spread_over_the_window(void **state)
{
    (void)state;
    connect_clients();
    drain_start(t.edge.drain);
    assert_false(t.is_ready);
    assert_int_equal(t.pauses, 1);
    unsigned uneven = 0;
    for (unsigned i = 0; i < STEPS; i++) {
        unsigned size = step();
        /* Half to one and a half of an equal share of what is left, and the rest at the end. */
        unsigned share = (CLIENTS - (t.ended - size)) / (STEPS - i) + 1;
        assert_in_range(size, i + 1 < STEPS ? share / 2 : 0, share / 2 + share);
        uneven += size != share;
        if (i + 1 == STEPS / 2) {
            assert_in_range(t.ended, CLIENTS * 4 / 10, CLIENTS * 7 / 10);
        }
        if (i + 1 == STEPS * 8 / 10) {
            assert_in_range(t.ended, CLIENTS * 7 / 10, CLIENTS - 1);
        }
    }
    assert_true(uneven > STEPS / 2); /* jitter */
    assert_int_equal(t.ended, CLIENTS);
    assert_null(t.edge.streams);
}

static void who_may_resume_is_detached_and_others_are_told(void **state)
{
    (void)state;
    connect_clients();
    drain_start(t.edge.drain);
    for (unsigned i = 0; i <= STEPS; i++) {
        (void)step();
    }
    assert_int_equal(t.detached, 650);
    assert_int_equal(t.shut_down, 350);
}

static void without_a_window_all_end_at_once(void **state)
{
    (void)state;
    t.settings.c2s_copy.drain_window_ms = 0;
    connect_clients();
    drain_start(t.edge.drain);
    assert_int_equal(step(), CLIENTS);
}

static void drain_ends_when_all_is_answered_for(void **state)
{
    (void)state;
    connect_client(NULL);
    drain_start(t.edge.drain);
    t.edge.sessions->count[SESSION_LINGERING] = 1;
    for (unsigned i = 0; i < 3 * STEPS; i++) {
        (void)step();
    }
    assert_int_equal(t.ended, 1);
    assert_int_equal(t.leaves + t.drains, 0);
    t.edge.sessions->count[SESSION_LINGERING] = 0;
    for (unsigned i = 0; i < 10; i++) {
        (void)step();
    }
    assert_int_equal(t.leaves, 1);
    assert_int_equal(t.drains, 1);
}

#define DRAIN_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DRAIN_TEST(streams_end_spread_over_the_window),
        DRAIN_TEST(who_may_resume_is_detached_and_others_are_told),
        DRAIN_TEST(without_a_window_all_end_at_once),
        DRAIN_TEST(drain_ends_when_all_is_answered_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

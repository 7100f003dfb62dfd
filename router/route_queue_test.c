/* Routes that wait, in order, until they are answered. */
#include "router/route_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char peer_a;
static const char peer_b;

static int called;
static enum err last;

static void note(void *context, enum err err)
{
    (void)context;
    called++;
    last = err;
}

static int begin(void **state)
{
    static struct route_queue queue;
    route_queue_init(&queue, 4);
    called = 0;
    *state = &queue;
    return 0;
}

static int end(void **state)
{
    route_queue_fini(*state);
    return 0;
}

static void the_oldest_goes_first(void **state)
{
    struct route_queue *queue = *state;
    struct route *one = route_queue_add(queue, 1, 0, note, NULL);
    struct route *two = route_queue_add(queue, 1, 0, note, NULL);
    assert_ptr_equal(route_queue_next(queue, 1), one);
    route_queue_sent(queue, one, &peer_a);
    assert_ptr_equal(route_queue_next(queue, 1), two);
    route_queue_sent(queue, two, &peer_a);
    assert_null(route_queue_next(queue, 1));
    assert_null(route_queue_next(queue, 2));
    assert_int_equal(queue->waiting, 0);
}

static void a_former_home_gives_all_back_in_order(void **state)
{
    struct route_queue *queue = *state;
    struct route *one = route_queue_add(queue, 1, 0, note, NULL);
    struct route *two = route_queue_add(queue, 1, 0, note, NULL);
    struct route *other = route_queue_add(queue, 2, 0, note, NULL);
    route_queue_sent(queue, one, &peer_a);
    route_queue_sent(queue, two, &peer_a);
    route_queue_sent(queue, other, &peer_a);
    route_queue_unsend(queue, 1, &peer_b);
    assert_null(route_queue_next(queue, 1));
    route_queue_unsend(queue, 1, &peer_a);
    assert_ptr_equal(route_queue_next(queue, 1), one);
    assert_null(route_queue_next(queue, 2));
    assert_int_equal(queue->waiting, 2);
}

/* F07, F08: a frozen home does not hold back what a new one can take. */
static void a_new_home_gets_all_that_others_owe(void **state)
{
    struct route_queue *queue = *state;
    struct route *one = route_queue_add(queue, 1, 0, note, NULL);
    struct route *two = route_queue_add(queue, 1, 0, note, NULL);
    struct route *three = route_queue_add(queue, 1, 0, note, NULL);
    route_queue_sent(queue, one, &peer_a);
    route_queue_sent(queue, two, &peer_b);
    route_queue_unsend_others(queue, 1, &peer_b);
    assert_ptr_equal(route_queue_next(queue, 1), one);
    assert_int_equal(queue->waiting, 2);
    route_queue_sent(queue, one, &peer_b);
    assert_ptr_equal(route_queue_next(queue, 1), three);
    route_queue_unsend_others(queue, 1, NULL);
    assert_int_equal(queue->waiting, 3);
}

static void an_answer_ends_a_route_once(void **state)
{
    struct route_queue *queue = *state;
    struct route *route = route_queue_add(queue, 3, 0, note, NULL);
    uint64_t request = route->request;
    route_queue_sent(queue, route, &peer_a);
    route_queue_finish(queue, route_queue_find(queue, request), ERR_OK);
    assert_int_equal(called, 1);
    assert_null(route_queue_find(queue, request));
}

/* G01: only what nobody can have seen comes back. */
static void what_was_never_sent_expires(void **state)
{
    struct route_queue *queue = *state;
    struct route *seen = route_queue_add(queue, 1, 0, note, NULL);
    route_queue_sent(queue, seen, &peer_a);
    route_queue_unsend(queue, 1, &peer_a);
    (void)route_queue_add(queue, 1, 10, note, NULL);
    (void)route_queue_add(queue, 1, 11, note, NULL);
    route_queue_expire(queue, 10);
    assert_int_equal(called, 1);
    assert_int_equal(last, ERR_UNAVAILABLE);
    assert_int_equal(queue->waiting, 2);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_oldest_goes_first),
        CASE(a_former_home_gives_all_back_in_order),
        CASE(a_new_home_gets_all_that_others_owe),
        CASE(an_answer_ends_a_route_once),
        CASE(what_was_never_sent_expires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What waits for a client that is not looked at. */
#include "router/entity/csi_buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/xmpp/ns.h"

static const struct csi_limits limits = { .max_held = 20, .max_bytes = 1024 };

static int setup(void **state)
{
    *state = csi_buffer_create();
    return 0;
}

static int teardown(void **state)
{
    csi_buffer_destroy(*state);
    return 0;
}

static struct stanza presence(const char *from, const char *children)
{
    return (struct stanza){
        .kind = STANZA_PRESENCE,
        .from = str_from_cstr(from),
        .children = str_from_cstr(children),
    };
}

static void assert_next(struct csi_buffer *buffer, const char *from, const char *children)
{
    struct csi_held *held = csi_buffer_pop(buffer);
    assert_non_null(held);
    assert_true(str_equal(held->stanza.from, str_from_cstr(from)));
    assert_true(str_equal(held->stanza.children, str_from_cstr(children)));
    csi_held_destroy(held);
}

static void only_states_may_wait(void **state)
{
    (void)state;
    struct stanza stanza = { .kind = STANZA_PRESENCE };
    assert_true(csi_may_wait(&stanza));
    stanza.type = STANZA_TYPE_UNAVAILABLE;
    assert_true(csi_may_wait(&stanza));
    stanza.type = STANZA_TYPE_SUBSCRIBE;
    assert_false(csi_may_wait(&stanza));
    stanza.type = STANZA_TYPE_ERROR;
    assert_false(csi_may_wait(&stanza));
    stanza = (struct stanza){ .kind = STANZA_MESSAGE, .flags = STANZA_CHAT_STATE_ONLY };
    assert_true(csi_may_wait(&stanza));
    stanza.flags |= STANZA_HINT_STORE;
    assert_false(csi_may_wait(&stanza));
    stanza.flags = STANZA_HAS_BODY;
    assert_false(csi_may_wait(&stanza));
    stanza = (struct stanza){ .kind = STANZA_IQ, .type = STANZA_TYPE_RESULT };
    assert_false(csi_may_wait(&stanza));
}

static void newest_of_each_sender_stays(void **state)
{
    struct csi_buffer *buffer = *state;
    struct stanza stanza = presence("a@x/1", "<one/>");
    assert_true(csi_buffer_hold(buffer, &stanza, &limits));
    stanza = presence("b@x/1", "<one/>");
    assert_true(csi_buffer_hold(buffer, &stanza, &limits));
    stanza = presence("a@x/1", "<two/>");
    assert_true(csi_buffer_hold(buffer, &stanza, &limits));
    struct stanza typing = { .kind = STANZA_MESSAGE, .from = STR("a@x/1") };
    assert_true(csi_buffer_hold(buffer, &typing, &limits));
    assert_int_equal(buffer->count, 3);
    assert_next(buffer, "b@x/1", "<one/>");
    assert_next(buffer, "a@x/1", "<two/>");
    assert_next(buffer, "a@x/1", "");
    assert_null(csi_buffer_pop(buffer));
    assert_int_equal(buffer->bytes, 0);
    assert_true(csi_buffer_hold(buffer, &typing, &limits)); /* goes on after having been empty */
    assert_next(buffer, "a@x/1", "");
}

static void copies_of_different_people_all_stay(void **state) /* XEP-0280 */
{
    struct csi_buffer *buffer = *state;
    struct stanza copy = {
        .kind = STANZA_MESSAGE,
        .flags = STANZA_CHAT_STATE_ONLY,
        .from = STR("alice@example.org"),
        .payload_ns = STR(NS_CARBONS),
        .children = STR("<received/>"),
    };
    assert_true(csi_may_wait(&copy));
    assert_true(csi_buffer_hold(buffer, &copy, &limits));
    copy.children = STR("<sent/>");
    assert_true(csi_buffer_hold(buffer, &copy, &limits));
    struct stanza state_of_one = copy;
    state_of_one.payload_ns = STR(NS_CHAT_STATES);
    assert_true(csi_buffer_hold(buffer, &state_of_one, &limits));
    assert_next(buffer, "alice@example.org", "<received/>");
    assert_next(buffer, "alice@example.org", "<sent/>");
}

static void room_is_limited(void **state)
{
    struct csi_buffer *buffer = *state;
    char from[32];
    for (int i = 0; i < (int)limits.max_held; i++) {
        (void)snprintf(from, sizeof(from), "u%d@x/1", i);
        struct stanza stanza = presence(from, "");
        assert_true(csi_buffer_hold(buffer, &stanza, &limits));
    }
    struct stanza stanza = presence("one@x/more", "");
    assert_false(csi_buffer_hold(buffer, &stanza, &limits));
    stanza = presence("u7@x/1", "<new/>");
    assert_true(csi_buffer_hold(buffer, &stanza, &limits));
    assert_int_equal(buffer->count, (int)limits.max_held);

    const struct csi_limits bytes = { .max_held = 100, .max_bytes = buffer->bytes + 8 };
    stanza = presence("one@x/more", "");
    assert_false(csi_buffer_hold(buffer, &stanza, &bytes));
    const struct csi_limits off = { .max_held = 0, .max_bytes = 1024 };
    assert_false(csi_buffer_hold(buffer, &stanza, &off));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_states_may_wait),
        cmocka_unit_test_setup_teardown(newest_of_each_sender_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_of_different_people_all_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(room_is_limited, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Answers that nobody waits for: the session ends where it was made. Those to resumes are in
 * uplink_sm_test.c. */
#include "edge/uplink_fixture.h"

static void take_late_bind(void)
{
    Wire__Id id = WIRE_ID_INIT(((struct id128){ 9, 9 }));
    Wire__BindReply reply = WIRE__BIND_REPLY__INIT;
    reply.request = 12345;
    reply.session = &id;
    reply.full = wire_bytes(STR("user@example.org/desk"));
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_BIND_REPLY;
    envelope.bind_reply = &reply;
    uplink_take(t.edge.uplink, &t.one, &envelope);
}

static void late_bind_of_a_client_that_left_is_closed(void **state)
{
    (void)state;
    map_says(1, 1, 10);
    take_late_bind();
    assert_said(&t.one, "close");
}

static void session_of_a_shard_that_moved_during_its_bind_is_announced(void **state)
{
    (void)state;
    map_says(1, 2, 10);
    take_late_bind(); /* from the former owner */
    assert_said(&t.two, "announce:0 close");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(late_bind_of_a_client_that_left_is_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(
                session_of_a_shard_that_moved_during_its_bind_is_announced, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

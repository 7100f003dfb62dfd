/* What is sent to a component: followed, sent again, refused. */
#include "tests/lib/fake_components.h"

static unsigned answers;
static enum err last_answer;

static void count_answer(void *context, enum err err)
{
    (void)context;
    answers++;
    last_answer = err;
}

static int start(void **state)
{
    answers = 0;
    last_answer = ERR_OK;
    return comp_start(state);
}

static void route(uint32_t counter, const char *text)
{
    char children[64];
    (void)snprintf(children, sizeof(children), "<body>%s</body>", text);
    struct stanza message = fake_message(ALICE, "x@" COMP, children);
    struct origin origin = { .session = { 7, 7 }, .counter = counter };
    entity_on_route(fake.router.entities, &origin, &message, count_answer, NULL);
    fake_run();
}

static int64_t oldest_sent(void)
{
    return comp_of(COMP)->sent->id;
}

static void message_is_answered_when_the_component_has_it(void **state)
{
    (void)state;
    struct id128 session = comp_connect("e1", COMP, "one");
    fake_clear();
    route(1, "hello");
    assert_seen(fake_take_out(), "DELIVER e1 one kept <message");
    assert_int_equal(answers, 0);
    comp_delivered("e2", COMP, session, oldest_sent()); /* not the one that has it */
    assert_int_equal(answers, 0);
    comp_delivered("e1", COMP, session, oldest_sent() + 1);
    assert_int_equal(answers, 0);
    comp_delivered("e1", COMP, session, oldest_sent());
    assert_int_equal(answers, 1);
    assert_int_equal(last_answer, ERR_OK);
    assert_int_equal(comp_of(COMP)->count, 0);
    assert_int_equal(comp_of(COMP)->bytes, 0);
}

static void request_is_sent_and_forgotten(void **state)
{
    (void)state;
    (void)comp_connect("e1", COMP, "one");
    fake_clear();
    struct stanza iq = fake_iq(ALICE, COMP, STANZA_TYPE_GET, NS_PING, "ping");
    static const struct origin none;
    entity_on_route(fake.router.entities, &none, &iq, NULL, NULL);
    assert_seen(fake_take_out(), "DELIVER e1 one volatile <iq");
    assert_int_equal(comp_of(COMP)->count, 0);
}

static void clients_message_is_handled_when_the_component_has_it(void **state)
{
    (void)state;
    struct id128 session = comp_connect("e2", COMP, "one");
    fake_login("e1", ALICE, 0);
    fake_clear();
    struct stanza message = fake_message(ALICE, COMP, "<body>x</body>");
    fake_input("e1", 2, &message);
    const char *out = fake_take_out();
    assert_seen(out, "DELIVER e2 one kept <message");
    assert_not_seen(out, "HANDLED");
    comp_delivered("e2", COMP, session, oldest_sent());
    assert_seen(fake_take_out(), "HANDLED e1 phone 2");
}

static void what_comes_while_it_is_away_waits(void **state)
{
    (void)state;
    components_on_shard_gained(fake.router.components, comp_of(COMP)->shard);
    route(1, "one");
    route(2, "two");
    assert_not_seen(fake_take_out(), "DELIVER");
    (void)comp_connect("e1", COMP, "one");
    const char *out = fake_take_out();
    assert_before(out, "BOUND", "one</body>");
    assert_before(out, "one</body>", "two</body>");
}

static void what_waits_too_long_comes_back(void **state)
{
    (void)state;
    struct id128 session = comp_connect("e1", COMP, "one");
    comp_close("e1", COMP, session);
    fake_login("e1", ALICE, 0);
    fake_clear();
    route(1, "one");
    fake_advance(WAIT - 100);
    assert_not_seen(fake_take_out(), "remote-server-timeout");
    fake_advance(200);
    assert_seen(fake_take_out(), "remote-server-timeout");
    assert_int_equal(answers, 1);
    route(2, "two"); /* at once now */
    assert_seen(fake_take_out(), "remote-server-timeout");
    assert_int_equal(answers, 2);
    struct stanza error = fake_message(ALICE, COMP, "<error/>");
    error.type = STANZA_TYPE_ERROR;
    static const struct origin none;
    entity_on_route(fake.router.entities, &none, &error, NULL, NULL);
    fake_run();
    assert_not_seen(fake_take_out(), "DELIVER"); /* C07 */
}

/* Broadcasts are dropped; who joins a room is told. */
static void presence_comes_back_from_a_full_address_only(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake_clear();
    static const struct origin none;
    struct stanza presence = fake_presence(ALICE, STANZA_TYPE_NONE, 0);
    presence.to = STR("friend@" COMP);
    entity_on_route(fake.router.entities, &none, &presence, NULL, NULL);
    fake_run();
    assert_not_seen(fake_take_out(), "remote-server-timeout");
    presence.to = STR("room@" COMP "/nick");
    entity_on_route(fake.router.entities, &none, &presence, NULL, NULL);
    fake_run();
    assert_seen(fake_take_out(), "remote-server-timeout");
}

/* It was replaced, and its edge does not even say that it has ended. */
static void one_that_does_not_end_is_given_up(void **state)
{
    (void)state;
    (void)comp_connect("e1", COMP, "one");
    route(1, "hello");
    (void)comp_connect("e2", COMP, "two");
    fake_clear();
    fake_advance(STUCK + 100);
    const char *out = fake_take_out();
    assert_seen(out, "KICK e1 one connection-timeout");
    assert_seen(out, "DELIVER e2 two kept");
}

static void what_a_lost_connection_had_goes_to_the_next(void **state)
{
    (void)state;
    struct id128 first = comp_connect("e1", COMP, "one");
    route(1, "one");
    route(2, "two");
    comp_close("e1", COMP, first);
    route(3, "three");
    assert_int_equal(answers, 0);
    fake_clear();
    (void)comp_connect("e2", COMP, "two");
    const char *out = fake_take_out();
    assert_before(out, "DELIVER e2", "one</body>");
    assert_before(out, "one</body>", "two</body>");
    assert_before(out, "two</body>", "three</body>");
}

/* The old edge says last what its component has. */
static void former_connection_keeps_what_it_was_sent_until_it_ends(void **state)
{
    (void)state;
    struct id128 first = comp_connect("e1", COMP, "one");
    route(1, "one");
    route(2, "two");
    int64_t id = oldest_sent();
    fake_clear();
    (void)comp_connect("e2", COMP, "two");
    assert_not_seen(fake_take_out(), "DELIVER");
    comp_delivered("e1", COMP, first, id);
    assert_int_equal(answers, 1);
    comp_close("e1", COMP, first);
    const char *out = fake_take_out();
    assert_seen(out, "two</body>");
    assert_not_seen(out, "one</body>");
}

/* F05 */
static void repeat_has_no_second_effect(void **state)
{
    (void)state;
    struct id128 session = comp_connect("e1", COMP, "one");
    route(1, "hello");
    int64_t id = oldest_sent();
    fake_clear();
    route(1, "hello");
    assert_int_equal(answers, 0);
    comp_delivered("e1", COMP, session, id);
    assert_int_equal(answers, 2);
    route(1, "hello");
    assert_int_equal(answers, 3);
    assert_not_seen(fake_take_out(), "DELIVER");
}

/* P5: the error may have been lost with the home of the sender, who asks again. It is not delivered
 * either, when the component is back by then. */
static void what_came_back_is_answered_again(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    route(1, "hello");
    assert_seen(fake_take_out(), "remote-server-timeout");
    assert_int_equal(last_answer, ERR_OK);
    (void)comp_connect("e1", COMP, "one");
    fake_clear();
    route(1, "hello");
    assert_int_equal(answers, 2);
    assert_int_equal(last_answer, ERR_DENIED); /* its home tells the sender */
    assert_not_seen(fake_take_out(), "DELIVER e1 one");
}

/* RFC 6121 §3.1.3: the server answers for a contact; no two of these are the same stanza. */
static void what_the_server_says_is_never_a_repeat(void **state)
{
    (void)state;
    struct id128 session = comp_connect("e1", COMP, "one");
    static const struct origin none;
    struct stanza subscribed = fake_presence("alice@example.org", STANZA_TYPE_SUBSCRIBED, 0);
    subscribed.to = STR("friend@" COMP);
    for (unsigned i = 1; i <= 2; i++) {
        fake_clear();
        entity_on_route(fake.router.entities, &none, &subscribed, count_answer, NULL);
        fake_run();
        assert_seen(fake_take_out(), "DELIVER e1 one kept <presence");
        assert_int_equal(comp_of(COMP)->sent_count, i);
    }
    assert_true(comp_of(COMP)->sent->id != comp_of(COMP)->sent->next->id);
    comp_delivered("e1", COMP, session, oldest_sent());
    comp_delivered("e1", COMP, session, oldest_sent());
    assert_int_equal(answers, 2);
}

/* The next home gives it the same number, by which the edge knows it. */
static void repeat_at_the_next_home_has_the_same_number(void **state)
{
    (void)state;
    (void)comp_connect("e1", COMP, "one");
    route(1, "hello");
    int64_t id = oldest_sent();
    components_drop_shard(fake.router.components, comp_of(COMP)->shard);
    assert_int_equal(last_answer, ERR_FENCED);
    (void)comp_connect("e1", COMP, "one");
    route(1, "hello");
    assert_int_equal(oldest_sent(), id);
    assert_true(id > 0);
}

static void announced_again_it_is_sent_again(void **state)
{
    (void)state;
    struct id128 session = comp_connect("e1", COMP, "one");
    route(1, "hello");
    fake_clear();
    char *full = str_to_cstr(component_connection(comp_of(COMP))->full);
    comp_announce("e1", full, session, 0);
    assert_seen(fake_take_out(), "DELIVER e1 one kept");
    free(full);
}

/* C22 */
static void one_that_takes_nothing_is_cut_off(void **state)
{
    (void)state;
    (void)comp_connect("e1", COMP, "one");
    fake_login("e2", ALICE, 0);
    route(1, "hello");
    fake_clear();
    fake_advance(STUCK - 100);
    assert_not_seen(fake_take_out(), "KICK");
    fake_advance(200);
    assert_seen(fake_take_out(), "KICK e1 one connection-timeout");
    assert_null(component_connection(comp_of(COMP)));
    fake_advance(WAIT + 100);
    assert_seen(fake_take_out(), "remote-server-timeout");
    assert_int_equal(answers, 1);
}

static void too_much_is_refused(void **state)
{
    (void)state;
    components_on_shard_gained(fake.router.components, comp_of(COMP)->shard);
    fake_login("e2", ALICE, 0);
    fake.settings.max_mailbox = 3;
    for (uint32_t i = 1; i <= 3; i++) {
        route(i, "x");
    }
    assert_int_equal(answers, 0);
    fake_clear();
    route(4, "x");
    assert_int_equal(answers, 1);
    assert_seen(fake_take_out(), "resource-constraint");
    fake.settings.max_mailbox = 100;
}

static void full_link_is_tried_again(void **state)
{
    (void)state;
    (void)comp_connect("e1", COMP, "one");
    fake_clear();
    fake.full_edge = "e1";
    route(1, "one");
    fake.full_edge = NULL;
    assert_not_seen(fake_take_out(), "DELIVER");
    fake_advance(200);
    assert_seen(fake_take_out(), "DELIVER e1 one kept");
    fake.dead_edge = "e1";
    route(2, "two");
    assert_null(component_connection(comp_of(COMP)));
    fake.dead_edge = NULL;
}

/* A router that ends in the middle leaves nothing behind; the sanitizer looks. */
static void end_of_the_process(void **state)
{
    (void)state;
    (void)comp_connect("e1", COMP, "one");
    route(1, "sent");
    fake.full_edge = "e1";
    route(2, "waiting");
    fake.full_edge = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, comp_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(message_is_answered_when_the_component_has_it),
        TEST(request_is_sent_and_forgotten),
        TEST(clients_message_is_handled_when_the_component_has_it),
        TEST(what_comes_while_it_is_away_waits),
        TEST(what_waits_too_long_comes_back),
        TEST(presence_comes_back_from_a_full_address_only),
        TEST(one_that_does_not_end_is_given_up),
        TEST(what_a_lost_connection_had_goes_to_the_next),
        TEST(former_connection_keeps_what_it_was_sent_until_it_ends),
        TEST(repeat_has_no_second_effect),
        TEST(what_came_back_is_answered_again),
        TEST(what_the_server_says_is_never_a_repeat),
        TEST(repeat_at_the_next_home_has_the_same_number),
        TEST(announced_again_it_is_sent_again),
        TEST(one_that_takes_nothing_is_cut_off),
        TEST(too_much_is_refused),
        TEST(full_link_is_tried_again),
        TEST(end_of_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What hosts say and announce, over changes of the configuration. */
#include "router/host_info.h"

#include "tests/lib/fake_router.h"

static struct host_info *info;

static int start(void **state)
{
    info = host_info_create();
    return fake_start(state);
}

static int stop(void **state)
{
    host_info_destroy(info);
    return fake_stop(state);
}

static struct caps_hashes announced(size_t at)
{
    struct host_announcement said;
    assert_true(host_info_get(info, at, &said));
    return said.hashes;
}

/* The first one of XEP-0390, as a node. */
static struct str node_of(const struct caps_hashes *hashes)
{
    static char node[128];
    struct buf xml;
    buf_init(&xml, 0);
    caps_write_announced(&xml, hashes);
    buf_append_char(&xml, '\0');
    (void)snprintf(
            node, sizeof(node), "urn:xmpp:caps#sha-256.%.44s", strstr(xml.data, "256'>") + 5);
    buf_fini(&xml);
    return str_from_cstr(node);
}

static void what_is_announced_is_the_hash_of_the_answer(void **state)
{
    (void)state;
    host_info_refresh(info, &fake.settings);
    assert_int_equal(host_info_count(info), 1);
    struct caps_hashes hashes = announced(0);
    struct buf answer;
    buf_init(&answer, 0);
    buf_append_literal(&answer, "<query xmlns='http://jabber.org/protocol/disco#info'>");
    size_t start_of_children = answer.len;
    host_info_write(&fake.settings, &fake.host, &answer);
    struct str children = { answer.data + start_of_children, answer.len - start_of_children };
    struct str found = host_info_find(info, STR("example.org"), node_of(&hashes));
    assert_true(str_equal(children, found));
    buf_append_literal(&answer, "</query>");
    struct arena arena;
    arena_init(&arena, 0);
    struct element *query = NULL;
    assert_int_equal(element_parse(&arena, buf_view(&answer), STR(NS_CLIENT), &query), ERR_OK);
    struct caps_hashes again;
    assert_int_equal(caps_hash(&arena, query, &again), ERR_OK);
    assert_memory_equal(&hashes, &again, sizeof(hashes));
    arena_fini(&arena);
    buf_fini(&answer);
}

static void hosts_differ_and_strangers_have_none(void **state)
{
    (void)state;
    struct host hosts[] = {
        { .domain = STR("example.org"), .registration = true },
        { .domain = STR("closed.example") },
        { .domain = STR("gone.example"), .formerly = true },
        { .domain = STR("twin.example"), .registration = true },
    };
    fake.settings.hosts = hosts;
    fake.settings.host_count = 4;
    host_info_refresh(info, &fake.settings);
    assert_int_equal(host_info_count(info), 3);
    struct caps_hashes open = announced(0);
    struct caps_hashes closed = announced(1);
    struct caps_hashes twin = announced(2);
    assert_memory_not_equal(&open, &closed, sizeof(open));
    assert_memory_equal(&open, &twin, sizeof(open));
    assert_int_equal(host_info_find(info, STR("closed.example"), node_of(&open)).len, 0);
    assert_int_equal(host_info_find(info, STR("gone.example"), node_of(&open)).len, 0);
    assert_int_equal(host_info_find(NULL, STR("example.org"), node_of(&open)).len, 0);
}

static void former_ones_are_answered_for_a_while(void **state) /* XEP-0390 §6.1 */
{
    (void)state;
    const struct external_service service = { .type = STR("stun"), .host = STR("x") };
    fake.settings.external_services = &service;
    struct caps_hashes said[4];
    for (unsigned i = 0; i < 4; i++) {
        fake.host.registration = i % 2 == 0;
        fake.settings.external_service_count = i / 2;
        host_info_refresh(info, &fake.settings);
        host_info_refresh(info, &fake.settings); /* nothing new: nothing is forgotten */
        said[i] = announced(0);
    }
    assert_int_equal(host_info_find(info, STR("example.org"), node_of(&said[0])).len, 0);
    for (unsigned i = 1; i < 4; i++) {
        struct str xml = host_info_find(info, STR("example.org"), node_of(&said[i]));
        assert_true(xml.len > 0);
        char *text = str_to_cstr(xml);
        fake_assert_seen(text, "jabber:iq:register", i % 2 == 0);
        fake_assert_seen(text, "extdisco", i / 2 == 1);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_announced_is_the_hash_of_the_answer, start, stop),
        cmocka_unit_test_setup_teardown(hosts_differ_and_strangers_have_none, start, stop),
        cmocka_unit_test_setup_teardown(former_ones_are_answered_for_a_while, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

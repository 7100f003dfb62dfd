/* HostCaps to edges, in records that always find room. */
#include "router/host_caps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/wire/wire.h"
#include "router/host_info.h"
#include "router/peers.h"
#include "router/router.h"

static size_t host_count;
static char domain_text[1023];
static size_t sent, told_hosts;

size_t host_info_count(const struct host_info *info)
{
    (void)info;
    return host_count;
}

/* Of every third one nothing is known. */
bool host_info_get(const struct host_info *info, size_t at, struct host_announcement *out)
{
    (void)info;
    memset(domain_text, 'a' + (int)(at % 26), sizeof(domain_text));
    *out = (struct host_announcement){ .domain = str_from(domain_text, sizeof(domain_text)),
        .hashes = { .sha1 = { (uint8_t)at } } };
    return at % 3 != 2;
}

enum err link_send(struct link_peer *peer, struct str record)
{
    (void)peer;
    assert_true(record.len <= 65536);
    struct arena arena;
    arena_init(&arena, 0);
    const Wire__Envelope *envelope = NULL;
    assert_int_equal(wire_unpack(&arena, record, &envelope), ERR_OK);
    assert_int_equal(envelope->verb_case, WIRE__ENVELOPE__VERB_HOST_CAPS);
    for (size_t i = 0; i < envelope->host_caps->n_hosts; i++) {
        assert_int_equal(envelope->host_caps->hosts[i]->sha1.len, 20);
        assert_int_equal(envelope->host_caps->hosts[i]->sha256.len, 32);
        assert_int_equal(envelope->host_caps->hosts[i]->sha3_256.len, 32);
    }
    sent++;
    told_hosts += envelope->host_caps->n_hosts;
    arena_fini(&arena);
    return ERR_OK;
}

static void tell(size_t count, enum link_role role, bool is_up)
{
    struct peer peer = { .role = role, .is_up = is_up };
    struct peer *items[] = { &peer };
    struct peers peers = { .items = items, .count = 1 };
    struct router router = { .peers = &peers };
    host_count = count;
    sent = told_hosts = 0;
    host_caps_tell_all(&router);
}

static void only_edges_that_are_there_are_told(void **state)
{
    (void)state;
    tell(2, LINK_ROLE_EDGE, true);
    assert_int_equal(sent, 1);
    assert_int_equal(told_hosts, 2);
    tell(2, LINK_ROLE_EDGE, false);
    assert_int_equal(sent, 0);
    tell(2, LINK_ROLE_ROUTER, true);
    assert_int_equal(sent, 0);
    tell(0, LINK_ROLE_EDGE, true);
    assert_int_equal(sent, 0);
}

static void many_hosts_come_in_many_records(void **state)
{
    (void)state;
    tell(300, LINK_ROLE_EDGE, true);
    assert_int_equal(told_hosts, 200);
    assert_int_equal(sent, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_edges_that_are_there_are_told),
        cmocka_unit_test(many_hosts_come_in_many_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What routers tell each other: to whom, when, and what they count. */
#include "router/cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/announcer.h"
#include "router/egress.h"
#include "router/entity/entity_table.h"
#include "router/lifecycle.h"
#include "router/peers.h"
#include "router/router.h"
#include "router/shard.h"

static struct router router;
static struct peers peers;
static struct peer *items[4];
static struct peer peer[4];
static unsigned sent[WIRE__ENVELOPE__VERB_ANNOUNCEMENT + 1];
static unsigned changed;
static int announced;
static unsigned ended;
static bool is_home;
static uint64_t online;
static int64_t now_ms;

void egress_envelope(struct egress *egress, struct link_peer *link, const Wire__Envelope *envelope)
{
    (void)egress;
    (void)link;
    sent[envelope->verb_case]++;
}
unsigned shard_of(const struct shard_table *table, struct str bare)
{
    (void)table;
    (void)bare;
    return 0;
}
bool shard_is_held(const struct shard_table *table, unsigned shard)
{
    (void)table;
    (void)shard;
    return is_home;
}
void announcer_begin(
        struct announcer *announcer, struct str host, struct str subject, struct str text)
{
    (void)announcer;
    (void)host;
    (void)subject;
    (void)text;
    announced++;
}
const struct host *settings_find_host(const struct settings *settings, struct str domain)
{
    static const struct host served = { .registration = false };
    (void)settings;
    return str_equal(domain, STR("b")) ? &served : NULL;
}
void lifecycle_poke(struct lifecycle *lifecycle)
{
    (void)lifecycle;
}
void entity_on_account_changed(struct entity_table *table, struct str bare)
{
    (void)table;
    (void)bare;
    changed++;
}
void entity_on_end_sessions(struct entity_table *table, struct str bare)
{
    (void)table;
    (void)bare;
    ended++;
}
uint64_t entity_count_online(const struct entity_table *table)
{
    (void)table;
    return online;
}
int64_t loop_now_ms(const struct loop *loop)
{
    (void)loop;
    return now_ms;
}

static int start(void **state)
{
    (void)state;
    static const struct peer kinds[] = {
        { .role = LINK_ROLE_ROUTER, .is_up = true, .online_accounts = 5 },
        { .role = LINK_ROLE_ROUTER, .is_dead = true, .online_accounts = 100 },
        { .role = LINK_ROLE_EDGE, .is_up = true, .online_accounts = 1000 },
        { .role = LINK_ROLE_ROUTER, .online_accounts = 7 }, /* on its way back */
    };
    for (size_t i = 0; i < 4; i++) {
        peer[i] = kinds[i];
        items[i] = &peer[i];
    }
    peers = (struct peers){ .items = items, .count = 4 };
    router = (struct router){ .peers = &peers };
    memset(sent, 0, sizeof(sent));
    changed = 0;
    ended = 0;
    online = 3;
    now_ms = 100000;
    return 0;
}

static void a_change_is_told_to_every_router(void **state)
{
    (void)state;
    is_home = false;
    cluster_tell_account_changed(&router, STR("a@b"), true);
    assert_int_equal(sent[WIRE__ENVELOPE__VERB_ACCOUNT_CHANGED], 2);
    assert_int_equal(changed + ended, 0); /* its home is elsewhere */
    is_home = true;
    cluster_tell_account_changed(&router, STR("a@b"), false);
    assert_int_equal(changed, 1);
    assert_int_equal(ended, 0);
    Wire__AccountChanged message = WIRE__ACCOUNT_CHANGED__INIT;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_ACCOUNT_CHANGED;
    envelope.account_changed = &message;
    message.bare = wire_bytes(STR("a@b"));
    message.end_sessions = true;
    assert_int_equal(cluster_on_news(&router, &peer[0], &envelope), ERR_OK);
    assert_int_equal(ended, 1);
    message.bare = wire_bytes(STR("a@b/c"));
    assert_int_equal(cluster_on_news(&router, &peer[0], &envelope), ERR_INVALID);
    Wire__RouterLoad load = WIRE__ROUTER_LOAD__INIT;
    load.online_accounts = 9;
    envelope.verb_case = WIRE__ENVELOPE__VERB_ROUTER_LOAD;
    envelope.router_load = &load;
    assert_int_equal(cluster_on_news(&router, &peer[0], &envelope), ERR_OK);
    assert_int_equal(peer[0].online_accounts, 9);
}

static void an_announcement_reaches_every_router(void **state)
{
    (void)state;
    announced = 0;
    cluster_announce(&router, STR("b"), STR_NULL, STR("soon"));
    assert_int_equal(sent[WIRE__ENVELOPE__VERB_ANNOUNCEMENT], 2);
    assert_int_equal(announced, 1);
    Wire__Announcement message = WIRE__ANNOUNCEMENT__INIT;
    message.host = wire_bytes(STR("b"));
    message.text = wire_bytes(STR("soon"));
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_ANNOUNCEMENT;
    envelope.announcement = &message;
    assert_int_equal(cluster_on_news(&router, &peer[0], &envelope), ERR_OK);
    assert_int_equal(announced, 2);
    message.text = wire_bytes(STR("\xff"));
    assert_int_equal(cluster_on_news(&router, &peer[0], &envelope), ERR_INVALID);
    message.text = wire_bytes(STR("soon"));
    message.host = wire_bytes(STR("elsewhere"));
    assert_int_equal(cluster_on_news(&router, &peer[0], &envelope), ERR_INVALID);
    assert_int_equal(announced, 2);
}

static void who_is_online_is_told_when_it_changes_and_now_and_then(void **state)
{
    (void)state;
    cluster_tell_load(&router);
    assert_int_equal(sent[WIRE__ENVELOPE__VERB_ROUTER_LOAD], 2);
    now_ms += 2000;
    cluster_tell_load(&router); /* nothing new */
    assert_int_equal(sent[WIRE__ENVELOPE__VERB_ROUTER_LOAD], 2);
    online = 4;
    cluster_tell_load(&router);
    assert_int_equal(sent[WIRE__ENVELOPE__VERB_ROUTER_LOAD], 4);
    online = 5;
    now_ms += 500;
    cluster_tell_load(&router); /* not all the time */
    assert_int_equal(sent[WIRE__ENVELOPE__VERB_ROUTER_LOAD], 4);
    online = 4;
    now_ms += 10000;
    cluster_tell_load(&router);
    assert_int_equal(sent[WIRE__ENVELOPE__VERB_ROUTER_LOAD], 6);
    assert_int_equal(cluster_count_online(&router), 4 + 5 + 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_change_is_told_to_every_router, start),
        cmocka_unit_test_setup(an_announcement_reaches_every_router, start),
        cmocka_unit_test_setup(who_is_online_is_told_when_it_changes_and_now_and_then, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

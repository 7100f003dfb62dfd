/* What comes back from the store: keys of another service, rows that were touched. */
#include "router/entity/roster_access.h"

#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"

static void put_contact(uint32_t counter, const char *item)
{
    static char xml[512];
    (void)snprintf(xml, sizeof(xml), "<query xmlns='jabber:iq:roster'>%s</query>", item);
    struct stanza iq = fake_iq(ALICE, "", STANZA_TYPE_SET, NS_ROSTER, "query");
    iq.children = str_from_cstr(xml);
    fake_input("e1", counter, &iq);
}

static struct entity *reload(void)
{
    entity_drop_shard(fake.router.entities, shard_of(NULL, STR("alice@example.org")));
    struct entity *entity = entity_get(fake.router.entities, STR("alice@example.org"));
    fake_run();
    return entity;
}

static void contents_and_version_come_back(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    put_contact(2, "<item jid='bob@example.org' name='B'/>");
    struct entity *entity = reload();
    assert_int_equal(entity->state, ENTITY_ACTIVE);
    assert_true(entity->roster.is_loaded && entity->key.owner == 1);
    assert_int_equal(entity->roster.version, fake.versions[1]);
    const struct roster_item *item = roster_find(&entity->roster, STR("bob@example.org"));
    assert_non_null(item);
    assert_true(str_equal(item->name, STR("B")));
}

static void a_touched_row_is_left_out(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    put_contact(2, "<item jid='bob@example.org'/>");
    put_contact(3, "<item jid='carol@example.org'/>");
    struct fake_row *last = &fake.rows[fake.row_count - 1];
    last->item.data[last->item.start + 20] ^= 1;
    struct entity *entity = reload();
    assert_non_null(roster_find(&entity->roster, STR("bob@example.org")));
    assert_null(roster_find(&entity->roster, STR("carol@example.org")));
}

/* With a new key for the account its rows would be lost: nothing goes on until the file is right.
 */
static void another_service_key_stops_the_account(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    put_contact(2, "<item jid='bob@example.org'/>");
    struct vault *right = fake.router.vault;
    assert_int_equal(
            vault_create(STR("another secret of thirty-two bytes"), &fake.router.vault), ERR_OK);
    struct entity *entity = reload();
    assert_int_equal(entity->state, ENTITY_BACKING_OFF);
    vault_destroy(fake.router.vault);
    fake.router.vault = right;
    fake_advance(1000);
    assert_int_equal(entity->state, ENTITY_ACTIVE);
    assert_non_null(roster_find(&entity->roster, STR("bob@example.org")));
}

static void versions_grow_within_a_microsecond_and_backwards(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    put_contact(2, "<item jid='bob@example.org'/>");
    int64_t first = fake.versions[1];
    put_contact(3, "<item jid='bob@example.org' name='b'/>");
    fake.time.wall_us -= 1000000;
    put_contact(4, "<item jid='bob@example.org'/>");
    assert_int_equal(fake.versions[1], first + 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_start, fake_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(contents_and_version_come_back),
        TEST(a_touched_row_is_left_out),
        TEST(another_service_key_stops_the_account),
        TEST(versions_grow_within_a_microsecond_and_backwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Turns that wait for the account's data: what is answered when, and what an old home does. */
#include "router/entity/blocklist.h"
#include "tests/lib/fake_router.h"

#define ALICE "alice@example.org/phone"

static void ask(uint32_t counter, enum stanza_type type, const char *children)
{
    struct stanza iq = fake_iq(ALICE, "", type, NS_VCARD, "vCard");
    iq.children = str_from_cstr(children);
    fake_clear();
    fake_post_input("e1", counter, &iq);
}

#define CARD "<vCard xmlns='vcard-temp'><FN>A</FN></vCard>"

static void the_answer_comes_after_the_commit_and_the_mailbox_waits(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    ask(2, STANZA_TYPE_SET, CARD);
    struct stanza ping = fake_iq(ALICE, "", STANZA_TYPE_GET, NS_PING, "ping");
    ping.id = STR("behind");
    fake_input("e1", 3, &ping);
    const char *out = fake_take_out();
    assert_before(out, "DATA 1 2", "id='q'");
    assert_before(out, "id='q'", "id='behind'");
    assert_seen(out, "HANDLED e1 phone 3");
}

static void an_old_home_says_nothing(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake.is_fenced = true;
    ask(2, STANZA_TYPE_SET, CARD);
    fake_run();
    const char *out = fake_take_out();
    assert_seen(out, "FENCED");
    assert_not_seen(out, "HANDLED");
    assert_not_seen(out, "DELIVER");
}

static void what_is_in_doubt_is_read_again(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    fake.is_store_down = true;
    ask(2, STANZA_TYPE_SET, CARD);
    fake_run();
    assert_seen(fake_take_out(), "<internal-server-error");
    fake.is_store_down = false;
    fake_advance(10000);
    ask(3, STANZA_TYPE_GET, "<vCard xmlns='vcard-temp'/>");
    fake_run();
    assert_seen(fake_take_out(), "<item-not-found");
}

static void a_shard_that_goes_meanwhile_takes_the_turn_with_it(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    ask(2, STANZA_TYPE_GET, "<vCard xmlns='vcard-temp'/>");
    while (fake.loop.tasks) { /* the turn runs, the store has not answered */
        struct loop_task *task = fake.loop.tasks;
        fake.loop.tasks = task->next;
        task->queued = false;
        task->run(task->context);
    }
    entity_drop_shard(fake.router.entities, jid_shard(STR("alice@example.org"), FAKE_SHARDS));
    fake_run();
    assert_not_seen(fake_take_out(), "DELIVER");
}

static void what_is_stored_is_sealed_with_the_key_of_the_roster(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    ask(2, STANZA_TYPE_SET, CARD);
    fake_run();
    struct fake_row *key = fake_find_row(1, STR_NULL);
    assert_non_null(key);
    struct fake_datum *card = fake_find_datum(1, ACCOUNT_DATA_VCARD, STR_NULL);
    assert_int_equal(card->value.len, sizeof(CARD) - 1 + ACCOUNT_DATA_SEAL_BYTES);
    assert_null(memmem(buf_view(&card->value).ptr, card->value.len, "<FN>", 4));
    struct stanza iq = fake_iq(ALICE, "", STANZA_TYPE_SET, NS_ROSTER, "query");
    iq.children = STR("<query xmlns='jabber:iq:roster'><item jid='bob@example.org'/></query>");
    fake_input("e1", 3, &iq); /* the fake insists on one key for an account */
    assert_seen(fake_take_out(), "SAVE 1 put");
    ask(4, STANZA_TYPE_GET, "<vCard xmlns='vcard-temp'/>");
    fake_run();
    assert_seen(fake_take_out(), CARD);
}

static void rows_from_before_are_read(void **state)
{
    (void)state;
    fake.is_data_clear = true;
    struct fake_datum *card = &fake.data[fake.data_count++];
    card->owner = 1;
    card->kind = ACCOUNT_DATA_VCARD;
    buf_append_literal(&card->value, CARD);
    struct fake_datum *list = &fake.data[fake.data_count++];
    list->owner = 1;
    list->kind = ACCOUNT_DATA_BLOCKLIST;
    buf_append_literal(&list->value, "eve@example.org\n");
    fake_login("e1", ALICE, 0);
    ask(2, STANZA_TYPE_GET, "<vCard xmlns='vcard-temp'/>");
    fake_run();
    assert_seen(fake_take_out(), CARD);
    struct entity *entity = entity_find(fake.router.entities, STR("alice@example.org"));
    assert_non_null(entity->blocklist);
}

static struct entity *reload(void)
{
    entity_drop_shard(fake.router.entities, jid_shard(STR("alice@example.org"), FAKE_SHARDS));
    struct entity *entity = entity_get(fake.router.entities, STR("alice@example.org"));
    fake_run();
    return entity;
}

/* Neither read as nothing nor as what it is. */
static void a_touched_row_is_an_error(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    ask(2, STANZA_TYPE_SET, CARD);
    fake_run();
    struct fake_datum *card = fake_find_datum(1, ACCOUNT_DATA_VCARD, STR_NULL);
    card->value.data[card->value.start + 20] ^= 1;
    ask(3, STANZA_TYPE_GET, "<vCard xmlns='vcard-temp'/>");
    fake_run();
    assert_seen(fake_take_out(), "<internal-server-error");
}

static void block_bob(void)
{
    struct stanza iq = fake_iq(ALICE, "", STANZA_TYPE_SET, NS_BLOCKING, "block");
    iq.children = STR("<block xmlns='urn:xmpp:blocking'><item jid='bob@example.org'/></block>");
    fake_input("e1", 2, &iq);
}

/* Else whom it has blocked would be heard again. */
static void without_its_block_list_an_account_does_not_go_on(void **state)
{
    (void)state;
    fake_login("e1", ALICE, 0);
    block_bob();
    struct entity *entity = reload();
    assert_int_equal(entity->state, ENTITY_ACTIVE);
    assert_true(blocklist_has(entity->blocklist, STR("bob@example.org")));
    struct vault *right = fake.router.vault;
    assert_int_equal(
            vault_create(STR("another secret of thirty-two bytes"), &fake.router.vault), ERR_OK);
    entity = reload();
    assert_int_equal(entity->state, ENTITY_BACKING_OFF);
    vault_destroy(fake.router.vault);
    fake.router.vault = right;
    fake_advance(1000);
    assert_int_equal(entity->state, ENTITY_ACTIVE);
    assert_true(blocklist_has(entity->blocklist, STR("bob@example.org")));
    struct fake_datum *list = fake_find_datum(1, ACCOUNT_DATA_BLOCKLIST, STR_NULL);
    list->value.data[list->value.start + 20] ^= 1;
    assert_int_equal(reload()->state, ENTITY_BACKING_OFF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
                the_answer_comes_after_the_commit_and_the_mailbox_waits, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(an_old_home_says_nothing, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(what_is_in_doubt_is_read_again, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                a_shard_that_goes_meanwhile_takes_the_turn_with_it, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                what_is_stored_is_sealed_with_the_key_of_the_roster, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(rows_from_before_are_read, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(a_touched_row_is_an_error, fake_start, fake_stop),
        cmocka_unit_test_setup_teardown(
                without_its_block_list_an_account_does_not_go_on, fake_start, fake_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

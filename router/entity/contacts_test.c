/* Subscribers and the account itself; strangers see nothing. */
#include "router/entity/contacts.h"

#include "tests/lib/fake_router.h"

static void subscribers_and_the_account_itself_are_contacts(void **state)
{
    (void)state;
    struct entity entity = { .bare = STR("a@b") };
    assert_true(entity_is_contact(&entity, STR("a@b")));
    assert_false(entity_is_contact(&entity, STR("b@b")));
    assert_false(entity_is_contact(&entity, STR("b")));
    assert_false(entity_is_contact(&entity, STR_NULL));
    struct roster_item to = { .jid = STR("to@b"), .flags = ROSTER_TO | ROSTER_LISTED };
    struct roster_item from = { .jid = STR("from@b"), .flags = ROSTER_FROM };
    roster_put(&entity.roster, roster_item_create(&to));
    roster_put(&entity.roster, roster_item_create(&from));
    assert_false(entity_is_contact(&entity, STR("to@b")));
    assert_true(entity_is_contact(&entity, STR("from@b")));
    roster_clear(&entity.roster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subscribers_and_the_account_itself_are_contacts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

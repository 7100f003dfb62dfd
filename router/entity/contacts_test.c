/* Strangers see nothing. */
#include "router/entity/contacts.h"

#include "tests/lib/fake_router.h"

static void only_the_account_itself_is_a_contact(void **state)
{
    (void)state;
    struct entity entity = { .bare = STR("a@b") };
    assert_true(entity_is_contact(&entity, STR("a@b")));
    assert_false(entity_is_contact(&entity, STR("b@b")));
    assert_false(entity_is_contact(&entity, STR("b")));
    assert_false(entity_is_contact(&entity, STR_NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_account_itself_is_a_contact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

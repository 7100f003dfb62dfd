/* Rows of account data open in their own place only. */
#include "router/data_seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct vault *vault;
static struct vault_key alice;
static struct vault_key bob;

static enum err open_at(const struct vault_key *account,
        enum account_data_kind kind,
        struct str key,
        struct str sealed)
{
    struct buf value;
    buf_init(&value, 0);
    struct data_place place = data_place_of(account, kind, key);
    enum err err = data_open(account, &place, sealed, &value);
    if (err == ERR_OK) {
        assert_true(str_equal(buf_view(&value), STR("value")));
    }
    buf_fini(&value);
    return err;
}

static void a_value_opens_where_it_was_sealed(void **state)
{
    (void)state;
    struct data_place place = data_place_of(&alice, ACCOUNT_DATA_PRIVATE_XML, STR("bookmarks"));
    struct buf sealed;
    buf_init(&sealed, 0);
    data_seal(&alice, &place, STR("value"), &sealed);
    struct str text = buf_view(&sealed);
    assert_int_equal(text.len, 5 + SEAL_OVERHEAD_BYTES); /* quotas take that off again */
    assert_int_equal(open_at(&alice, ACCOUNT_DATA_PRIVATE_XML, STR("bookmarks"), text), ERR_OK);
    assert_int_equal(open_at(&alice, ACCOUNT_DATA_PRIVATE_XML, STR("notes"), text), ERR_DENIED);
    assert_int_equal(open_at(&alice, ACCOUNT_DATA_VCARD, STR("bookmarks"), text), ERR_DENIED);
    assert_int_equal(open_at(&bob, ACCOUNT_DATA_PRIVATE_XML, STR("bookmarks"), text), ERR_DENIED);
    buf_fini(&sealed);
}

static void keys_say_nothing_and_are_as_long_as_before(void **state)
{
    (void)state;
    struct data_place place = data_place_of(&alice, ACCOUNT_DATA_PRIVATE_XML, STR("bookmarks"));
    struct data_place same = data_place_of(&alice, ACCOUNT_DATA_PRIVATE_XML, STR("bookmarks"));
    struct data_place other = data_place_of(&bob, ACCOUNT_DATA_PRIVATE_XML, STR("bookmarks"));
    assert_int_equal(data_place_key(&place).len, 9);
    assert_true(str_equal(data_place_key(&place), data_place_key(&same)));
    assert_false(str_equal(data_place_key(&place), STR("bookmarks")));
    assert_false(str_equal(data_place_key(&place), data_place_key(&other)));
    struct data_place list = data_place_of(&alice, ACCOUNT_DATA_BLOCKLIST, STR_NULL);
    assert_int_equal(data_place_key(&list).len, 0);
}

static int start(void **state)
{
    (void)state;
    struct buf wrapped;
    buf_init(&wrapped, 0);
    assert_int_equal(vault_create(STR("a secret of more than thirty-two bytes"), &vault), ERR_OK);
    vault_new_key(vault, 1, &alice, &wrapped);
    vault_new_key(vault, 2, &bob, &wrapped);
    buf_fini(&wrapped);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    vault_destroy(vault);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_opens_where_it_was_sealed),
        cmocka_unit_test(keys_say_nothing_and_are_as_long_as_before),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

/* Account keys open with the service key and for their account only; rows stay where they are. */
#include "router/vault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct vault *make_vault(char fill)
{
    char secret[VAULT_SECRET_MIN_BYTES];
    memset(secret, fill, sizeof(secret));
    struct vault *vault;
    assert_int_equal(vault_create(str_from(secret, sizeof(secret)), &vault), ERR_OK);
    return vault;
}

static void a_short_secret_is_refused(void **state)
{
    (void)state;
    struct vault *vault;
    assert_int_equal(vault_create(STR("0123456789012345678901234567890"), &vault), ERR_INVALID);
}

static void account_keys_open_only_where_they_belong(void **state)
{
    (void)state;
    struct vault *vault = make_vault('a');
    struct vault *other = make_vault('b');
    struct vault_key key;
    struct vault_key opened;
    struct buf wrapped;
    buf_init(&wrapped, 0);
    vault_new_key(vault, 7, &key, &wrapped);
    assert_int_equal(vault_open_key(vault, 7, buf_view(&wrapped), &opened), ERR_OK);
    assert_memory_equal(&key, &opened, sizeof(key));
    assert_int_equal(vault_open_key(vault, 8, buf_view(&wrapped), &opened), ERR_DENIED);
    assert_int_equal(vault_open_key(other, 7, buf_view(&wrapped), &opened), ERR_DENIED);
    assert_int_equal(vault_open_key(vault, 7, STR("x"), &opened), ERR_DENIED);
    buf_fini(&wrapped);
    vault_destroy(vault);
    vault_destroy(other);
    vault_destroy(NULL);
}

static void rows_are_found_by_equality_and_stay_in_their_place(void **state)
{
    (void)state;
    struct vault *vault = make_vault('a');
    struct vault_key key;
    struct vault_key other;
    struct buf wrapped;
    struct buf sealed;
    struct buf text;
    uint8_t juliet[VAULT_LOOKUP_BYTES];
    uint8_t again[VAULT_LOOKUP_BYTES];
    uint8_t nurse[VAULT_LOOKUP_BYTES];
    buf_init(&wrapped, 0);
    buf_init(&sealed, 0);
    buf_init(&text, 0);
    vault_new_key(vault, 1, &key, &wrapped);
    vault_new_key(vault, 2, &other, &wrapped);
    vault_lookup(&key, "roster", STR("juliet@example.net"), juliet);
    vault_lookup(&key, "roster", STR("juliet@example.net"), again);
    assert_memory_equal(juliet, again, sizeof(juliet));
    vault_lookup(&key, "blocked", STR("juliet@example.net"), again);
    assert_memory_not_equal(juliet, again, sizeof(juliet));
    vault_lookup(&other, "roster", STR("juliet@example.net"), again);
    assert_memory_not_equal(juliet, again, sizeof(juliet));
    vault_lookup(&key, "roster", STR("nurse@example.net"), nurse);

    vault_seal(&key, "roster", juliet, STR("secret"), &sealed);
    assert_int_equal(vault_open(&key, "roster", juliet, buf_view(&sealed), &text), ERR_OK);
    assert_true(str_equal(buf_view(&text), STR("secret")));
    assert_int_equal(vault_open(&key, "roster", nurse, buf_view(&sealed), &text), ERR_DENIED);
    assert_int_equal(vault_open(&key, "blocked", juliet, buf_view(&sealed), &text), ERR_DENIED);
    assert_int_equal(vault_open(&other, "roster", juliet, buf_view(&sealed), &text), ERR_DENIED);
    buf_fini(&wrapped);
    buf_fini(&sealed);
    buf_fini(&text);
    vault_destroy(vault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_secret_is_refused),
        cmocka_unit_test(account_keys_open_only_where_they_belong),
        cmocka_unit_test(rows_are_found_by_equality_and_stay_in_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

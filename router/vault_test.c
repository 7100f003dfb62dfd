/* Account keys open with the service key and for their account only; rows stay where they are. */
#include "router/vault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chassis/base/encoding.h"

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

/* What routers wrote before keys had ids. */
static void make_old_format(struct buf *wrapped)
{
    struct str text = buf_view(wrapped);
    char *copy = str_to_cstr(text);
    buf_clear(wrapped);
    buf_append_char(wrapped, 1);
    buf_append(wrapped, copy + VAULT_TAG_BYTES, text.len - VAULT_TAG_BYTES);
    free(copy);
}

static void a_new_service_key_wraps_the_same_account_keys(void **state)
{
    (void)state;
    struct vault *before = make_vault('a');
    struct vault *both = make_vault('b');
    struct vault *after = make_vault('b');
    char old[VAULT_SECRET_MIN_BYTES];
    memset(old, 'a', sizeof(old));
    assert_int_equal(vault_add_key(both, str_from(old, sizeof(old))), ERR_OK);
    struct vault_key key;
    struct vault_key opened;
    struct buf wrapped;
    struct buf anew;
    buf_init(&wrapped, 0);
    buf_init(&anew, 0);
    for (int format = 2; format >= 1; format--) {
        buf_clear(&wrapped);
        buf_clear(&anew);
        vault_new_key(before, 7, &key, &wrapped);
        if (format == 1) {
            make_old_format(&wrapped);
        }
        assert_int_equal(vault_open_key(before, 7, buf_view(&wrapped), &opened), ERR_OK);
        assert_int_equal(vault_open_key(both, 7, buf_view(&wrapped), &opened), ERR_OK);
        assert_memory_equal(&key, &opened, sizeof(key));
        assert_int_equal(vault_rewrap(after, 7, buf_view(&wrapped), &anew), ERR_DENIED);
        assert_int_equal(vault_rewrap(both, 8, buf_view(&wrapped), &anew), ERR_DENIED);
        assert_int_equal(anew.len, 0);
        assert_int_equal(vault_rewrap(both, 7, buf_view(&wrapped), &anew), ERR_OK);
        assert_true(str_starts_with(buf_view(&anew), vault_tag(after, 0)));
        assert_int_equal(vault_open_key(after, 7, buf_view(&anew), &opened), ERR_OK);
        assert_memory_equal(&key, &opened, sizeof(key)); /* rows and look-ups stay */
        assert_int_equal(vault_open_key(before, 7, buf_view(&anew), &opened), ERR_DENIED);
    }
    assert_true(vault_has_tag(both, vault_tag(before, 0)));
    assert_false(vault_has_tag(after, vault_tag(before, 0)));
    buf_fini(&wrapped);
    buf_fini(&anew);
    vault_destroy(before);
    vault_destroy(both);
    vault_destroy(after);
}

/* The tombstones of a storage key are found as long as it is among the others; that of the first
 * one is what it was when there was only one. */
static void each_service_key_has_a_name_key(void **state)
{
    (void)state;
    uint8_t of_a[VAULT_NAME_KEY_BYTES];
    struct vault *before = make_vault('a');
    struct vault *both = make_vault('b');
    struct str stays = vault_name_keys(both);
    char old[VAULT_SECRET_MIN_BYTES];
    memset(old, 'a', sizeof(old));
    /* HMAC-SHA-256 of "starling names of erased accounts 1" */
    struct str known = STR("c4c98b2ec8a63cc3a5a95012daafcddf"
                           "8f6742cebcbc0ddc8234b1814dcee6fc");
    assert_int_equal(hex_decode(known, of_a, sizeof(of_a)), ERR_OK);
    assert_int_equal(stays.len, VAULT_NAME_KEY_BYTES);
    assert_int_equal(vault_add_key(both, str_from(old, sizeof(old))), ERR_OK);
    struct str keys = vault_name_keys(both);
    assert_int_equal(keys.len, 2 * VAULT_NAME_KEY_BYTES);
    assert_ptr_equal(keys.ptr, stays.ptr);
    assert_memory_not_equal(keys.ptr, of_a, sizeof(of_a)); /* the newest first */
    assert_memory_equal(keys.ptr + VAULT_NAME_KEY_BYTES, of_a, sizeof(of_a));
    assert_true(str_equal(vault_name_keys(before), str_from(of_a, sizeof(of_a))));
    vault_destroy(before);
    vault_destroy(both);
}

static void keys_are_counted(void **state)
{
    (void)state;
    struct vault *vault = make_vault('a');
    assert_int_equal(vault_add_key(vault, STR("short")), ERR_INVALID);
    for (size_t i = 1; i < VAULT_MAX_KEYS; i++) {
        assert_int_equal(vault_add_key(vault, STR("0123456789012345678901234567890123")), ERR_OK);
    }
    assert_int_equal(vault_add_key(vault, STR("0123456789012345678901234567890123")), ERR_LIMIT);
    assert_int_equal(vault_keys(vault), VAULT_MAX_KEYS);
    vault_destroy(vault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_secret_is_refused),
        cmocka_unit_test(account_keys_open_only_where_they_belong),
        cmocka_unit_test(a_new_service_key_wraps_the_same_account_keys),
        cmocka_unit_test(each_service_key_has_a_name_key),
        cmocka_unit_test(keys_are_counted),
        cmocka_unit_test(rows_are_found_by_equality_and_stay_in_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

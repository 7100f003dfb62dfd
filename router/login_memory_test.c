/* Serves once, for its time, and never after the account has changed. */
#include "router/login_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct login_memory *memory;
static const struct remembered_login login = { .row = { .id = 7 }, .is_known = true };

static int setup(void **state)
{
    (void)state;
    memory = login_memory_create();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    login_memory_destroy(memory);
    return 0;
}

static bool take(struct str nonce, int64_t now_ms)
{
    struct remembered_login got = { .is_known = false };
    bool is_there = login_memory_take(memory, nonce, now_ms, &got);
    assert_true(!is_there || (got.is_known && got.row.id == 7));
    return is_there;
}

static void an_entry_serves_once(void **state)
{
    (void)state;
    login_memory_put(memory, STR("nonce"), STR("a@b"), &login, 0);
    assert_false(take(STR("other"), 1));
    assert_true(take(STR("nonce"), 1));
    assert_false(take(STR("nonce"), 1));
}

static void it_is_forgotten_in_time(void **state)
{
    (void)state;
    login_memory_put(memory, STR("nonce"), STR("a@b"), &login, 0);
    login_memory_put(memory, STR("later"), STR("a@b"), &login, 5);
    assert_true(take(STR("later"), LOGIN_MEMORY_MS + 4));
    assert_false(take(STR("nonce"), LOGIN_MEMORY_MS));
}

static void a_changed_account_is_forgotten(void **state)
{
    (void)state;
    login_memory_put(memory, STR("one"), STR("a@b"), &login, 0);
    login_memory_put(memory, STR("two"), STR("c@b"), &login, 0);
    login_memory_put(memory, STR("three"), STR("a@b"), &login, 0);
    login_memory_forget(memory, STR("a@b"));
    assert_false(take(STR("one"), 1));
    assert_true(take(STR("two"), 1));
    assert_false(take(STR("three"), 1));
}

static void the_oldest_makes_room(void **state)
{
    (void)state;
    char nonce[32];
    for (int i = 0; i <= LOGIN_MEMORY_MAX; i++) {
        (void)snprintf(nonce, sizeof(nonce), "%d", i);
        login_memory_put(memory, str_from_cstr(nonce), STR("a@b"), &login, 0);
    }
    assert_false(take(STR("0"), 0));
    assert_true(take(STR("1"), 0));
    assert_true(take(str_from_cstr(nonce), 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_entry_serves_once, setup, teardown),
        cmocka_unit_test_setup_teardown(it_is_forgotten_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_changed_account_is_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_makes_room, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Families of tokens against a real PostgreSQL, with the rights of the service's role. */
#include "router/store/token_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/scratch_database.h"

#define NOW 1700000000

static struct scratch_database database;
static struct token_store *store;
static struct account_store *accounts;

struct answer {
    bool is_done;
    enum err err;
    int64_t id;
    bool has_family;
    struct token_family family;
    size_t count;
};

static void on_loaded(void *context,
        enum err err,
        const struct account_row *row,
        const struct token_family *family)
{
    struct answer *answer = context;
    answer->is_done = true;
    answer->err = err;
    answer->id = row ? row->id : 0;
    answer->has_family = family != NULL;
    if (family) {
        answer->family = *family;
    }
}

static void on_others(
        void *context, enum err err, const struct token_family *families, size_t count)
{
    struct answer *answer = context;
    answer->is_done = true;
    answer->err = err;
    answer->count = count;
    if (count > 0) {
        answer->family = families[0];
    }
}

static void on_changed(void *context, enum err err)
{
    struct answer *answer = context;
    answer->is_done = true;
    answer->err = err;
}

static void on_account(void *context, enum err err, int64_t id)
{
    struct answer *answer = context;
    on_changed(answer, err);
    answer->id = id;
}

static void await(struct answer *answer)
{
    scratch_await(&database, &answer->is_done);
}

static int64_t create(const char *bare, uint8_t seed)
{
    struct verifier verifiers[VERIFIERS] = { 0 };
    for (int i = 0; i < VERIFIERS; i++) {
        verifiers[i].iterations = 10000;
        verifiers[i].salt_len = 16;
        memset(verifiers[i].stored_key, seed, sizeof(verifiers[i].stored_key));
    }
    struct answer answer = { .is_done = false };
    account_create(accounts, str_from_cstr(bare), verifiers, on_account, &answer);
    await(&answer);
    if (answer.err == ERR_EXISTS) {
        answer = (struct answer){ .is_done = false };
        account_set_verifiers(accounts, str_from_cstr(bare), verifiers, on_account, &answer);
        await(&answer);
    }
    assert_int_equal(answer.err, ERR_OK);
    return answer.id;
}

static struct answer load(const char *bare, uint64_t client)
{
    struct answer answer = { .is_done = false };
    token_load(store, str_from_cstr(bare), (struct id128){ 7, client }, on_loaded, &answer);
    await(&answer);
    return answer;
}

static struct answer others(int64_t owner, uint64_t except)
{
    struct answer answer = { .is_done = false };
    token_load_others(store, owner, (struct id128){ 7, except }, on_others, &answer);
    await(&answer);
    return answer;
}

static enum err update(int64_t owner, const struct token_family *family)
{
    struct answer answer = { .is_done = false };
    token_update(store, owner, family, on_changed, &answer);
    await(&answer);
    return answer.err;
}

static void issue(int64_t owner, uint64_t client, int64_t expires_s, int64_t max_clients)
{
    struct token_issue what = {
        .owner = owner,
        .client = { 7, client },
        .fresh = { .is_set = true,
                .seed = { (uint8_t)client },
                .mechanism = HT_SHA_256_ENDP,
                .expires_s = expires_s,
                .count = TOKEN_NO_COUNT },
        .now_s = NOW,
        .max_clients = max_clients,
    };
    struct answer answer = { .is_done = false };
    token_issue(store, &what, on_changed, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
}

static void a_family_is_kept_as_it_was_given(void **state)
{
    (void)state;
    assert_int_equal(load("nobody@example.net", 1).err, ERR_NOT_FOUND);
    int64_t owner = create("a@example.net", 1);
    struct answer answer = load("a@example.net", 1);
    assert_true(answer.err == ERR_OK && answer.id == owner && !answer.has_family);
    issue(owner, 1, NOW + 100, 10);
    answer = load("a@example.net", 1);
    assert_true(answer.has_family && answer.family.client.hi == 7 && answer.family.client.lo == 1);
    const struct token_slot *fresh = &answer.family.slots[TOKEN_FRESH];
    assert_true(fresh->is_set && fresh->seed[0] == 1 && fresh->mechanism == HT_SHA_256_ENDP);
    assert_true(fresh->expires_s == NOW + 100 && fresh->count == TOKEN_NO_COUNT);
    assert_false(answer.family.slots[TOKEN_CURRENT].is_set);
    assert_false(load("a@example.net", 2).has_family);
}

static void who_comes_second_is_told(void **state)
{
    (void)state;
    int64_t owner = create("b@example.net", 1);
    issue(owner, 1, NOW + 100, 10);
    struct token_family family = load("b@example.net", 1).family;
    family.slots[TOKEN_CURRENT] = family.slots[TOKEN_FRESH];
    family.slots[TOKEN_CURRENT].count = 5;
    family.slots[TOKEN_FRESH].is_set = false;
    family.attempt = (struct id128){ 3, 4 };
    assert_int_equal(update(owner, &family), ERR_OK);
    assert_int_equal(update(owner, &family), ERR_CONFLICT);
    family = load("b@example.net", 1).family;
    assert_int_equal(family.slots[TOKEN_CURRENT].count, 5);
    assert_true(id128_equal(family.attempt, (struct id128){ 3, 4 }));
    assert_false(family.slots[TOKEN_FRESH].is_set);
    issue(owner, 1, NOW + 200, 10); /* one that is there already */
    struct token_family again = load("b@example.net", 1).family;
    assert_true(again.version > family.version && again.slots[TOKEN_FRESH].is_set);
    assert_int_equal(again.slots[TOKEN_CURRENT].count, 5);
}

static void the_others_of_the_account_are_found_and_no_more(void **state)
{
    (void)state;
    int64_t owner = create("c@example.net", 1);
    issue(create("d@example.net", 1), 9, NOW + 100, 10);
    issue(owner, 1, NOW + 100, 10);
    issue(owner, 2, NOW + 100, 10);
    struct answer answer = others(owner, 1);
    assert_true(answer.count == 1 && answer.family.client.lo == 2);
    assert_int_equal(others(-1, 1).count, 0);
    struct answer gone = { .is_done = false };
    token_revoke(store, owner, (struct id128){ 7, 2 }, on_changed, &gone);
    await(&gone);
    assert_int_equal(gone.err, ERR_OK);
    assert_int_equal(others(owner, 1).count, 0);
}

static void what_is_over_goes_and_what_ends_first_makes_room(void **state)
{
    (void)state;
    int64_t owner = create("e@example.net", 1);
    issue(owner, 1, NOW - 1, 10);
    assert_int_equal(others(owner, 99).count, 0);
    for (uint64_t client = 1; client <= 5; client++) {
        issue(owner, client, NOW + 100 + (int64_t)client, 3);
    }
    assert_int_equal(others(owner, 99).count, 3);
    assert_false(load("e@example.net", 2).has_family);
    assert_true(load("e@example.net", 3).has_family);
}

static void a_new_password_and_the_end_take_all(void **state)
{
    (void)state;
    int64_t owner = create("f@example.net", 1);
    issue(owner, 1, NOW + 100, 10);
    issue(owner, 2, NOW + 100, 10);
    (void)create("f@example.net", 2); /* other verifiers */
    assert_int_equal(others(owner, 99).count, 0);
    issue(owner, 1, NOW + 100, 10);
    struct answer gone = { .is_done = false };
    account_delete(accounts, STR("f@example.net"), on_account, &gone);
    await(&gone);
    assert_int_equal(others(owner, 99).count, 0);
}

static void a_verifier_more_takes_none(void **state)
{
    (void)state;
    int64_t owner = create("g@example.net", 1);
    struct verifier verifier = { .iterations = 10000, .salt_len = 16 };
    issue(owner, 1, NOW + 100, 10);
    struct answer answer = { .is_done = false };
    account_add_verifier(
            accounts, STR("g@example.net"), DIGEST_SHA1, &verifier, on_account, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_EXISTS);
    assert_int_equal(others(owner, 99).count, 1);
    answer = (struct answer){ .is_done = false };
    account_load_digests(accounts, owner, on_account, &answer);
    await(&answer);
    assert_true(answer.err == ERR_OK && answer.id == (1 << VERIFIERS) - 1);
}

static void a_dead_store_is_unavailable(void **state)
{
    (void)state;
    scratch_do("scratch-pg", "crash", database.dir);
    assert_int_equal(load("a@example.net", 1).err, ERR_UNAVAILABLE);
    assert_int_equal(others(1, 1).err, ERR_UNAVAILABLE);
    scratch_do("scratch-pg", "start", database.dir);
}

static int start(void **state)
{
    (void)state;
    scratch_router_start(&database);
    store = token_store_create(database.pool);
    accounts = account_store_create(database.pool, STR("the key of names has 32 bytes..."));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    scratch_database_stop(&database);
    token_store_destroy(store);
    account_store_destroy(accounts);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_family_is_kept_as_it_was_given),
        cmocka_unit_test(who_comes_second_is_told),
        cmocka_unit_test(the_others_of_the_account_are_found_and_no_more),
        cmocka_unit_test(what_is_over_goes_and_what_ends_first_makes_room),
        cmocka_unit_test(a_new_password_and_the_end_take_all),
        cmocka_unit_test(a_verifier_more_takes_none),
        cmocka_unit_test(a_dead_store_is_unavailable),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

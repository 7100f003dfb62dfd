/* Accounts and verifiers against a real PostgreSQL, with the rights of the service's role. */
#include "router/store/account_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/scratch_database.h"

static struct scratch_database database;
static struct account_store *store;

struct answer {
    bool is_done;
    enum err err;
    int64_t id;
    enum account_state state;
    bool has_verifier;
    struct verifier verifier;
    char text[128];
};

static void on_loaded(void *context, enum err err, const struct account_row *row)
{
    struct answer *answer = context;
    answer->is_done = true;
    answer->err = err;
    if (row != NULL) {
        answer->id = row->id;
        answer->state = row->state;
    }
}

static void on_verifier(
        void *context, enum err err, const struct account_row *row, const struct verifier *verifier)
{
    struct answer *answer = context;
    on_loaded(answer, err, row);
    if (verifier != NULL) {
        answer->has_verifier = true;
        answer->verifier = *verifier;
    }
}

static void on_changed(void *context, enum err err, int64_t id)
{
    struct answer *answer = context;
    answer->is_done = true;
    answer->err = err;
    answer->id = id;
}

static void await(struct answer *answer)
{
    scratch_await(&database, &answer->is_done);
}

static void fill(struct verifier verifiers[VERIFIERS], uint8_t seed)
{
    memset(verifiers, 0, VERIFIERS * sizeof(*verifiers));
    for (int i = 0; i < VERIFIERS; i++) {
        verifiers[i].iterations = 10000 + (uint32_t)i;
        verifiers[i].salt_len = 16;
        memset(verifiers[i].salt, seed, 16);
        memset(verifiers[i].stored_key, seed + i + 1, digest_size((enum digest)i));
        memset(verifiers[i].server_key, seed + i + 101, digest_size((enum digest)i));
    }
}

static struct answer create(const char *bare, uint8_t seed)
{
    struct verifier verifiers[VERIFIERS];
    fill(verifiers, seed);
    struct answer answer = { .is_done = false };
    account_create(store, str_from_cstr(bare), verifiers, on_changed, &answer);
    await(&answer);
    return answer;
}

static enum err register_name(const char *bare)
{
    struct verifier verifiers[VERIFIERS];
    fill(verifiers, 1);
    struct answer answer = { .is_done = false };
    account_register(store, str_from_cstr(bare), verifiers, on_changed, &answer);
    await(&answer);
    return answer.err;
}

static struct answer load(const char *bare)
{
    struct answer answer = { .is_done = false };
    account_load(store, str_from_cstr(bare), on_loaded, &answer);
    await(&answer);
    return answer;
}

static struct answer load_verifier(const char *bare, enum digest digest)
{
    struct answer answer = { .is_done = false };
    account_load_verifier(store, str_from_cstr(bare), digest, on_verifier, &answer);
    await(&answer);
    return answer;
}

static void an_account_is_created_with_all_verifiers(void **state)
{
    (void)state;
    struct answer created = create("a@example.net", 1);
    assert_int_equal(created.err, ERR_OK);
    assert_true(created.id > 0);
    struct answer loaded = load("a@example.net");
    assert_int_equal(loaded.err, ERR_OK);
    assert_int_equal(loaded.id, created.id);
    assert_int_equal(loaded.state, ACCOUNT_ACTIVE);
    struct verifier expected[VERIFIERS];
    fill(expected, 1);
    for (int i = 0; i < VERIFIERS; i++) {
        struct answer found = load_verifier("a@example.net", (enum digest)i);
        assert_true(found.has_verifier);
        assert_int_equal(found.id, created.id);
        assert_int_equal(found.verifier.iterations, expected[i].iterations);
        assert_int_equal(found.verifier.salt_len, 16);
        assert_memory_equal(found.verifier.salt, expected[i].salt, 16);
        assert_memory_equal(
                found.verifier.stored_key, expected[i].stored_key, sizeof(expected[i].stored_key));
        assert_memory_equal(
                found.verifier.server_key, expected[i].server_key, sizeof(expected[i].server_key));
    }
}

static void a_taken_name_is_refused_and_left_alone(void **state)
{
    (void)state;
    assert_int_equal(create("b@example.net", 1).err, ERR_OK);
    assert_int_equal(create("b@example.net", 50).err, ERR_EXISTS);
    struct answer found = load_verifier("b@example.net", DIGEST_SHA256);
    assert_int_equal(found.verifier.salt[0], 1);
}

static void unknown_names_are_not_found(void **state)
{
    (void)state;
    assert_int_equal(load("nobody@example.net").err, ERR_NOT_FOUND);
    assert_int_equal(load_verifier("nobody@example.net", DIGEST_SHA1).err, ERR_NOT_FOUND);
}

static void a_new_password_replaces_all_verifiers(void **state)
{
    (void)state;
    (void)create("c@example.net", 1);
    struct verifier verifiers[VERIFIERS];
    fill(verifiers, 60);
    struct answer changed = { .is_done = false };
    account_set_verifiers(store, STR("c@example.net"), verifiers, on_changed, &changed);
    await(&changed);
    assert_int_equal(changed.err, ERR_OK);
    for (int i = 0; i < VERIFIERS; i++) {
        assert_int_equal(load_verifier("c@example.net", (enum digest)i).verifier.salt[0], 60);
    }
    changed = (struct answer){ .is_done = false };
    account_set_verifiers(store, STR("nobody@example.net"), verifiers, on_changed, &changed);
    await(&changed);
    assert_int_equal(changed.err, ERR_NOT_FOUND);
}

static void a_deleted_name_stays_blocked(void **state)
{
    (void)state;
    (void)create("d@example.net", 1);
    struct answer gone = { .is_done = false };
    account_delete(store, STR("d@example.net"), on_changed, &gone);
    await(&gone);
    assert_int_equal(gone.err, ERR_OK);
    struct answer found = load_verifier("d@example.net", DIGEST_SHA256);
    assert_int_equal(found.state, ACCOUNT_DELETED);
    assert_false(found.has_verifier);
    assert_int_equal(create("d@example.net", 1).err, ERR_EXISTS);
}

/* G07: what looks like SQL or a pattern is a name, a NUL never gets to PostgreSQL. */
static void odd_names_are_only_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "o'brien@example.net", "%@example.net", "a_b@example.net", "\"; DROP@example.net"
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(create(names[i], 1).err, ERR_OK);
        assert_int_equal(load(names[i]).err, ERR_OK);
    }
    assert_int_equal(load("aXb@example.net").err, ERR_NOT_FOUND);
    struct answer answer = { .is_done = false };
    account_load(store, str_from("a\0b@example.net", 15), on_loaded, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_UNAVAILABLE);
}

static void on_told(void *context, enum err err, struct str text)
{
    struct answer *answer = context;
    answer->is_done = true;
    answer->err = err;
    (void)snprintf(answer->text, sizeof(answer->text), STR_FMT, STR_ARG(text));
}

static void assert_count(enum account_state state, const char *expected)
{
    struct answer answer = { .is_done = false };
    account_count(store, STR("counted.example"), state, on_told, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
    assert_string_equal(answer.text, expected);
}

static enum err set_state(const char *bare, enum account_state state)
{
    struct answer answer = { .is_done = false };
    account_set_state(store, str_from_cstr(bare), state, on_changed, &answer);
    await(&answer);
    return answer.err;
}

static void accounts_are_counted_listed_and_disabled(void **state)
{
    (void)state;
    struct answer none = { .is_done = false };
    account_list(store, STR("counted.example"), 10, on_told, &none);
    await(&none);
    assert_int_equal(none.err, ERR_OK);
    assert_string_equal(none.text, "");
    static const char *const names[] = {
        "b@counted.example", "a@counted.example", "c@counted.example"
    };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(create(names[i], 1).err, ERR_OK);
    }
    assert_int_equal(create("x@counted.example.org", 1).err, ERR_OK);
    assert_int_equal(set_state("b@counted.example", ACCOUNT_DISABLED), ERR_OK);
    assert_int_equal(load("b@counted.example").state, ACCOUNT_DISABLED);
    assert_count(ACCOUNT_ACTIVE, "2");
    assert_count(ACCOUNT_DISABLED, "1");
    struct answer list = { .is_done = false };
    account_list(store, STR("counted.example"), 2, on_told, &list);
    await(&list);
    assert_string_equal(list.text, "a@counted.example\nb@counted.example");
    assert_int_equal(set_state("b@counted.example", ACCOUNT_ACTIVE), ERR_OK);
    assert_count(ACCOUNT_ACTIVE, "3");
    struct answer gone = { .is_done = false };
    account_delete(store, STR("c@counted.example"), on_changed, &gone);
    await(&gone);
    assert_int_equal(set_state("c@counted.example", ACCOUNT_ACTIVE), ERR_NOT_FOUND);
    assert_int_equal(set_state("d@counted.example", ACCOUNT_ACTIVE), ERR_NOT_FOUND);
    assert_count(ACCOUNT_ACTIVE, "2");
}

/* C33 */
static void who_looks_like_an_account_is_not_registered(void **state)
{
    (void)state;
    assert_int_equal(create("paypal@looks.example", 1).err, ERR_OK);
    assert_int_equal(register_name("paypa1@looks.example"), ERR_EXISTS);
    assert_int_equal(load("paypa1@looks.example").err, ERR_NOT_FOUND);
    assert_int_equal(register_name("paypal@looks.example"), ERR_EXISTS);
    assert_int_equal(register_name("paypa1@other.example"), ERR_OK);
    assert_int_equal(register_name("paypals@looks.example"), ERR_OK);
    assert_int_equal(
            register_name("paypa1s@looks.example"), ERR_EXISTS);     /* registered ones count */
    assert_int_equal(create("paypa1@looks.example", 1).err, ERR_OK); /* who administrates may */

    /* One that is not erased yet still counts; afterwards its look-alikes are free. */
    assert_int_equal(create("modern@looks.example", 1).err, ERR_OK);
    struct answer gone = { .is_done = false };
    account_delete(store, STR("modern@looks.example"), on_changed, &gone);
    await(&gone);
    assert_int_equal(register_name("modem@looks.example"), ERR_EXISTS);
    scratch_sql(&database, "DELETE FROM router.account WHERE bare = 'modern@looks.example'");
    assert_int_equal(register_name("modem@looks.example"), ERR_OK);
}

/* B22: a store that is down is unavailable, never "no such account". */
static void a_dead_store_is_unavailable(void **state)
{
    (void)state;
    scratch_do("scratch-pg", "crash", database.dir);
    assert_int_equal(load("a@example.net").err, ERR_UNAVAILABLE);
    scratch_do("scratch-pg", "start", database.dir);
}

static int start(void **state)
{
    (void)state;
    scratch_router_start(&database);
    store = account_store_create(database.pool, STR("the key of names has 32 bytes..."));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    scratch_database_stop(&database);
    account_store_destroy(store);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_account_is_created_with_all_verifiers),
        cmocka_unit_test(a_taken_name_is_refused_and_left_alone),
        cmocka_unit_test(unknown_names_are_not_found),
        cmocka_unit_test(a_new_password_replaces_all_verifiers),
        cmocka_unit_test(a_deleted_name_stays_blocked),
        cmocka_unit_test(odd_names_are_only_names),
        cmocka_unit_test(accounts_are_counted_listed_and_disabled),
        cmocka_unit_test(who_looks_like_an_account_is_not_registered),
        cmocka_unit_test(a_dead_store_is_unavailable),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

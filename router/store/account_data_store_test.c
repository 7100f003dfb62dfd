/* What accounts keep, against a real PostgreSQL, with the rights of the service's role. */
#include "router/store/account_data_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/base/buf.h"
#include "router/store/account_store.h"
#include "tests/lib/scratch_database.h"

#define SHARD 3
#define EPOCH 7

static struct scratch_database database;
static struct account_data_store *store;
static int64_t owner;

struct answer {
    bool is_done;
    enum err err;
    size_t count;
    bool is_sealed;
    struct buf value;
    struct buf key;
};

static void on_loaded(void *context, enum err err, const struct account_datum *rows, size_t count)
{
    struct answer *answer = context;
    answer->is_done = true;
    answer->err = err;
    answer->count = count;
    if (count) {
        answer->is_sealed = rows[0].is_sealed;
        buf_append_str(&answer->value, rows[0].value);
    }
}

static void on_changed(void *context, enum err err)
{
    struct answer *answer = context;
    answer->is_done = true;
    answer->err = err;
}

static void await(struct answer *answer)
{
    scratch_await(&database, &answer->is_done);
}

#define SEAL "a seal of 28 bytes is there: "

static enum err put_with(uint64_t epoch,
        const struct account_datum *items,
        size_t count,
        int64_t max_items,
        int64_t max_bytes)
{
    struct account_data_change change = {
        .owner = owner,
        .kind = ACCOUNT_DATA_PRIVATE_XML,
        .shard = SHARD,
        .epoch = epoch,
        .items = items,
        .count = count,
        .max_items = max_items,
        .max_bytes = max_bytes,
    };
    struct answer answer = { .is_done = false };
    account_data_put(store, &change, on_changed, &answer);
    await(&answer);
    return answer.err;
}

static enum err put(const char *key, const char *value)
{
    char sealed[256];
    (void)snprintf(sealed, sizeof(sealed), SEAL "%s", value);
    struct account_datum item = {
        .key = str_from_cstr(key),
        .value = str_from_cstr(value[0] ? sealed : ""),
        .clear_key = STR("clear"),
    };
    return put_with(EPOCH, &item, 1, 3, 100);
}

static struct answer load(const char *key, const char *clear_key)
{
    struct answer answer = { .is_done = false };
    struct account_data_name name = {
        owner, ACCOUNT_DATA_PRIVATE_XML, str_from_cstr(key), str_from_cstr(clear_key)
    };
    account_data_load(store, &name, on_loaded, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
    return answer;
}

static void assert_value(const char *key, const char *value)
{
    struct answer answer = load(key, "clear");
    assert_int_equal(answer.count, value ? 1 : 0);
    if (value) {
        char sealed[256];
        (void)snprintf(sealed, sizeof(sealed), SEAL "%s", value);
        assert_true(answer.is_sealed);
        assert_true(str_equal(buf_view(&answer.value), str_from_cstr(sealed)));
    }
    buf_fini(&answer.value);
}

static void values_come_back_are_replaced_and_go(void **state)
{
    (void)state;
    assert_int_equal(put("a", "one"), ERR_OK);
    assert_int_equal(put("b", "two"), ERR_OK);
    assert_value("a", "one");
    assert_int_equal(put("a", "three"), ERR_OK);
    assert_value("a", "three");
    assert_value("b", "two");
    assert_int_equal(put("a", ""), ERR_OK);
    assert_value("a", NULL);
    assert_int_equal(put("never", ""), ERR_OK);
    assert_value("never", NULL);
}

static void limits_hold_for_all_of_a_kind(void **state)
{
    (void)state;
    struct account_datum three[] = {
        { .key = STR("a"), .value = STR(SEAL "1") },
        { .key = STR("b"), .value = STR(SEAL "2") },
        { .key = STR("c"), .value = STR(SEAL "3") },
    };
    assert_int_equal(put_with(EPOCH, three, 3, 3, 100), ERR_OK);
    assert_int_equal(put("d", "4"), ERR_LIMIT);
    assert_value("d", NULL);
    assert_int_equal(put("c", "instead"), ERR_OK);
    struct account_datum swap[] = { { .key = STR("a") },
        { .key = STR("d"), .value = STR(SEAL "4") } };
    assert_int_equal(put_with(EPOCH, swap, 2, 3, 100), ERR_OK);
    assert_value("d", "4");
    char big[101];
    memset(big, 'x', 100);
    big[100] = '\0';
    assert_int_equal(put("c", big), ERR_LIMIT); /* all of it or nothing */
    assert_value("c", "instead");
}

static void an_old_home_writes_nothing(void **state)
{
    (void)state;
    assert_int_equal(put("f", "new"), ERR_LIMIT); /* three are there: see above */
    assert_int_equal(put("c", "new"), ERR_OK);
    struct account_datum item = { .key = STR("c"), .value = STR(SEAL "old") };
    assert_int_equal(put_with(EPOCH - 1, &item, 1, 3, 100), ERR_FENCED);
    assert_int_equal(put_with(EPOCH + 1, &item, 1, 3, 100), ERR_FENCED);
    assert_value("c", "new");
}

static void what_looks_like_sql_is_a_value(void **state) /* G07 */
{
    (void)state;
    assert_int_equal(put("c", "'); DROP TABLE router.account_data; --"), ERR_OK);
    assert_value("c", "'); DROP TABLE router.account_data; --");
}

static void on_account(void *context, enum err err, const struct account_row *row)
{
    struct answer *answer = context;
    answer->is_done = true;
    answer->err = err;
    if (err == ERR_OK) {
        answer->is_sealed = row->is_blocked_sealed;
        buf_append_str(&answer->value, row->blocked);
        buf_append_str(&answer->key, row->wrapped_key);
    }
}

static struct answer load_account(void)
{
    struct account_store *accounts = account_store_create(database.pool, STR_NULL);
    struct answer answer = { .is_done = false };
    account_load(accounts, STR("a@example.net"), on_account, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
    account_store_destroy(accounts);
    return answer;
}

/* In each parameter that is text or bytes; every byte comes back, and the connection is good for
 * more. */
static void a_megabyte_is_a_value(void **state) /* G07 */
{
    static const char noise[] = "'\\%_\";--\xff";
    (void)state;
    struct buf big;
    buf_init(&big, 0);
    buf_append_literal(&big, SEAL);
    while (big.len < 1 << 20) {
        buf_append(&big, noise, sizeof(noise)); /* with its NUL */
    }
    struct account_datum item = { .key = STR("c"), .value = buf_view(&big) };
    assert_int_equal(put_with(EPOCH, &item, 1, 3, 4 << 20), ERR_OK);
    struct answer answer = load("c", "clear");
    assert_int_equal(answer.count, 1);
    assert_true(str_equal(buf_view(&answer.value), buf_view(&big)));
    buf_fini(&answer.value);
    item.value.len = 1 << 10;
    item.key = buf_view(&big);
    /* The table bounds keys. */
    assert_int_not_equal(put_with(EPOCH, &item, 1, 4, 4 << 20), ERR_OK);
    buf_fini(&big);
    assert_int_equal(put("c", "small"), ERR_OK);
    assert_value("c", "small");
}

static void assert_account(const char *list, bool is_sealed, const char *key)
{
    struct answer answer = load_account();
    assert_true(str_equal(buf_view(&answer.value), str_from_cstr(list)));
    assert_true(str_equal(buf_view(&answer.key), str_from_cstr(key)));
    assert_int_equal(answer.is_sealed, is_sealed);
    buf_fini(&answer.value);
    buf_fini(&answer.key);
}

#define KEY_1 "a wrapped key of at least thirty-two bytes"
#define KEY_2 "another wrapped key that comes much too late"

static enum err put_list(const char *list, const char *wrapped_key)
{
    struct account_datum item = { .value = str_from_cstr(list) };
    struct account_data_change change = {
        .owner = owner,
        .kind = ACCOUNT_DATA_BLOCKLIST,
        .shard = SHARD,
        .epoch = EPOCH,
        .wrapped_key = str_from_cstr(wrapped_key),
        .items = &item,
        .count = 1,
        .max_items = 1,
        .max_bytes = 99,
    };
    struct answer answer = { .is_done = false };
    account_data_put(store, &change, on_changed, &answer);
    await(&answer);
    return answer.err;
}

/* In place of one from before there were seals. */
static void the_block_list_comes_with_the_account_and_its_key(void **state)
{
    (void)state;
    scratch_sql(&database,
            "INSERT INTO router.account_data (owner, kind, key, value)"
            " VALUES (1, 3, '', 'eve@example.org')");
    assert_account("eve@example.org", false, "");
    assert_int_equal(put_list(SEAL "eve", KEY_1), ERR_OK);
    assert_account(SEAL "eve", true, KEY_1);
    assert_int_equal(put_list(SEAL "mallory", ""), ERR_OK);
    assert_account(SEAL "mallory", true, KEY_1);
}

/* Whoever did not know of it sealed with a key nobody will have. */
static void a_second_key_takes_nothing_with_it(void **state)
{
    (void)state;
    assert_int_equal(put_list(SEAL "lost", KEY_2), ERR_UNAVAILABLE);
    assert_account(SEAL "mallory", true, KEY_1);
}

static void a_row_from_before_is_read_and_replaced(void **state)
{
    (void)state;
    scratch_sql(&database,
            "DELETE FROM router.account_data WHERE kind = 1;"
            "INSERT INTO router.account_data (owner, kind, key, value)"
            " VALUES (1, 1, 'clear', repeat('x', 90)::bytea), (1, 1, 'other', '1')");
    struct answer answer = load("sealed", "clear");
    assert_int_equal(answer.count, 1);
    assert_false(answer.is_sealed);
    assert_int_equal(answer.value.len, 90);
    buf_fini(&answer.value);
    assert_int_equal(load("clear", "unknown").count, 0);   /* by its own name only */
    assert_int_equal(put("sealed", "of ten by."), ERR_OK); /* 101 bytes fit in its place only */
    assert_value("sealed", "of ten by.");
    assert_int_equal(load("unknown", "clear").count, 0);
    answer = load("unknown", "other");
    assert_int_equal(answer.count, 1);
    buf_fini(&answer.value);
    assert_int_equal(put("sealed", ""), ERR_OK);
    assert_value("sealed", NULL);
}

static void a_deleted_account_leaves_no_data(void **state) /* C30 */
{
    (void)state;
    scratch_sql(&database, "UPDATE router.account SET state = 2 WHERE bare = 'a@example.net'");
    assert_value("c", NULL);
}

static void a_dead_store_is_unavailable(void **state)
{
    (void)state;
    scratch_do("scratch-pg", "crash", database.dir);
    assert_int_equal(put("a", "x"), ERR_UNAVAILABLE);
    scratch_do("scratch-pg", "start", database.dir);
}

static int start(void **state)
{
    (void)state;
    scratch_router_start(&database);
    scratch_sql(&database,
            "INSERT INTO router.account (bare) VALUES ('a@example.net');"
            "INSERT INTO router.shard_lease (shard, owner, epoch) VALUES (3, 'r', 7)");
    owner = 1;
    store = account_data_store_create(database.pool);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    scratch_database_stop(&database);
    account_data_store_destroy(store);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back_are_replaced_and_go),
        cmocka_unit_test(limits_hold_for_all_of_a_kind),
        cmocka_unit_test(an_old_home_writes_nothing),
        cmocka_unit_test(what_looks_like_sql_is_a_value),
        cmocka_unit_test(a_megabyte_is_a_value),
        cmocka_unit_test(the_block_list_comes_with_the_account_and_its_key),
        cmocka_unit_test(a_second_key_takes_nothing_with_it),
        cmocka_unit_test(a_row_from_before_is_read_and_replaced),
        cmocka_unit_test(a_deleted_account_leaves_no_data),
        cmocka_unit_test(a_dead_store_is_unavailable),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

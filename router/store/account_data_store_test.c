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
    struct buf value;
};

static void on_loaded(void *context, enum err err, const struct account_datum *rows, size_t count)
{
    struct answer *answer = context;
    answer->is_done = true;
    answer->err = err;
    answer->count = count;
    if (count) {
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
    struct account_datum item = { str_from_cstr(key), str_from_cstr(value) };
    return put_with(EPOCH, &item, 1, 3, 100);
}

static void assert_value(const char *key, const char *value)
{
    struct answer answer = { .is_done = false };
    account_data_load(
            store, owner, ACCOUNT_DATA_PRIVATE_XML, str_from_cstr(key), on_loaded, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
    assert_int_equal(answer.count, value ? 1 : 0);
    assert_true(str_equal(buf_view(&answer.value), str_from_cstr(value)));
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
        { STR("a"), STR("1") }, { STR("b"), STR("2") }, { STR("c"), STR("3") }
    };
    assert_int_equal(put_with(EPOCH, three, 3, 3, 100), ERR_OK);
    assert_int_equal(put("d", "4"), ERR_LIMIT);
    assert_value("d", NULL);
    assert_int_equal(put("c", "instead"), ERR_OK);
    struct account_datum swap[] = { { STR("a"), STR_NULL }, { STR("d"), STR("4") } };
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
    struct account_datum item = { STR("c"), STR("old") };
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
        buf_append_str(&answer->value, row->blocked);
    }
}

static void the_block_list_comes_with_the_account(void **state)
{
    (void)state;
    struct account_datum list = { STR_NULL, STR("eve@example.org\n") };
    struct account_data_change change = {
        owner, ACCOUNT_DATA_BLOCKLIST, SHARD, EPOCH, &list, 1, 1, 99
    };
    struct answer answer = { .is_done = false };
    account_data_put(store, &change, on_changed, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
    struct account_store *accounts = account_store_create(database.pool);
    struct answer loaded = { .is_done = false };
    account_load(accounts, STR("a@example.net"), on_account, &loaded);
    await(&loaded);
    assert_int_equal(loaded.err, ERR_OK);
    assert_true(str_equal(buf_view(&loaded.value), STR("eve@example.org\n")));
    buf_fini(&loaded.value);
    account_store_destroy(accounts);
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
        cmocka_unit_test(the_block_list_comes_with_the_account),
        cmocka_unit_test(a_deleted_account_leaves_no_data),
        cmocka_unit_test(a_dead_store_is_unavailable),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

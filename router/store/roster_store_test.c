/* Rows of rosters in a real PostgreSQL, with the rights of the service's role; fenced by epochs. */
#include "router/store/roster_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/scratch_database.h"

static struct scratch_database database;
static struct roster_store *store;

struct answer {
    bool is_done;
    enum err err;
    int64_t version;
    size_t count;
    char key[64];
    char item[64];
};

static void keep(char *out, struct str text)
{
    (void)snprintf(out, 64, STR_FMT, STR_ARG(text));
}

static void on_loaded(void *context, enum err err, const struct roster_snapshot *snapshot)
{
    struct answer *answer = context;
    answer->is_done = true;
    answer->err = err;
    if (!snapshot) {
        return;
    }
    answer->version = snapshot->version;
    answer->count = snapshot->count;
    keep(answer->key, snapshot->wrapped_key);
    if (snapshot->count > 0) {
        keep(answer->item, snapshot->rows[0].item);
        assert_int_equal(snapshot->rows[0].contact.len, 32);
    }
}

static void on_saved(void *context, enum err err)
{
    struct answer *answer = context;
    answer->is_done = true;
    answer->err = err;
}

static struct answer load(int64_t owner)
{
    struct answer answer = { .is_done = false };
    roster_load(store, owner, on_loaded, &answer);
    scratch_await(&database, &answer.is_done);
    return answer;
}

static enum err save(const char *contact, const char *item, uint64_t epoch, int64_t version)
{
    char padded[33];
    (void)snprintf(padded, sizeof(padded), "%-32s", contact);
    struct roster_write write = {
        .owner = 1,
        .shard = 3,
        .epoch = epoch,
        .contact = str_from(padded, 32),
        .item = str_from_cstr(item),
        .version = version,
        .wrapped_key = version == 1 ? STR("a key wrapped by the routers' key...") : STR_NULL,
    };
    struct answer answer = { .is_done = false };
    roster_save(store, &write, on_saved, &answer);
    scratch_await(&database, &answer.is_done);
    return answer.err;
}

static void rows_are_put_replaced_and_removed(void **state)
{
    (void)state;
    struct answer answer = load(1);
    assert_int_equal(answer.err, ERR_OK);
    assert_int_equal(answer.count, 0);
    assert_int_equal(answer.version, 0);
    assert_string_equal(answer.key, "");
    assert_int_equal(save("bob", "one", 5, 1), ERR_OK);
    assert_int_equal(save("bob", "two", 5, 2), ERR_OK);
    assert_int_equal(save("carol", "three", 5, 3), ERR_OK);
    answer = load(1);
    assert_int_equal(answer.count, 2);
    assert_int_equal(answer.version, 3);
    assert_string_equal(answer.key, "a key wrapped by the routers' key...");
    assert_int_equal(save("carol", "", 5, 4), ERR_OK);
    answer = load(1);
    assert_int_equal(answer.count, 1);
    assert_string_equal(answer.item, "two");
    assert_int_equal(load(2).count, 0);
}

static void a_former_home_writes_nothing(void **state) /* F08 */
{
    (void)state;
    scratch_sql(&database, "UPDATE router.shard_lease SET epoch = 6 WHERE shard = 3");
    assert_int_equal(save("bob", "late", 5, 9), ERR_FENCED);
    assert_int_equal(save("bob", "", 5, 9), ERR_FENCED);
    struct answer answer = load(1);
    assert_string_equal(answer.item, "two");
    assert_int_equal(answer.version, 4);
    assert_int_equal(save("bob", "new home", 6, 9), ERR_OK);
}

static void a_dead_store_is_unavailable(void **state)
{
    (void)state;
    scratch_do("scratch-pg", "crash", database.dir);
    assert_int_equal(load(1).err, ERR_UNAVAILABLE);
    assert_int_equal(save("bob", "x", 6, 10), ERR_UNAVAILABLE);
    scratch_do("scratch-pg", "start", database.dir);
}

static int start(void **state)
{
    (void)state;
    scratch_router_start(&database);
    scratch_sql(&database,
            "INSERT INTO router.account (bare) VALUES ('alice@example.net'), ('bob@example.net');"
            "INSERT INTO router.shard_lease (shard, owner, epoch) VALUES (3, 'r1', 5)");
    store = roster_store_create(database.pool);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    scratch_database_stop(&database);
    roster_store_destroy(store);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_put_replaced_and_removed),
        cmocka_unit_test(a_former_home_writes_nothing),
        cmocka_unit_test(a_dead_store_is_unavailable),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

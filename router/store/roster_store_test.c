/* Rows of rosters in a real PostgreSQL, with the rights of the service's role; fenced by epochs. */
#include "router/store/roster_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/pg.h"
#include "tests/lib/scratch_servers.h"

#define WAIT_MS 10000

static char dir[128];
static struct loop *loop;
static struct pg_pool *pool;
static struct roster_store *store;

static void psql(const char *sql)
{
    char command[1024];
    (void)snprintf(command,
            sizeof(command),
            "psql -q -v ON_ERROR_STOP=1 -h %s -U postgres -c \"%s\" >/dev/null",
            dir,
            sql);
    assert_int_equal(system(command), 0);
}

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
    assert_true(scratch_run_until(loop, scratch_is_true, &answer.is_done, WAIT_MS));
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
    assert_true(scratch_run_until(loop, scratch_is_true, &answer.is_done, WAIT_MS));
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
    psql("UPDATE router.shard_lease SET epoch = 6 WHERE shard = 3");
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
    scratch_do("scratch-pg", "crash", dir);
    assert_int_equal(load(1).err, ERR_UNAVAILABLE);
    assert_int_equal(save("bob", "x", 6, 10), ERR_UNAVAILABLE);
    scratch_do("scratch-pg", "start", dir);
}

static int start(void **state)
{
    (void)state;
    scratch_start("scratch-pg", dir);
    char command[512];
    (void)snprintf(command,
            sizeof(command),
            "cat deploy/sql/router/*.sql | psql -q -v ON_ERROR_STOP=1 -h %s -U postgres -1",
            dir);
    assert_int_equal(system(command), 0);
    psql("INSERT INTO router.account (bare) VALUES ('alice@example.net'), ('bob@example.net');"
         "INSERT INTO router.shard_lease (shard, owner, epoch) VALUES (3, 'r1', 5)");
    static char conninfo[256];
    (void)snprintf(conninfo, sizeof(conninfo), "host=%s user=starling_router dbname=postgres", dir);
    struct pg_options options = {
        .conninfo = conninfo,
        .connections = 2,
        .connect_timeout_ms = 1000,
        .query_timeout_ms = 2000,
        .reconnect_min_ms = 20,
        .reconnect_max_ms = 100,
        .max_queued = 100,
    };
    loop = loop_create(&clock_system);
    if (pg_pool_open(loop, &options, &pool) != ERR_OK) {
        return -1;
    }
    store = roster_store_create(pool);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    pg_pool_close(pool);
    roster_store_destroy(store);
    loop_destroy(loop);
    scratch_do("scratch-pg", "stop", dir);
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

/* The lease functions of deploy/sql/router against a real PostgreSQL, with the rights of the
 * service's role. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/scratch_database.h"

static struct scratch_database database;

struct answer {
    bool is_done;
    enum err err;
    char sqlstate[8];
    int rows;
    int64_t value; /* first column of the first row */
};

static void on_answer(void *context,
        enum err err,
        const char *sqlstate,
        const struct pg_result *const *results,
        size_t count)
{
    struct answer *answer = context;
    answer->is_done = true;
    answer->err = err;
    (void)snprintf(answer->sqlstate, sizeof(answer->sqlstate), "%s", sqlstate);
    if (count == 1) {
        answer->rows = pg_result_rows(results[0]);
        answer->value = answer->rows > 0 && !pg_result_is_null(results[0], 0, 0)
                ? pg_result_int(results[0], 0, 0)
                : -1;
    }
}

static void ask(const char *sql, struct answer *answer)
{
    struct pg_query *query = pg_query_create(database.pool);
    pg_query_statement(query, sql);
    pg_query_send(query, on_answer, answer);
}

static void await(struct answer *answer)
{
    scratch_await(&database, &answer->is_done);
}

static int64_t value(const char *sql)
{
    struct answer answer = { .is_done = false };
    ask(sql, &answer);
    await(&answer);
    assert_string_equal(answer.sqlstate, "");
    assert_int_equal(answer.err, ERR_OK);
    return answer.value;
}

/* clang-format off */
#define TICK(node, boot, draining, retake) \
    "SELECT count(*) FROM router.lease_tick('" node "', 'tcp://" node "', " boot ", 2000, 8, " draining ", '" retake "', 0)"
#define OWNED(node) "SELECT count(*) FROM router.shard WHERE owner = '" node "'"
#define EXPIRE(node) \
    "UPDATE router.router_node SET expires = now() - interval '1 s' WHERE node = '" node "'"
#define EPOCHS "SELECT sum(epoch)::int8 FROM router.shard"
/* clang-format on */

static int empty(void **state)
{
    (void)state;
    (void)value("DELETE FROM router.router_node");
    (void)value("UPDATE router.shard_lease SET owner = NULL, epoch = 0");
    return 0;
}

static void the_first_router_takes_all(void **state)
{
    (void)state;
    assert_int_equal(value(TICK("a", "1", "false", "{}")), 8);
    assert_int_equal(value(OWNED("a")), 8);
    assert_int_equal(value(EPOCHS), 8);
}

static void an_unchanged_table_is_not_sent_again(void **state)
{
    (void)state;
    (void)value(TICK("a", "1", "false", "{}"));
    assert_int_equal(
            value("SELECT count(*) FROM router.lease_tick('a', 'tcp://a', 1, 2000, 8, false,"
                  " '{}', (SELECT version FROM router.shard_version))"),
            0);
}

static void a_second_router_takes_only_what_is_given(void **state)
{
    (void)state;
    (void)value(TICK("a", "1", "false", "{}"));
    (void)value(TICK("b", "1", "false", "{}"));
    assert_int_equal(value(OWNED("b")), 0);
    assert_int_equal(value("SELECT router.hand_over(3, 'a', 1, 'b')::int"), 1);
    assert_int_equal(value("SELECT router.hand_over(3, 'a', 1, 'b')::int"), 0);
    assert_int_equal(value("SELECT epoch FROM router.shard WHERE shard = 3 AND owner = 'b'"), 2);
}

static void a_hand_over_to_the_dead_frees_the_shard(void **state)
{
    (void)state;
    (void)value(TICK("a", "1", "false", "{}"));
    assert_int_equal(value("SELECT router.hand_over(3, 'a', 1, 'nobody')::int"), 1);
    assert_int_equal(value("SELECT count(*) FROM router.shard WHERE owner IS NULL"), 1);
}

static void an_expired_lease_is_taken_over_with_new_epochs(void **state)
{
    (void)state;
    (void)value(TICK("a", "1", "false", "{}"));
    (void)value(TICK("b", "1", "false", "{}"));
    (void)value(EXPIRE("a"));
    (void)value(TICK("b", "1", "false", "{}"));
    assert_int_equal(value(OWNED("b")), 8);
    assert_int_equal(value(EPOCHS), 16);
}

/* PostgreSQL was away: who asks first takes nothing from those who have not asked yet. */
static void when_all_leases_have_expired_everybody_keeps_its_shards(void **state)
{
    (void)state;
    (void)value(TICK("a", "1", "false", "{}"));
    (void)value(TICK("b", "1", "false", "{}"));
    assert_int_equal(value("SELECT router.hand_over(3, 'a', 1, 'b')::int"), 1);
    (void)value(EXPIRE("a"));
    (void)value(EXPIRE("b"));
    (void)value(TICK("b", "1", "false", "{}"));
    (void)value(TICK("a", "1", "false", "{}"));
    assert_int_equal(value(OWNED("a")), 7);
    assert_int_equal(value(OWNED("b")), 1);
    assert_int_equal(value(EPOCHS), 9);
}

static void free_shards_are_shared_fairly(void **state)
{
    (void)state;
    (void)value(TICK("a", "1", "false", "{}"));
    (void)value(TICK("b", "1", "false", "{}"));
    (void)value(TICK("c", "1", "false", "{}"));
    (void)value(EXPIRE("a"));
    (void)value(TICK("b", "1", "false", "{}"));
    (void)value(TICK("c", "1", "false", "{}"));
    assert_int_equal(value(OWNED("b")), 4);
    assert_int_equal(value(OWNED("c")), 4);
}

static void a_new_boot_takes_its_shards_over_at_once(void **state)
{
    (void)state;
    (void)value(TICK("a", "1", "false", "{}"));
    (void)value(TICK("a", "2", "false", "{}"));
    assert_int_equal(value(OWNED("a")), 8);
    assert_int_equal(value(EPOCHS), 16);
}

static void an_older_process_of_the_same_name_is_refused(void **state)
{
    (void)state;
    (void)value(TICK("a", "2", "false", "{}"));
    struct answer answer = { .is_done = false };
    ask(TICK("a", "1", "false", "{}"), &answer);
    await(&answer);
    assert_string_equal(answer.sqlstate, "ST001");
    assert_int_equal(value(OWNED("a")), 8);
    assert_int_equal(value(EPOCHS), 8);
}

static void lost_shards_come_back_under_new_epochs(void **state)
{
    (void)state;
    (void)value(TICK("a", "1", "false", "{}"));
    (void)value(TICK("a", "1", "false", "{2,5}"));
    assert_int_equal(value(OWNED("a")), 8);
    assert_int_equal(value("SELECT epoch FROM router.shard WHERE shard = 2"), 2);
    assert_int_equal(value(EPOCHS), 10);
}

static void a_draining_router_takes_nothing_and_gets_nothing(void **state)
{
    (void)state;
    (void)value(TICK("a", "1", "false", "{}"));
    (void)value(TICK("b", "1", "true", "{}"));
    assert_int_equal(value("SELECT router.hand_over(0, 'a', 1, 'b')::int"), 1);
    assert_int_equal(value(OWNED("b")), 0);
    (void)value(TICK("b", "1", "true", "{}"));
    assert_int_equal(value(OWNED("b")), 0);
    (void)value(TICK("a", "1", "false", "{}"));
    assert_int_equal(value(OWNED("a")), 8);
}

/* Pods come under ever new names. */
static void the_dead_are_forgotten_when_they_own_nothing(void **state)
{
    (void)state;
    (void)value(TICK("a", "1", "false", "{}"));
    (void)value(TICK("b", "1", "true", "{}"));
    (void)value("UPDATE router.router_node SET expires = now() - interval '2 min'");
    (void)value(TICK("c", "1", "true", "{}"));
    assert_int_equal(value("SELECT count(*) FROM router.router_node WHERE node = 'b'"), 0);
    assert_int_equal(value("SELECT count(*) FROM router.router_node WHERE node = 'a'"), 1);
}

static void who_leaves_frees_its_shards(void **state)
{
    (void)state;
    (void)value(TICK("a", "1", "false", "{}"));
    assert_int_equal(value("SELECT 1 FROM router.leave('a', 2)"), 1);
    assert_int_equal(value(OWNED("a")), 8);
    assert_int_equal(value("SELECT 1 FROM router.leave('a', 1)"), 1);
    assert_int_equal(value("SELECT count(*) FROM router.shard WHERE owner IS NULL"), 8);
}

/* Fencing (F08): while an append holds the shard, nobody takes it over, and the others go on. */
static void a_shard_with_a_running_append_waits_for_it(void **state)
{
    (void)state;
    (void)value(TICK("a", "1", "false", "{}"));
    (void)value(TICK("b", "1", "false", "{}"));
    (void)value(EXPIRE("a"));
    struct answer append = { .is_done = false };
    struct answer tick = { .is_done = false };
    ask("SELECT 1 FROM pg_advisory_xact_lock_shared(7301, 3), pg_sleep(1.2)", &append);
    (void)value("SELECT 1 FROM pg_sleep(0.1)");
    ask(TICK("b", "1", "false", "{}"), &tick);
    await(&tick);
    assert_false(append.is_done);
    assert_int_equal(tick.err, ERR_OK);
    assert_int_equal(value(OWNED("b")), 7);
    await(&append);
    (void)value(TICK("b", "1", "false", "{}"));
    assert_int_equal(value(OWNED("b")), 8);
}

static void a_short_append_is_waited_for(void **state)
{
    (void)state;
    (void)value(TICK("a", "1", "false", "{}"));
    (void)value(TICK("b", "1", "false", "{}"));
    (void)value(EXPIRE("a"));
    struct answer append = { .is_done = false };
    ask("SELECT 1 FROM pg_advisory_xact_lock_shared(7301, 3), pg_sleep(0.2)", &append);
    (void)value("SELECT 1 FROM pg_sleep(0.05)");
    (void)value(TICK("b", "1", "false", "{}"));
    assert_true(append.is_done);
    assert_int_equal(value(OWNED("b")), 8);
}

static int start(void **state)
{
    (void)state;
    scratch_database_start(&database);
    database.pool = scratch_pool(&database, "starling_router", 3);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    scratch_database_stop(&database);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup(name, empty)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_router_takes_all),
        CASE(an_unchanged_table_is_not_sent_again),
        CASE(a_second_router_takes_only_what_is_given),
        CASE(a_hand_over_to_the_dead_frees_the_shard),
        CASE(an_expired_lease_is_taken_over_with_new_epochs),
        CASE(when_all_leases_have_expired_everybody_keeps_its_shards),
        CASE(free_shards_are_shared_fairly),
        CASE(a_new_boot_takes_its_shards_over_at_once),
        CASE(an_older_process_of_the_same_name_is_refused),
        CASE(lost_shards_come_back_under_new_epochs),
        CASE(a_draining_router_takes_nothing_and_gets_nothing),
        CASE(the_dead_are_forgotten_when_they_own_nothing),
        CASE(who_leaves_frees_its_shards),
        CASE(a_shard_with_a_running_append_waits_for_it),
        CASE(a_short_append_is_waited_for),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

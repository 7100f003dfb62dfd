/* The PostgreSQL client against a real server (tests/lib/scratch-pg). */
#include "chassis/pg.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "chassis/base/mem.h"
#include "tests/lib/scratch_servers.h"

enum {
    WAIT_MS = 10000,
    QUERY_TIMEOUT_MS = 3000,
};

struct fixture {
    char dir[128];
    char conninfo[256];
    struct loop *loop;
    struct pg_pool *pool;
};

static struct fixture fixture;
static int answers; /* counts all answers, to see their order */
static int changes_up, changes_down;

/* What a query came back with. */
struct answer {
    bool is_done;
    int order;
    enum err err;
    char sqlstate[8];
    size_t count;
    int64_t values[4]; /* first column of the first row of each statement */
    int64_t affected;
    char text[64];
};

static void on_answer(void *context,
        enum err err,
        const char *sqlstate,
        const struct pg_result *const *results,
        size_t count)
{
    struct answer *answer = context;
    assert_false(answer->is_done);
    answer->is_done = true;
    answer->order = ++answers;
    answer->err = err;
    answer->count = count;
    (void)snprintf(answer->sqlstate, sizeof(answer->sqlstate), "%s", sqlstate);
    for (size_t i = 0; i < count && i < 4; i++) {
        if (pg_result_rows(results[i]) == 0 || pg_result_is_null(results[i], 0, 0)) {
            answer->values[i] = -1;
            answer->affected = pg_result_affected(results[i]);
            continue;
        }
        struct str bytes = pg_result_bytes(results[i], 0, 0);
        (void)snprintf(answer->text, sizeof(answer->text), STR_FMT, STR_ARG(bytes));
        if (bytes.len == 1 || bytes.len == 2 || bytes.len == 4 || bytes.len == 8) {
            answer->values[i] = pg_result_int(results[i], 0, 0);
        }
    }
}

static void await(struct answer *answer)
{
    assert_true(scratch_run_until(fixture.loop, scratch_is_true, &answer->is_done, WAIT_MS));
}

static bool is_up(void *context)
{
    (void)context;
    return pg_pool_is_up(fixture.pool);
}

static void on_change(void *context, bool up)
{
    (void)context;
    changes_up += up;
    changes_down += !up;
}

static void open_pool(int connections, int64_t query_timeout_ms, size_t max_queued)
{
    struct pg_options options = {
        .conninfo = fixture.conninfo,
        .connections = connections,
        .connect_timeout_ms = 2000,
        .query_timeout_ms = query_timeout_ms,
        .reconnect_min_ms = 20,
        .reconnect_max_ms = 100,
        .max_queued = max_queued,
    };
    changes_up = changes_down = 0;
    assert_int_equal(pg_pool_open(fixture.loop, &options, &fixture.pool), ERR_OK);
    pg_pool_on_change(fixture.pool, on_change, NULL);
}

static bool are_all_free(void *context)
{
    return pg_pool_free_connections(fixture.pool) == *(const int *)context;
}

static void open_ready_pool(int connections)
{
    open_pool(connections, QUERY_TIMEOUT_MS, 100);
    assert_true(scratch_run_until(fixture.loop, are_all_free, &connections, WAIT_MS));
}

static int close_pool(void **state)
{
    (void)state;
    pg_pool_close(fixture.pool);
    fixture.pool = NULL;
    return 0;
}

static void ask(const char *sql, struct answer *answer)
{
    struct pg_query *query = pg_query_create(fixture.pool);
    pg_query_statement(query, sql);
    pg_query_send(query, on_answer, answer);
}

static void run(const char *sql)
{
    struct answer answer = { 0 };
    ask(sql, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
}

/* ---- values */

static void test_every_parameter_type_round_trips(void **state)
{
    (void)state;
    open_ready_pool(1);
    struct pg_query *query = pg_query_create(fixture.pool);
    pg_query_statement(query,
            "SELECT ($1::bigint = -5 AND $2::int = -7 AND $3::bool AND $4::text = 'x''%_'"
            " AND $5::bytea = '\\x00ff' AND $6::uuid = '00000000-0000-0001-0000-000000000002'"
            " AND $7::text IS NULL AND $8::text = '')");
    pg_add_int8(query, -5);
    pg_add_int4(query, -7);
    pg_add_bool(query, true);
    pg_add_text(query, STR("x'%_"));
    pg_add_bytes(query, STR("\0\xff"));
    pg_add_uuid(query, 1, 2);
    pg_add_null(query);
    pg_add_text(query, STR_NULL);
    struct answer answer = { 0 };
    pg_query_send(query, on_answer, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
    assert_int_equal(answer.values[0], 1);
}

static void test_arrays_round_trip_empty_and_with_null(void **state)
{
    (void)state;
    open_ready_pool(1);
    struct pg_query *query = pg_query_create(fixture.pool);
    pg_query_statement(query,
            "SELECT $1::bigint[] = ARRAY[1,-2]::bigint[] AND $2::bytea[] = '{}'"
            " AND $3::text[] IS NOT DISTINCT FROM ARRAY['a',NULL,'']"
            " AND $4::uuid[] = ARRAY['00000000-0000-0003-0000-000000000004']::uuid[]"
            " AND $5::int = 9");
    pg_add_array_begin(query, PG_ARRAY_INT8);
    pg_add_int8(query, 1);
    pg_add_int8(query, -2);
    pg_add_array_end(query);
    pg_add_array_begin(query, PG_ARRAY_BYTEA);
    pg_add_array_end(query);
    pg_add_array_begin(query, PG_ARRAY_TEXT);
    pg_add_text(query, STR("a"));
    pg_add_null(query);
    pg_add_text(query, STR(""));
    pg_add_array_end(query);
    pg_add_array_begin(query, PG_ARRAY_UUID);
    pg_add_uuid(query, 3, 4);
    pg_add_array_end(query);
    pg_add_int4(query, 9);
    struct answer answer = { 0 };
    pg_query_send(query, on_answer, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
    assert_int_equal(answer.values[0], 1);
}

/* G07 */
static void test_nul_in_text_is_refused_from_the_loop(void **state)
{
    (void)state;
    open_ready_pool(1);
    struct pg_query *query = pg_query_create(fixture.pool);
    pg_query_statement(query, "SELECT $1::text");
    pg_add_text(query, str_from("a\0b", 3));
    struct answer answer = { 0 };
    pg_query_send(query, on_answer, &answer);
    assert_false(answer.is_done);
    await(&answer);
    assert_int_equal(answer.err, ERR_INVALID);
}

/* G07 */
static void test_bad_utf8_is_refused_by_the_server(void **state)
{
    (void)state;
    open_ready_pool(1);
    struct pg_query *query = pg_query_create(fixture.pool);
    pg_query_statement(query, "SELECT $1::text");
    pg_add_text(query, STR("\xff\xfe"));
    struct answer answer = { 0 };
    pg_query_send(query, on_answer, &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_INVALID);
    assert_string_equal(answer.sqlstate, "22021");
}

/* ---- pipelines and transactions */

static void test_queries_of_one_turn_are_answered_in_order(void **state)
{
    (void)state;
    open_ready_pool(1);
    struct answer list[20] = { 0 };
    for (int i = 0; i < 20; i++) {
        struct pg_query *query = pg_query_create(fixture.pool);
        pg_query_statement(query, "SELECT $1::bigint");
        pg_add_int8(query, i);
        pg_query_send(query, on_answer, &list[i]);
    }
    await(&list[19]);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(list[i].err, ERR_OK);
        assert_int_equal(list[i].values[0], i);
        assert_int_equal(list[i].order, list[0].order + i);
    }
}

static void test_an_error_leaves_its_neighbours_in_the_pipeline_alone(void **state)
{
    (void)state;
    open_ready_pool(1);
    struct answer list[3] = { 0 };
    ask("SELECT 1::bigint", &list[0]);
    ask("SELECT 1 / (SELECT 0)", &list[1]);
    ask("SELECT 3::bigint", &list[2]);
    await(&list[2]);
    assert_int_equal(list[0].err, ERR_OK);
    assert_int_equal(list[1].err, ERR_INVALID);
    assert_string_equal(list[1].sqlstate, "22012");
    assert_int_equal(list[2].err, ERR_OK);
    assert_int_equal(list[2].values[0], 3);
    assert_int_equal(changes_down, 0);
}

static void test_several_statements_commit_together_and_roll_back_together(void **state)
{
    (void)state;
    open_ready_pool(1);
    run("CREATE TABLE pair (n int PRIMARY KEY)");
    struct answer good = { 0 };
    struct answer bad = { 0 };
    struct answer after = { 0 };
    struct pg_query *query = pg_query_create(fixture.pool);
    pg_query_statement(query, "INSERT INTO pair VALUES (1)");
    pg_query_statement(query, "SELECT count(*) FROM pair");
    pg_query_send(query, on_answer, &good);
    query = pg_query_create(fixture.pool);
    pg_query_statement(query, "INSERT INTO pair VALUES (2)");
    pg_query_statement(query, "INSERT INTO pair VALUES (1)  ");
    pg_query_statement(query, "INSERT INTO pair VALUES (3)");
    pg_query_send(query, on_answer, &bad);
    ask("SELECT count(*) FROM pair ", &after);
    await(&after);
    assert_int_equal(good.err, ERR_OK);
    assert_int_equal(good.count, 2);
    assert_int_equal(good.values[1], 1);
    assert_int_equal(bad.err, ERR_EXISTS);
    assert_string_equal(bad.sqlstate, "23505");
    assert_int_equal(bad.count, 0);
    assert_int_equal(after.values[0], 1); /* neither 2 nor 3 */
    run("DROP TABLE pair");
}

static void test_a_statement_that_cannot_be_prepared_tells_why_to_all_who_use_it(void **state)
{
    (void)state;
    static const char sql[] = "SELECT n FROM not_there_yet";
    open_ready_pool(1);
    struct answer list[2] = { 0 };
    ask(sql, &list[0]);
    ask(sql, &list[1]);
    await(&list[1]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(list[i].err, ERR_INVALID);
        assert_string_equal(list[i].sqlstate, "42P01");
    }
    run("CREATE TABLE not_there_yet (n bigint)");
    struct answer later = { 0 };
    ask(sql, &later);
    await(&later);
    assert_int_equal(later.err, ERR_OK);
    run("DROP TABLE not_there_yet");
}

static void test_affected_rows_are_counted(void **state)
{
    (void)state;
    open_ready_pool(1);
    run("CREATE TABLE three (n int)");
    struct answer answer = { 0 };
    ask("INSERT INTO three SELECT generate_series(1, 3)", &answer);
    await(&answer);
    assert_int_equal(answer.affected, 3);
    run("DROP TABLE three");
}

/* One of the two is the victim, and is sent again behind the other. */
static void test_a_deadlock_is_tried_again(void **state)
{
    (void)state;
    open_pool(2, 8000, 100);
    const int both = 2;
    assert_true(scratch_run_until(fixture.loop, are_all_free, (void *)(intptr_t)&both, WAIT_MS));
    run("CREATE TABLE fight (n int PRIMARY KEY, v bigint)");
    run("INSERT INTO fight VALUES (1, 0), (2, 0)");
    struct answer fighters[2] = { 0 };
    const char *const sql[2][3] = {
        { "UPDATE fight SET v = v + 1 WHERE n = 1",
                "SELECT pg_sleep(0.3)  ",
                "UPDATE fight SET v = v + 1 WHERE n = 2" },
        { "UPDATE fight SET v = v + 1 WHERE n = 2 ",
                "SELECT pg_sleep(0.3)   ",
                "UPDATE fight SET v = v + 1 WHERE n = 1 " },
    };
    for (int i = 0; i < 2; i++) {
        struct pg_query *query = pg_query_create(fixture.pool);
        for (int j = 0; j < 3; j++) {
            pg_query_statement(query, sql[i][j]);
        }
        pg_query_send(query, on_answer, &fighters[i]);
    }
    for (int i = 0; i < 2; i++) {
        await(&fighters[i]);
        assert_int_equal(fighters[i].err, ERR_OK);
        assert_string_equal(fighters[i].sqlstate, "");
    }
    struct answer deadlocks = { 0 };
    struct answer sum = { 0 };
    ask("SELECT sum(v)::bigint FROM fight", &sum);
    await(&sum);
    assert_int_equal(sum.values[0], 4);
    bool never = false;
    (void)scratch_run_until(fixture.loop, scratch_is_true, &never, 1500); /* statistics are late */
    ask("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()", &deadlocks);
    await(&deadlocks);
    assert_int_equal(deadlocks.values[0], 1);
    run("DROP TABLE fight");
}

/* A sequence counts on when its transaction is rolled back. */
static void expect_tries(const char *sql, enum err err, int64_t tries)
{
    struct answer answer = { 0 };
    run("ALTER SEQUENCE tries RESTART");
    ask(sql, &answer);
    await(&answer);
    assert_int_equal(answer.err, err);
    assert_string_equal(answer.sqlstate, err == ERR_OK ? "" : "40001");
    struct answer count = { 0 };
    ask("SELECT last_value FROM tries", &count);
    await(&count);
    assert_int_equal(count.values[0], tries);
}

static void test_three_retries_are_enough(void **state)
{
    (void)state;
    open_ready_pool(1);
    run("CREATE SEQUENCE tries");
    run("CREATE FUNCTION fail_until(last bigint) RETURNS bigint LANGUAGE plpgsql AS"
        " $$ DECLARE n bigint := nextval('tries'); BEGIN IF n < last THEN"
        " RAISE serialization_failure; END IF; RETURN n; END $$");
    expect_tries("SELECT fail_until(1)", ERR_OK, 1);
    expect_tries("SELECT fail_until(4)", ERR_OK, 4);
    expect_tries("SELECT fail_until(5)", ERR_CONFLICT, 4);
    run("ALTER SEQUENCE tries RESTART ");
    struct answer closed = { 0 };
    ask("SELECT fail_until(100)", &closed);
    bool never = false;
    (void)scratch_run_until(fixture.loop, scratch_is_true, &never, 2);
    close_pool(NULL); /* while it rests, or flies */
    assert_true(closed.is_done);
    open_ready_pool(1);
    run("DROP FUNCTION fail_until");
    run("DROP SEQUENCE tries");
}

static void test_a_slow_query_takes_one_connection_only(void **state)
{
    (void)state;
    open_ready_pool(2);
    struct answer slow = { 0 };
    struct answer quick = { 0 };
    ask("SELECT pg_sleep(0.3)", &slow);
    run("SELECT 2");
    ask("SELECT 2", &quick);
    await(&quick);
    assert_false(slow.is_done);
    await(&slow);
}

/* ---- faults */

/* G02: the server ends the statement first, the connection lives on. */
static void test_statement_timeout_spares_the_connection(void **state)
{
    (void)state;
    open_pool(1, 500, 100);
    assert_true(scratch_run_until(fixture.loop, is_up, NULL, WAIT_MS));
    struct answer answer = { 0 };
    ask("SELECT pg_sleep(5)", &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_TIMEOUT);
    assert_string_equal(answer.sqlstate, "57014");
    assert_int_equal(changes_down, 0);
}

static void test_a_hung_server_ends_in_timeout_and_recovery(void **state)
{
    (void)state;
    open_pool(1, 600, 100);
    assert_true(scratch_run_until(fixture.loop, is_up, NULL, WAIT_MS));
    struct answer pid = { 0 };
    ask("SELECT pg_backend_pid()", &pid);
    await(&pid);
    char command[64];
    (void)snprintf(command, sizeof(command), "kill -STOP %d", (int)pid.values[0]);
    assert_int_equal(system(command), 0);
    struct answer hung = { 0 };
    ask("SELECT 4::bigint", &hung);
    await(&hung);
    assert_int_equal(hung.err, ERR_TIMEOUT);
    (void)snprintf(command, sizeof(command), "kill -CONT %d", (int)pid.values[0]);
    assert_int_equal(system(command), 0);
    struct answer after = { 0 };
    ask("SELECT 5::bigint", &after);
    await(&after);
    assert_int_equal(after.err, ERR_OK);
    assert_int_equal(changes_down, 1);
}

static void test_terminated_backend_ends_its_queries_and_reconnects(void **state)
{
    (void)state;
    open_ready_pool(1);
    struct answer list[2] = { 0 };
    ask("SELECT pg_terminate_backend(pg_backend_pid())", &list[0]);
    ask("SELECT 1::bigint", &list[1]);
    await(&list[1]);
    assert_int_equal(list[0].err, ERR_UNAVAILABLE);
    assert_int_equal(list[1].err, ERR_UNAVAILABLE);
    struct answer after = { 0 };
    ask("SELECT 6::bigint", &after);
    await(&after);
    assert_int_equal(after.err, ERR_OK);
}

static void die_in_query(void)
{
    (void)setenv("STARLING_FAILPOINT", "before-commit:2", 1);
    open_ready_pool(1);
    for (int i = 0; i < 2; i++) {
        struct answer answer = { 0 };
        struct pg_query *query = pg_query_create(fixture.pool);
        pg_query_statement(query, "SELECT nextval('passages')");
        pg_query_statement(query, "INSERT INTO passed VALUES (1)");
        pg_query_failpoint(query, "before-commit");
        pg_query_send(query, on_answer, &answer);
        await(&answer);
    }
}

/* T02: what the second query did is done and not committed. A sequence keeps what is rolled back.
 */
static void test_a_failpoint_is_between_the_statements_and_the_commit(void **state)
{
    (void)state;
#ifdef STARLING_TEST_BUILD
    open_ready_pool(1);
    run("CREATE SEQUENCE passages");
    run("CREATE TABLE passed (n int)");
    pid_t child = fork();
    if (child == 0) {
        fixture.loop = loop_create(&clock_system);
        die_in_query();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    struct answer done = { 0 };
    ask("SELECT last_value FROM passages", &done);
    await(&done);
    assert_int_equal(done.values[0], 2);
    struct answer committed = { 0 };
    ask("SELECT count(*) FROM passed", &committed);
    await(&committed);
    assert_int_equal(committed.values[0], 1);
#endif
}

/* G01, T03 */
static void test_crash_mid_query_ends_it_and_a_restart_recovers(void **state)
{
    (void)state;
    open_ready_pool(2);
    struct answer sleeping = { 0 };
    ask("SELECT pg_sleep(2)", &sleeping);
    run("SELECT 1");
    scratch_do("scratch-pg", "crash", fixture.dir);
    await(&sleeping);
    assert_int_equal(sleeping.err, ERR_UNAVAILABLE);
    struct answer waiting = { 0 }; /* no connection: waits for one */
    ask("SELECT 7::bigint", &waiting);
    scratch_do("scratch-pg", "restart", fixture.dir);
    await(&waiting);
    if (waiting.err
            == ERR_UNAVAILABLE) { /* it went to a connection whose death was not known yet */
        waiting = (struct answer){ 0 };
        ask("SELECT 7::bigint", &waiting);
        await(&waiting);
    }
    assert_int_equal(waiting.err, ERR_OK);
    assert_int_equal(waiting.values[0], 7);
}

/* G03, T03 */
static void test_immediate_restart_recovers_with_fresh_prepared_statements(void **state)
{
    (void)state;
    static const char sql[] = "SELECT 8::bigint";
    open_ready_pool(1);
    run(sql);
    scratch_do("scratch-pg", "restart", fixture.dir);
    struct answer lost = { 0 };
    ask(sql, &lost); /* into the dead connection, or behind the new one */
    await(&lost);
    assert_true(lost.err == ERR_OK || lost.err == ERR_UNAVAILABLE);
    run(sql);
}

static void test_without_a_server_queries_wait_bounded_and_end_unavailable(void **state)
{
    (void)state;
    char conninfo[256];
    memcpy(conninfo, fixture.conninfo, sizeof(conninfo));
    (void)snprintf(fixture.conninfo, sizeof(fixture.conninfo), "host=/nonexistent user=nobody");
    open_pool(1, 200, 2);
    memcpy(fixture.conninfo, conninfo, sizeof(conninfo));
    struct answer list[3] = { 0 };
    for (int i = 0; i < 3; i++) {
        ask("SELECT 1", &list[i]);
    }
    await(&list[2]);
    assert_int_equal(list[2].err, ERR_LIMIT); /* at once */
    assert_false(list[0].is_done);
    await(&list[0]);
    await(&list[1]);
    assert_int_equal(list[0].err, ERR_UNAVAILABLE);
    assert_int_equal(list[1].err, ERR_UNAVAILABLE);
}

static void test_close_ends_what_is_in_flight_and_what_waits(void **state)
{
    (void)state;
    open_ready_pool(1);
    struct answer list[2] = { 0 };
    ask("SELECT pg_sleep(1)", &list[0]);
    bool never = false;
    (void)scratch_run_until(fixture.loop, scratch_is_true, &never, 20);
    ask("SELECT 2", &list[1]);
    close_pool(NULL);
    assert_int_equal(list[0].err, ERR_CLOSED);
    assert_int_equal(list[1].err, ERR_CLOSED);
}

static void test_malformed_conninfo_is_refused(void **state)
{
    (void)state;
    struct pg_options options = { .conninfo = "no such option=1", .connections = 1 };
    struct pg_pool *pool = NULL;
    assert_int_equal(pg_pool_open(fixture.loop, &options, &pool), ERR_INVALID);
    assert_null(pool);
}

/* ---- several hosts (G06, T04) */

/* A port that takes connections and never says a word. */
static int listen_in_silence(int *port_out)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = { .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port_out = ntohs(address.sin_port);
    return fd;
}

/* fixture.conninfo stays what it is for the tests behind this one. */
static void open_pool_at(const char *conninfo, int connections, int64_t connect_timeout_ms)
{
    struct pg_options options = {
        .conninfo = conninfo,
        .connections = connections,
        .connect_timeout_ms = connect_timeout_ms,
        .query_timeout_ms = QUERY_TIMEOUT_MS,
        .reconnect_min_ms = 20,
        .reconnect_max_ms = 100,
        .max_queued = 100,
    };
    assert_int_equal(pg_pool_open(fixture.loop, &options, &fixture.pool), ERR_OK);
}

static void test_a_silent_host_costs_one_attempt(void **state)
{
    (void)state;
    int port = 0;
    int fd = listen_in_silence(&port);
    char conninfo[512];
    (void)snprintf(conninfo,
            sizeof(conninfo),
            "host=127.0.0.1,%s port=%d,5432 user=postgres target_session_attrs=read-write",
            fixture.dir,
            port);
    open_pool_at(conninfo, 1, 300);
    assert_true(scratch_run_until(fixture.loop, is_up, NULL, WAIT_MS));
    run("SELECT 1");
    close(fd);
}

static void expect_timeline(const char *expected)
{
    struct answer answer = { 0 };
    ask("SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)", &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
    assert_string_equal(answer.text, expected);
}

static void test_a_primary_of_the_past_is_refused(void **state)
{
    (void)state;
    char newer[128];
    scratch_start("scratch-pg", newer);
    scratch_do("scratch-pg", "promote", newer);
    char conninfo[512];
    (void)snprintf(conninfo, sizeof(conninfo), "host=%s,%s user=postgres", newer, fixture.dir);
    open_pool_at(conninfo, 1, 2000);
    assert_true(scratch_run_until(fixture.loop, is_up, NULL, WAIT_MS));
    expect_timeline("00000002");
    scratch_do("scratch-pg", "crash", newer);
    struct answer lost = { 0 };
    ask("SELECT pg_sleep(0)", &lost);
    await(&lost);
    bool never = false;
    (void)scratch_run_until(fixture.loop, scratch_is_true, &never, 600);
    assert_false(pg_pool_is_up(fixture.pool)); /* the older one would have taken it */
    scratch_do("scratch-pg", "restart", newer);
    assert_true(scratch_run_until(fixture.loop, is_up, NULL, WAIT_MS));
    expect_timeline("00000002");
    close_pool(NULL);
    scratch_do("scratch-pg", "stop", newer);
}

static bool is_down(void *context)
{
    (void)context;
    return !pg_pool_is_up(fixture.pool);
}

static bool is_ready(void *context)
{
    return pg_pool_is_up(context);
}

/* A pool that has nothing to do with the promotion hears of it from its companions, of which one
 * has gone before. */
static void test_a_companion_leaves_a_primary_of_the_past(void **state)
{
    (void)state;
    open_pool(1, QUERY_TIMEOUT_MS, 100);
    assert_true(scratch_run_until(fixture.loop, is_up, NULL, WAIT_MS));
    expect_timeline("00000001");
    char newer[128];
    scratch_start("scratch-pg", newer);
    scratch_do("scratch-pg", "promote", newer);
    char conninfo[512];
    (void)snprintf(conninfo, sizeof(conninfo), "host=%s user=postgres", newer);
    struct pg_options options = {
        .conninfo = conninfo,
        .connections = 1,
        .connect_timeout_ms = 2000,
        .query_timeout_ms = QUERY_TIMEOUT_MS,
        .companion = fixture.pool,
        .max_queued = 100,
    };
    struct pg_pool *former = NULL;
    struct pg_pool *between = NULL;
    struct pg_pool *companion = NULL;
    struct pg_options same = options;
    same.conninfo = fixture.conninfo;
    assert_int_equal(pg_pool_open(fixture.loop, &same, &former), ERR_OK);
    assert_int_equal(pg_pool_open(fixture.loop, &same, &between), ERR_OK);
    assert_true(scratch_run_until(fixture.loop, is_ready, between, WAIT_MS));
    pg_pool_close(former);
    options.companion = between;
    assert_int_equal(pg_pool_open(fixture.loop, &options, &companion), ERR_OK);
    assert_true(scratch_run_until(fixture.loop, is_down, NULL, WAIT_MS));
    bool never = false;
    (void)scratch_run_until(fixture.loop, scratch_is_true, &never, 300);
    assert_false(pg_pool_is_up(fixture.pool));
    assert_false(pg_pool_is_up(between));
    assert_true(pg_pool_is_up(companion));
    close_pool(NULL);
    pg_pool_close(between);
    pg_pool_close(companion);
    scratch_do("scratch-pg", "stop", newer);
}

/* A process that starts now knows no timeline; but this server cannot commit. */
static void test_a_primary_that_cannot_commit_is_passed_by(void **state)
{
    (void)state;
    char alone[128];
    scratch_start("scratch-pg", alone);
    scratch_do("scratch-pg", "abandon", alone);
    char conninfo[512];
    (void)snprintf(conninfo,
            sizeof(conninfo),
            "host=%s,%s user=postgres target_session_attrs=read-write",
            alone,
            fixture.dir);
    open_pool_at(conninfo, 1, 500);
    assert_true(scratch_run_until(fixture.loop, is_up, NULL, WAIT_MS));
    struct answer answer = { 0 };
    ask("SHOW synchronous_standby_names", &answer);
    await(&answer);
    assert_int_equal(answer.err, ERR_OK);
    assert_string_equal(answer.text, "");
    close_pool(NULL);
    scratch_do("scratch-pg", "stop", alone);
}

/* A connection of before the promotion: it reads, but what it reads is not believed. */
static void test_a_read_that_cannot_be_followed_by_a_commit_is_not_answered(void **state)
{
    (void)state;
    char alone[128];
    scratch_start("scratch-pg", alone);
    char conninfo[512];
    (void)snprintf(conninfo, sizeof(conninfo), "host=%s,%s user=postgres", alone, fixture.dir);
    open_pool_at(conninfo, 1, 500);
    assert_true(scratch_run_until(fixture.loop, is_up, NULL, WAIT_MS));
    scratch_do("scratch-pg", "abandon", alone);
    struct answer plain = { 0 };
    ask("SELECT 11::bigint", &plain);
    await(&plain);
    assert_int_equal(plain.err, ERR_OK);
    struct answer proven = { 0 };
    struct pg_query *query = pg_query_create(fixture.pool);
    pg_query_statement(query, "SELECT 11::bigint");
    pg_query_prove_primary(query);
    pg_query_send(query, on_answer, &proven);
    await(&proven);
    assert_int_equal(proven.err, ERR_TIMEOUT);
    assert_int_equal(proven.count, 0);
    assert_true(scratch_run_until(fixture.loop, is_up, NULL, WAIT_MS)); /* at the other one */
    proven = (struct answer){ 0 };
    query = pg_query_create(fixture.pool);
    pg_query_statement(query, "SELECT 12::bigint");
    pg_query_prove_primary(query);
    pg_query_send(query, on_answer, &proven);
    await(&proven);
    assert_int_equal(proven.err, ERR_OK);
    assert_int_equal(proven.values[0], 12);
    close_pool(NULL);
    scratch_do("scratch-pg", "stop", alone);
}

/* One of two connections meets the promoted server; the other one leaves the old server at once. */
static void test_a_promotion_retires_connections_to_the_old_primary(void **state)
{
    (void)state;
    char newer[128];
    scratch_start("scratch-pg", newer);
    scratch_do("scratch-pg", "promote", newer);
    scratch_do("scratch-pg", "crash", newer);
    char conninfo[512];
    (void)snprintf(conninfo, sizeof(conninfo), "host=%s,%s user=postgres", newer, fixture.dir);
    open_pool_at(conninfo, 2, 2000);
    int both = 2;
    assert_true(scratch_run_until(fixture.loop, are_all_free, &both, WAIT_MS));
    expect_timeline("00000001");
    scratch_do("scratch-pg", "restart", newer);
    struct answer killed = { 0 };
    ask("SELECT pg_terminate_backend(pg_backend_pid())  ", &killed);
    await(&killed);
    assert_int_equal(killed.err, ERR_UNAVAILABLE);
    bool never = false;
    (void)scratch_run_until(fixture.loop, scratch_is_true, &never, 300);
    assert_true(scratch_run_until(fixture.loop, are_all_free, &both, WAIT_MS));
    for (int i = 0; i < 4; i++) {
        expect_timeline("00000002");
    }
    close_pool(NULL);
    scratch_do("scratch-pg", "stop", newer);
}

static int set_up(void **state)
{
    (void)state;
    scratch_start("scratch-pg", fixture.dir);
    (void)snprintf(
            fixture.conninfo, sizeof(fixture.conninfo), "host=%s user=postgres", fixture.dir);
    fixture.loop = loop_create(&clock_system);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_destroy(fixture.loop);
    scratch_do("scratch-pg", "stop", fixture.dir);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, close_pool)
    const struct CMUnitTest tests[] = {
        TEST(test_every_parameter_type_round_trips),
        TEST(test_arrays_round_trip_empty_and_with_null),
        TEST(test_nul_in_text_is_refused_from_the_loop),
        TEST(test_bad_utf8_is_refused_by_the_server),
        TEST(test_queries_of_one_turn_are_answered_in_order),
        TEST(test_an_error_leaves_its_neighbours_in_the_pipeline_alone),
        TEST(test_several_statements_commit_together_and_roll_back_together),
        TEST(test_a_statement_that_cannot_be_prepared_tells_why_to_all_who_use_it),
        TEST(test_affected_rows_are_counted),
        TEST(test_a_deadlock_is_tried_again),
        TEST(test_three_retries_are_enough),
        TEST(test_a_slow_query_takes_one_connection_only),
        TEST(test_statement_timeout_spares_the_connection),
        TEST(test_a_hung_server_ends_in_timeout_and_recovery),
        TEST(test_terminated_backend_ends_its_queries_and_reconnects),
        TEST(test_a_failpoint_is_between_the_statements_and_the_commit),
        TEST(test_crash_mid_query_ends_it_and_a_restart_recovers),
        TEST(test_immediate_restart_recovers_with_fresh_prepared_statements),
        TEST(test_without_a_server_queries_wait_bounded_and_end_unavailable),
        TEST(test_close_ends_what_is_in_flight_and_what_waits),
        TEST(test_malformed_conninfo_is_refused),
        TEST(test_a_silent_host_costs_one_attempt),
        TEST(test_a_primary_of_the_past_is_refused),
        TEST(test_a_companion_leaves_a_primary_of_the_past),
        TEST(test_a_primary_that_cannot_commit_is_passed_by),
        TEST(test_a_read_that_cannot_be_followed_by_a_commit_is_not_answered),
        TEST(test_a_promotion_retires_connections_to_the_old_primary),
    };
    return cmocka_run_group_tests_name("pg", tests, set_up, tear_down);
}

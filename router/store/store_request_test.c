/* What a reader is told: results, that nothing was there, or that the store is away. */
#include "router/store/store_request.h"

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
    int64_t value;
};

typedef void (*number_read)(void *context, enum err err, int64_t value);

static void on_number(void *context, enum err err, int64_t value)
{
    *(struct answer *)context = (struct answer){ true, err, value };
}

static void read_number(
        const struct store_request *request, enum err err, const struct pg_result *const *results)
{
    bool has_row = err == ERR_OK && pg_result_rows(results[0]) > 0;
    ((number_read)request->done)(
            request->context, err, has_row ? pg_result_int(results[0], 0, 0) : -1);
}

static void send(const char *sql, enum err when_empty, struct answer *answer_out)
{
    struct pg_query *query = pg_query_create(database.pool);
    pg_query_statement(query, sql);
    store_send(query, read_number, (store_done)on_number, answer_out, when_empty);
}

static struct answer ask(const char *sql, enum err when_empty)
{
    struct answer answer = { .is_done = false };
    send(sql, when_empty, &answer);
    scratch_await(&database, &answer.is_done);
    return answer;
}

static void results_reach_who_asked(void **state)
{
    (void)state;
    struct answer answer = ask("SELECT 7", ERR_NOT_FOUND);
    assert_int_equal(answer.err, ERR_OK);
    assert_int_equal(answer.value, 7);
}

static void no_row_means_what_the_asker_says(void **state)
{
    (void)state;
    assert_int_equal(ask("SELECT 7 WHERE false", ERR_NOT_FOUND).err, ERR_NOT_FOUND);
    assert_int_equal(ask("SELECT 7 WHERE false", ERR_OK).err, ERR_OK);
}

/* B22: whatever PostgreSQL refuses, it is not said of the account. */
static void a_refused_statement_is_unavailable(void **state)
{
    (void)state;
    assert_int_equal(ask("SELECT 1 / 0", ERR_NOT_FOUND).err, ERR_UNAVAILABLE);
    assert_int_equal(ask("SELECT 7 FROM router.not_there", ERR_OK).err, ERR_UNAVAILABLE);
}

static void the_lock_of_a_shard_is_shared(void **state)
{
    (void)state;
    struct answer answers[2] = { { .is_done = false }, { .is_done = false } };
    for (size_t i = 0; i < 2; i++) {
        struct pg_query *query = pg_query_create(database.pool);
        store_lock_shard(query, 3);
        pg_query_statement(query,
                "SELECT count(*) FROM pg_locks, pg_sleep(0.3)"
                " WHERE classid = 7301 AND objid = 3 AND mode = 'ShareLock' AND granted");
        store_send(query, read_number, (store_done)on_number, &answers[i], ERR_NOT_FOUND);
    }
    scratch_await(&database, &answers[0].is_done);
    scratch_await(&database, &answers[1].is_done);
    assert_int_equal(answers[0].err, ERR_OK);
    assert_int_equal(answers[1].err, ERR_OK);
}

static struct answer closed;

static int stop(void **state)
{
    (void)state;
    send("SELECT 7", ERR_NOT_FOUND, &closed);
    scratch_database_stop(&database);
    return closed.is_done && closed.err == ERR_CLOSED ? 0 : -1; /* nobody waits for ever */
}

static int start(void **state)
{
    (void)state;
    scratch_router_start(&database);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_reach_who_asked),
        cmocka_unit_test(no_row_means_what_the_asker_says),
        cmocka_unit_test(a_refused_statement_is_unavailable),
        cmocka_unit_test(the_lock_of_a_shard_is_shared),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

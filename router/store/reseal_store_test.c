/* What is left to seal anew, in a real PostgreSQL, with the rights of the service's role. */
#include "router/store/reseal_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/base/buf.h"
#include "tests/lib/scratch_database.h"

static struct scratch_database database;
static struct reseal_store *store;

#define NEW "\2newest.."
#define OLD "\2former.."

struct answer {
    bool is_done;
    enum err err;
    size_t count;
    int64_t keys, rows;
    int64_t first;
    struct buf text;
};

static struct answer await(struct answer *answer)
{
    scratch_await(&database, &answer->is_done);
    return *answer;
}

static void on_done(void *context, enum err err)
{
    struct answer *answer = context;
    answer->is_done = true;
    answer->err = err;
}

static void on_tags(void *context,
        enum err err,
        const struct str *tags,
        size_t count,
        const struct reseal_key *any)
{
    struct answer *answer = context;
    on_done(answer, err);
    answer->count = count;
    for (size_t i = 0; i < count; i++) {
        buf_append_str(&answer->text, tags[i]);
        buf_append_char(&answer->text, ' ');
    }
    answer->first = any ? any->owner : 0;
}

static void on_count(void *context, enum err err, int64_t keys, int64_t rows)
{
    struct answer *answer = context;
    on_done(answer, err);
    answer->keys = keys;
    answer->rows = rows;
}

static void on_keys(void *context, enum err err, const struct reseal_key *keys, size_t count)
{
    struct answer *answer = context;
    on_done(answer, err);
    answer->count = count;
    answer->first = count > 0 ? keys[0].owner : 0;
    buf_append_str(&answer->text, count > 0 ? keys[0].wrapped : STR_NULL);
}

static void on_rows(void *context, enum err err, const struct reseal_row *rows, size_t count)
{
    struct answer *answer = context;
    on_done(answer, err);
    answer->count = count;
    for (size_t i = 0; i < count; i++) {
        buf_printf(&answer->text,
                STR_FMT " %d " STR_FMT "=" STR_FMT " " STR_FMT "\n",
                STR_ARG(rows[i].bare),
                (int)rows[i].kind,
                STR_ARG(rows[i].key),
                STR_ARG(rows[i].value),
                STR_ARG(rows[i].wrapped_key));
    }
}

static void assert_text(struct answer *answer, const char *text)
{
    assert_int_equal(answer->err, ERR_OK);
    assert_true(str_equal(buf_view(&answer->text), str_from_cstr(text)));
    buf_fini(&answer->text);
}

static struct answer count(void)
{
    struct answer answer = { .is_done = false };
    reseal_count(store, STR(NEW), on_count, &answer);
    return await(&answer);
}

static struct answer load_keys(int64_t after)
{
    struct answer answer = { .is_done = false };
    reseal_load_keys(store, STR(NEW), after, on_keys, &answer);
    return await(&answer);
}

static struct answer load_rows(int64_t after)
{
    struct answer answer = { .is_done = false };
    reseal_load_rows(store, after, on_rows, &answer);
    return await(&answer);
}

static void every_service_key_is_named_once(void **state)
{
    (void)state;
    struct answer answer = { .is_done = false };
    reseal_load_tags(store, on_tags, &answer);
    answer = await(&answer);
    assert_int_equal(answer.count, 3);
    assert_int_equal(answer.first, 3);
    assert_text(&answer, "\1 " OLD " " NEW " ");
}

static void keys_are_changed_where_they_are_what_was_read(void **state)
{
    (void)state;
    assert_int_equal(count().keys, 2);
    struct answer answer = load_keys(0);
    assert_int_equal(answer.count, 2);
    assert_int_equal(answer.first, 1);
    assert_text(&answer, OLD " a wrapped key of some length");
    assert_int_equal(load_keys(3).count, 0);
    struct reseal_key keys[] = {
        { 1, STR(OLD " a wrapped key of some length"), STR(NEW " a wrapped key of some length") },
        { 3, STR("what it was before somebody else"), STR(NEW " a wrapped key of some length") },
    };
    answer = (struct answer){ .is_done = false };
    reseal_put_keys(store, keys, 2, on_done, &answer);
    assert_int_equal(await(&answer).err, ERR_OK);
    assert_int_equal(count().keys, 1);
    answer = load_keys(0);
    assert_text(&answer, "\1 a wrapped key of before, without any id");
}

static enum err put_row(const char *value, const char *wrapped)
{
    struct reseal_row row = {
        .owner = 2,
        .kind = ACCOUNT_DATA_PRIVATE_XML,
        .key = STR("name"),
        .value = str_from_cstr(value),
        .wrapped_key = str_from_cstr(wrapped),
        .sealed_key = STR("hash"),
        .sealed = STR("sealed"),
    };
    struct answer answer = { .is_done = false };
    reseal_put_row(store, &row, on_done, &answer);
    return await(&answer).err;
}

static void rows_of_the_living_are_sealed_where_they_are_what_was_read(void **state)
{
    (void)state;
    assert_int_equal(count().rows, 2);
    struct answer answer = load_rows(0);
    assert_text(&answer,
            "a@example.net 2 =card " NEW " a wrapped key of some length\n"
            "b@example.net 1 name=value " NEW " another wrapped key......\n");
    answer = load_rows(1);
    assert_int_equal(answer.count, 1);
    buf_fini(&answer.text);
    assert_int_equal(put_row("changed meanwhile", ""), ERR_CONFLICT);
    assert_int_equal(put_row("value", NEW " a second key of the account"), ERR_UNAVAILABLE);
    assert_int_equal(count().rows, 2);
    assert_int_equal(put_row("value", ""), ERR_OK);
    assert_int_equal(put_row("value", ""), ERR_CONFLICT);
    assert_int_equal(count().rows, 1);
}

static int start(void **state)
{
    (void)state;
    scratch_router_start(&database);
    scratch_sql(&database,
            "INSERT INTO router.account (bare)"
            " VALUES ('a@example.net'), ('b@example.net'), ('c@example.net');"
            "INSERT INTO router.account_key (owner, wrapped) VALUES"
            " (1, '\\x02'::bytea || 'former.. a wrapped key of some length'),"
            " (2, '\\x02'::bytea || 'newest.. another wrapped key......'),"
            " (3, '\\x01'::bytea || ' a wrapped key of before, without any id');"
            "INSERT INTO router.account_data (owner, kind, key, value, is_sealed) VALUES"
            " (1, 2, '', 'card', false), (2, 1, 'name', 'value', false), (2, 1, 'x', 'y', true)");
    store = reseal_store_create(database.pool);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    scratch_database_stop(&database);
    reseal_store_destroy(store);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_service_key_is_named_once),
        cmocka_unit_test(keys_are_changed_where_they_are_what_was_read),
        cmocka_unit_test(rows_of_the_living_are_sealed_where_they_are_what_was_read),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

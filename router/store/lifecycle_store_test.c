/* Stages, notices, erasures and tombstones against a real PostgreSQL, with the rights of the
 * service's role. */
#include "router/store/lifecycle_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/scratch_database.h"

#define OLD_KEY "the first key of names: 32 bytes"
#define NEW_KEY "another key of names of 32 bytes"

static struct scratch_database database;
static struct lifecycle_store *store;
static struct account_store *accounts;

struct answer {
    bool is_done;
    enum err err;
    int64_t id;
    size_t count;
    struct lifecycle_row first;
    char text[64];
};

static void on_done(void *context, enum err err)
{
    struct answer *answer = context;
    answer->is_done = true;
    answer->err = err;
}

static void on_account(void *context, enum err err, int64_t id)
{
    struct answer *answer = context;
    answer->id = id;
    on_done(context, err);
}

static void on_told(void *context, enum err err, struct str text)
{
    struct answer *answer = context;
    (void)snprintf(answer->text, sizeof(answer->text), STR_FMT, STR_ARG(text));
    on_done(context, err);
}

static void on_listed(void *context, enum err err, const struct lifecycle_row *rows, size_t count)
{
    struct answer *answer = context;
    answer->count = count;
    if (count > 0) {
        answer->first = rows[0];
        (void)snprintf(answer->text, sizeof(answer->text), STR_FMT, STR_ARG(rows[0].bare));
    }
    on_done(context, err);
}

static enum err await(struct answer *answer)
{
    scratch_await(&database, &answer->is_done);
    return answer->err;
}

typedef void create_call(struct account_store *store,
        struct str bare,
        const struct verifier verifiers[VERIFIERS],
        account_changed done,
        void *context);

static struct answer create_by(create_call *call, struct account_store *where, const char *bare)
{
    struct verifier verifiers[VERIFIERS];
    memset(verifiers, 7, sizeof(verifiers));
    for (int i = 0; i < VERIFIERS; i++) {
        verifiers[i].iterations = 10000;
        verifiers[i].salt_len = 16;
    }
    struct answer answer = { .is_done = false };
    call(where, str_from_cstr(bare), verifiers, on_account, &answer);
    (void)await(&answer);
    return answer;
}

static struct answer create(const char *bare)
{
    return create_by(account_create, accounts, bare);
}

/* Nothing has happened to anybody for so long. */
static void age(int days)
{
    char sql[256];
    (void)snprintf(sql,
            sizeof(sql),
            "UPDATE router.account SET counted_from = counted_from - %d, stage_day = stage_day - %d",
            days,
            days);
    scratch_sql(&database, sql);
}

static struct lifecycle_row row_of(int64_t id)
{
    struct answer answer = { .is_done = false };
    lifecycle_list_accounts(store, id - 1, 1, on_listed, &answer);
    assert_int_equal(await(&answer), ERR_OK);
    assert_int_equal(answer.first.id, id);
    return answer.first;
}

static enum err set_stage(int64_t id, enum inactive_stage stage, int64_t idle_days)
{
    struct answer answer = { .is_done = false };
    lifecycle_set_stage(store, id, stage, idle_days, on_done, &answer);
    return await(&answer);
}

static void note_use(int64_t id, bool is_login)
{
    struct answer answer = { .is_done = false };
    lifecycle_note_use(store, &id, 1, is_login, on_done, &answer);
    assert_int_equal(await(&answer), ERR_OK);
}

static struct answer last_login(const char *bare)
{
    struct answer answer = { .is_done = false };
    account_last_login(accounts, str_from_cstr(bare), on_told, &answer);
    (void)await(&answer);
    return answer;
}

static void a_login_is_a_day(void **state)
{
    (void)state;
    int64_t id = create("day@example.net").id;
    assert_string_equal(last_login("day@example.net").text, "");
    age(3);
    assert_int_equal(row_of(id).idle_days, 3);
    note_use(id, false);
    assert_int_equal(row_of(id).idle_days, 0);
    assert_string_equal(last_login("day@example.net").text, "");
    note_use(id, true);
    assert_int_equal(strlen(last_login("day@example.net").text), 10);
    assert_int_equal(last_login("nobody@example.net").err, ERR_NOT_FOUND);
}

static void stages_come_once_and_a_login_takes_them_back(void **state)
{
    (void)state;
    int64_t id = create("idle@example.net").id;
    assert_int_equal(set_stage(id, INACTIVE_WARNED, 10), ERR_NOT_FOUND); /* used today */
    age(12);
    assert_int_equal(set_stage(id, INACTIVE_WARNED, 10), ERR_OK);
    assert_int_equal(set_stage(id, INACTIVE_WARNED, 10), ERR_NOT_FOUND); /* another router was */
    age(4);
    struct lifecycle_row row = row_of(id);
    assert_int_equal(row.stage, INACTIVE_WARNED);
    assert_int_equal(row.idle_days, 16);
    assert_int_equal(row.stage_days, 4);
    note_use(id, true);
    assert_int_equal(row_of(id).stage, INACTIVE_NOT);
    assert_int_equal(set_stage(id, INACTIVE_DISABLED, 10), ERR_NOT_FOUND);
    age(20);
    assert_int_equal(set_stage(id, INACTIVE_DISABLED, 10), ERR_OK);
    assert_int_equal(row_of(id).state, ACCOUNT_DISABLED);
    struct answer gone = { .is_done = false };
    lifecycle_delete_inactive(store, id, 30, on_done, &gone);
    assert_int_equal(await(&gone), ERR_NOT_FOUND); /* not for so long */
    age(20);
    gone.is_done = false;
    lifecycle_delete_inactive(store, id, 30, on_done, &gone);
    assert_int_equal(await(&gone), ERR_OK);
    assert_int_equal(row_of(id).state, ACCOUNT_DELETED);
}

static void what_somebody_disabled_is_not_the_policys(void **state)
{
    (void)state;
    int64_t id = create("switched-off@example.net").id;
    struct answer off = { .is_done = false };
    account_set_state(
            accounts, STR("switched-off@example.net"), ACCOUNT_DISABLED, on_account, &off);
    assert_int_equal(await(&off), ERR_OK);
    age(1000);
    struct answer gone = { .is_done = false };
    lifecycle_delete_inactive(store, id, 30, on_done, &gone);
    assert_int_equal(await(&gone), ERR_NOT_FOUND);
}

static void notices_wait_until_they_are_told(void **state)
{
    (void)state;
    scratch_sql(&database, "DELETE FROM router.account_notice");
    int64_t id = create("new@example.net").id;
    struct answer listed = { .is_done = false };
    lifecycle_list_notices(store, 0, 10, on_listed, &listed);
    assert_int_equal(await(&listed), ERR_OK);
    assert_int_equal(listed.count, 1);
    assert_int_equal(listed.first.id, id);
    assert_int_equal(listed.first.notice, NOTICE_WELCOME);
    struct answer ended = { .is_done = false };
    lifecycle_end_notice(store, id, NOTICE_INACTIVE, on_done, &ended);
    assert_int_equal(await(&ended), ERR_NOT_FOUND);
    ended.is_done = false;
    lifecycle_end_notice(store, id, NOTICE_WELCOME, on_done, &ended);
    assert_int_equal(await(&ended), ERR_OK);
}

static struct answer list_unmarked(int64_t after_id)
{
    struct answer answer = { .is_done = false };
    lifecycle_list_unmarked(store, after_id, 10, on_listed, &answer);
    assert_int_equal(await(&answer), ERR_OK);
    return answer;
}

/* C33 */
static void accounts_from_before_get_their_marks(void **state)
{
    (void)state;
    (void)create("marked@example.net");
    assert_int_equal(list_unmarked(0).count, 0);
    int64_t id = create("modern@example.net").id;
    scratch_sql(&database,
            "UPDATE router.account SET look_alike = NULL WHERE bare = 'modern@example.net'");
    struct answer answer = list_unmarked(0);
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.first.id, id);
    assert_string_equal(answer.text, "modern@example.net");
    assert_int_equal(list_unmarked(id).count, 0);
    const struct lifecycle_row rows[] = {
        { .id = id, .bare = STR("modern@example.net") },
        { .id = id + 1000000, .bare = STR("gone@example.net") }, /* meanwhile */
    };
    for (int i = 0; i < 2; i++) { /* a repeat changes nothing */
        answer.is_done = false;
        lifecycle_mark(store, rows, 2, on_done, &answer);
        assert_int_equal(await(&answer), ERR_OK);
        assert_int_equal(list_unmarked(0).count, 0);
    }
    answer = create_by(account_register, accounts, "modem@example.net");
    assert_int_equal(answer.err, ERR_EXISTS);
}

/* C30 */
static void a_tombstone_blocks_the_name_for_its_time(void **state)
{
    (void)state;
    int64_t id = create("dead@example.net").id;
    struct answer answer = { .is_done = false };
    lifecycle_bury(store, id, STR("dead@example.net"), 5, on_done, &answer);
    assert_int_equal(await(&answer), ERR_NOT_FOUND); /* it lives */
    answer.is_done = false;
    account_delete(accounts, STR("dead@example.net"), on_account, &answer);
    assert_int_equal(await(&answer), ERR_OK);
    assert_int_equal(create("dead@example.net").err, ERR_EXISTS); /* the row */
    struct answer listed = { .is_done = false };
    lifecycle_list_deleted(store, id - 1, 10, on_listed, &listed);
    assert_int_equal(await(&listed), ERR_OK);
    assert_int_equal(listed.first.id, id);
    for (int i = 0; i < 2; i++) { /* a repeat changes nothing */
        answer.is_done = false;
        lifecycle_bury(store, id, STR("dead@example.net"), 5, on_done, &answer);
        assert_int_equal(await(&answer), ERR_OK);
    }
    answer.is_done = false;
    lifecycle_remove(store, id, on_done, &answer);
    assert_int_equal(await(&answer), ERR_OK);
    answer.is_done = false;
    lifecycle_remove(store, id, on_done, &answer);
    assert_int_equal(await(&answer), ERR_NOT_FOUND);
    assert_int_equal(create("dead@example.net").err, ERR_EXISTS); /* the tombstone */
    answer.is_done = false;
    lifecycle_forget_old(store, on_done, &answer);
    assert_int_equal(await(&answer), ERR_OK);
    assert_int_equal(create("dead@example.net").err, ERR_EXISTS);
    scratch_sql(&database, "UPDATE router.tombstone SET until = current_date");
    assert_int_equal(create("dead@example.net").err, ERR_OK);
    answer.is_done = false;
    lifecycle_forget_old(store, on_done, &answer);
    assert_int_equal(await(&answer), ERR_OK);
    scratch_sql(&database,
            "SELECT 1 / (CASE WHEN EXISTS (SELECT FROM router.tombstone) THEN 0 ELSE 1 END)");
}

static void make_and_bury(struct lifecycle_store *where, const char *bare)
{
    int64_t id = create(bare).id;
    struct answer answer = { .is_done = false };
    account_delete(accounts, str_from_cstr(bare), on_account, &answer);
    assert_int_equal(await(&answer), ERR_OK);
    answer.is_done = false;
    lifecycle_bury(where, id, str_from_cstr(bare), 5, on_done, &answer);
    assert_int_equal(await(&answer), ERR_OK);
    answer.is_done = false;
    lifecycle_remove(where, id, on_done, &answer);
    assert_int_equal(await(&answer), ERR_OK);
}

/* C30: the storage key was changed meanwhile. Burying is under the newest key, so who has only the
 * former one does not see it. */
static void names_buried_under_a_former_key_are_blocked(void **state)
{
    (void)state;
    struct str both = STR(NEW_KEY OLD_KEY);
    struct account_store *changed = account_store_create(database.pool, both);
    struct account_store *forgetful = account_store_create(database.pool, STR(NEW_KEY));
    struct lifecycle_store *burier = lifecycle_store_create(database.pool, both);
    make_and_bury(store, "former@example.net");
    make_and_bury(burier, "newest@example.net");
    static const char *const names[] = { "former@example.net", "newest@example.net" };
    for (int i = 0; i < 2; i++) {
        assert_int_equal(create_by(account_create, changed, names[i]).err, ERR_EXISTS);
        assert_int_equal(create_by(account_register, changed, names[i]).err, ERR_EXISTS);
    }
    assert_int_equal(create_by(account_create, forgetful, names[1]).err, ERR_EXISTS);
    assert_int_equal(create_by(account_create, accounts, names[1]).err, ERR_OK);
    assert_int_equal(create_by(account_create, forgetful, names[0]).err, ERR_OK);
    account_store_destroy(changed);
    account_store_destroy(forgetful);
    lifecycle_store_destroy(burier);
}

static int start(void **state)
{
    (void)state;
    scratch_router_start(&database);
    store = lifecycle_store_create(database.pool, STR(OLD_KEY));
    accounts = account_store_create(database.pool, STR(OLD_KEY));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    scratch_database_stop(&database);
    lifecycle_store_destroy(store);
    account_store_destroy(accounts);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_login_is_a_day),
        cmocka_unit_test(stages_come_once_and_a_login_takes_them_back),
        cmocka_unit_test(what_somebody_disabled_is_not_the_policys),
        cmocka_unit_test(notices_wait_until_they_are_told),
        cmocka_unit_test(accounts_from_before_get_their_marks),
        cmocka_unit_test(a_tombstone_blocks_the_name_for_its_time),
        cmocka_unit_test(names_buried_under_a_former_key_are_blocked),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

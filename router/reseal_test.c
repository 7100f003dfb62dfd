/* What is written again and what is left alone, with a store that plays along. */
#include "router/reseal.h"

#include "router/store/reseal_store.h"
#include "tests/lib/fake_router.h"

#define OLD  "the storage key of before, 32 bytes"
#define LOST "a storage key that nobody has any more"

static struct reseal *reseal;

/* ---- the store: what is there, and what came */

static struct {
    struct buf key;   /* of alice, as it is stored */
    struct str value; /* her vCard in the clear; NULL: sealed */
    struct str tags[2];
    size_t tag_count;
    struct buf sealed;
    size_t keys_put, rows_put, counts;
} table;

struct reseal_store *reseal_store_create(struct pg_pool *pool)
{
    (void)pool;
    return NULL;
}

void reseal_store_destroy(struct reseal_store *store)
{
    (void)store;
}

static bool is_outdated(void)
{
    return table.key.len > 0
            && !str_starts_with(buf_view(&table.key), vault_tag(fake.router.vault, 0));
}

void reseal_load_tags(struct reseal_store *store, reseal_tags_loaded done, void *context)
{
    (void)store;
    done(context, fake.is_store_down ? ERR_UNAVAILABLE : ERR_OK, table.tags, table.tag_count, NULL);
}

void reseal_count(struct reseal_store *store, struct str newest, reseal_counted done, void *context)
{
    (void)store;
    (void)newest;
    table.counts++;
    done(context, ERR_OK, is_outdated(), table.value.len > 0);
}

void reseal_load_keys(struct reseal_store *store,
        struct str newest,
        int64_t after,
        reseal_keys_loaded done,
        void *context)
{
    (void)store;
    (void)newest;
    struct reseal_key key = { .owner = 1, .wrapped = buf_view(&table.key) };
    done(context, ERR_OK, &key, is_outdated() && after < 1);
}

void reseal_put_keys(struct reseal_store *store,
        const struct reseal_key *keys,
        size_t count,
        reseal_done done,
        void *context)
{
    (void)store;
    assert_int_equal(count, 1);
    char *anew = str_to_cstr(keys[0].anew);
    buf_clear(&table.key);
    buf_append(&table.key, anew, keys[0].anew.len);
    free(anew);
    table.keys_put++;
    done(context, ERR_OK);
}

void reseal_load_rows(
        struct reseal_store *store, int64_t after, reseal_rows_loaded done, void *context)
{
    (void)store;
    struct reseal_row row = {
        .owner = 1,
        .bare = STR("alice@example.org"),
        .kind = ACCOUNT_DATA_VCARD,
        .value = table.value,
        .wrapped_key = buf_view(&table.key),
    };
    done(context, ERR_OK, &row, table.value.len > 0 && after < 1);
}

void reseal_put_row(
        struct reseal_store *store, const struct reseal_row *row, reseal_done done, void *context)
{
    (void)store;
    if (row->wrapped_key.len > 0) {
        assert_int_equal(table.key.len, 0);
        buf_append_str(&table.key, row->wrapped_key);
    }
    buf_append_str(&table.sealed, row->sealed);
    table.value = STR_NULL;
    table.rows_put++;
    done(context, ERR_OK);
}

/* ---- what is told */

static size_t told;
static enum err told_err;

static void on_checked(void *context, enum err err)
{
    (void)context;
    told++;
    told_err = err;
}

static void wrap_alice(const char *secret)
{
    struct vault *vault;
    struct vault_key key;
    assert_int_equal(vault_create(str_from_cstr(secret), &vault), ERR_OK);
    vault_new_key(vault, 1, &key, &table.key);
    vault_destroy(vault);
}

static void run(void)
{
    reseal_start(reseal, on_checked, NULL);
    for (int i = 0; i < 10; i++) {
        fake_advance(300);
    }
}

static void keys_of_a_former_service_key_are_wrapped_anew(void **state)
{
    (void)state;
    assert_int_equal(vault_add_key(fake.router.vault, STR(OLD)), ERR_OK);
    wrap_alice(OLD);
    run();
    assert_int_equal(told, 1);
    assert_int_equal(told_err, ERR_OK);
    assert_int_equal(table.keys_put, 1);
    assert_false(is_outdated());
    struct buf report;
    buf_init(&report, 0);
    reseal_report(reseal, &report);
    buf_append_char(&report, '\0');
    assert_non_null(strstr(report.data, "\"keys_left\":0,\"rows_left\":0,\"unreadable\":0"));
    buf_fini(&report);
}

static void what_does_not_open_is_never_written(void **state)
{
    (void)state;
    wrap_alice(LOST);
    table.value = STR("<vCard/>");
    run();
    assert_int_equal(table.keys_put, 0);
    assert_int_equal(table.rows_put, 0);
    assert_true(table.counts <= 3); /* and not asked for all the time */
}

static void a_missing_service_key_is_told_before_anything_is_done(void **state)
{
    (void)state;
    wrap_alice(LOST);
    table.tags[0] = str_from(buf_view(&table.key).ptr, VAULT_TAG_BYTES);
    table.tag_count = 1;
    run();
    assert_int_equal(told, 1);
    assert_int_equal(told_err, ERR_DENIED);
    assert_int_equal(table.counts, 0);
}

static void the_check_waits_for_the_store(void **state)
{
    (void)state;
    fake.is_store_down = true;
    run();
    assert_int_equal(told, 0);
    fake.is_store_down = false;
    fake_advance(1000);
    assert_int_equal(told, 1);
    assert_int_equal(told_err, ERR_OK);
}

static void a_row_from_before_is_sealed_with_a_key_for_its_account(void **state)
{
    (void)state;
    table.value = STR("<vCard/>");
    run();
    assert_int_equal(table.rows_put, 1);
    struct vault_key key;
    struct buf opened;
    buf_init(&opened, 0);
    assert_int_equal(vault_open_key(fake.router.vault, 1, buf_view(&table.key), &key), ERR_OK);
    struct data_place place = data_place_of(&key, ACCOUNT_DATA_VCARD, STR_NULL);
    assert_int_equal(data_open(&key, &place, buf_view(&table.sealed), &opened), ERR_OK);
    assert_true(str_equal(buf_view(&opened), STR("<vCard/>")));
    buf_fini(&opened);
}

static int begin(void **state)
{
    memset(&table, 0, sizeof(table));
    told = 0;
    if (fake_start(state) != 0) {
        return -1;
    }
    reseal = reseal_create(&fake.router);
    return 0;
}

static int end(void **state)
{
    reseal_destroy(reseal);
    buf_fini(&table.key);
    buf_fini(&table.sealed);
    return fake_stop(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keys_of_a_former_service_key_are_wrapped_anew),
        TEST(what_does_not_open_is_never_written),
        TEST(a_missing_service_key_is_told_before_anything_is_done),
        TEST(the_check_waits_for_the_store),
        TEST(a_row_from_before_is_sealed_with_a_key_for_its_account),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Sections postgres_*: what a pool is opened with, and that services do not share one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "chassis/pg.h"
#include "tests/lib/config_text.h"

static const struct config_section *const sections[] = {
    &config_section_postgres_router, &config_section_postgres_archive, NULL
};

static void options_are_those_of_the_section(void **state)
{
    (void)state;
    struct buf why;
    buf_init(&why, 0);
    struct config *config = config_load_text(
            "postgres_router: {conninfo: host=/a, connections: 7, connect_timeout: 1s,\n"
            "  query_timeout: 3s, max_queued: 9}\n"
            "postgres_archive: {conninfo: host=/b}\n",
            sections,
            &why);
    assert_non_null(config);
    struct pg_options router =
            pg_config_options(config_get(config, &config_section_postgres_router));
    assert_string_equal(router.conninfo, "host=/a");
    assert_int_equal(router.connections, 7);
    assert_int_equal(router.connect_timeout_ms, 1000);
    assert_int_equal(router.query_timeout_ms, 3000);
    assert_int_equal(router.max_queued, 9);
    struct pg_options archive =
            pg_config_options(config_get(config, &config_section_postgres_archive));
    assert_string_equal(archive.conninfo, "host=/b");
    assert_int_equal(archive.connections, 2); /* the default */
    config_destroy(config);
    buf_fini(&why);
}

static void numbers_have_bounds(void **state)
{
    (void)state;
    struct buf why;
    buf_init(&why, 0);
    assert_null(config_load_text("postgres_router: {connections: 0}\n", sections, &why));
    assert_null(config_load_text("postgres_router: {max_queued: 0}\n", sections, &why));
    assert_null(config_load_text("postgres_router: {query_timeout: 1ms}\n", sections, &why));
    buf_fini(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_those_of_the_section),
        cmocka_unit_test(numbers_have_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Connection strings with several hosts, and how they turn. */
#include "chassis/pg_hosts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct pg_hosts *create(const char *conninfo, size_t expected_count)
{
    struct pg_hosts *hosts = NULL;
    assert_int_equal(pg_hosts_create(conninfo, &hosts), ERR_OK);
    assert_int_equal(pg_hosts_count(hosts), expected_count);
    return hosts;
}

static void test_lists_turn_together(void **state)
{
    (void)state;
    struct pg_hosts *hosts = create("host=a,,c port=1,2,3 user=u", 3);
    struct pg_hosts_view view = pg_hosts_from(hosts, 0);
    assert_string_equal(view.host, "a,,c");
    assert_string_equal(view.port, "1,2,3");
    assert_null(view.hostaddr);
    view = pg_hosts_from(hosts, 1);
    assert_string_equal(view.host, ",c,a");
    assert_string_equal(view.port, "2,3,1");
    view = pg_hosts_from(hosts, 5);
    assert_string_equal(view.host, "c,a,");
    assert_string_equal(view.port, "3,1,2");
    pg_hosts_destroy(hosts);
}

static void test_one_port_is_for_all(void **state)
{
    (void)state;
    struct pg_hosts *hosts = create("postgresql://u@a,b/db?hostaddr=10.0.0.1,10.0.0.2&port=9", 2);
    struct pg_hosts_view view = pg_hosts_from(hosts, 1);
    assert_string_equal(view.host, "b,a");
    assert_string_equal(view.hostaddr, "10.0.0.2,10.0.0.1");
    assert_null(view.port);
    pg_hosts_destroy(hosts);
}

static void test_one_host_or_none_stays_as_it_is(void **state)
{
    (void)state;
    struct pg_hosts *hosts = create("host=/run/x port=1", 1);
    assert_string_equal(pg_hosts_from(hosts, 7).host, "/run/x");
    assert_string_equal(pg_hosts_from(hosts, 7).port, "1");
    pg_hosts_destroy(hosts);
    hosts = create("", 1);
    assert_null(pg_hosts_from(hosts, 1).host);
    pg_hosts_destroy(hosts);
    pg_hosts_destroy(NULL);
}

static void test_what_is_no_connection_string_is_refused(void **state)
{
    (void)state;
    struct pg_hosts *hosts = NULL;
    assert_int_equal(pg_hosts_create("no such option=1", &hosts), ERR_INVALID);
    assert_null(hosts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_turn_together),
        cmocka_unit_test(test_one_port_is_for_all),
        cmocka_unit_test(test_one_host_or_none_stays_as_it_is),
        cmocka_unit_test(test_what_is_no_connection_string_is_refused),
    };
    return cmocka_run_group_tests_name("pg_hosts", tests, NULL, NULL);
}

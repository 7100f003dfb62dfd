/* The section "limits": defaults, and that 0 lifts a limit. */
#include "router/settings_limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "chassis/base/buf.h"

static struct settings settings_of(const char *yaml)
{
    static const struct config_section *const sections[] = { &section_limits, NULL };
    char path[] = "/tmp/starling-limits.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, yaml, strlen(yaml)), (ssize_t)strlen(yaml));
    close(fd);
    struct buf why;
    buf_init(&why, 0);
    struct config *config = config_load(path, sections, &why);
    unlink(path);
    assert_non_null(config);
    struct settings settings = { .shards = 1 };
    settings_fill_limits(&settings, config);
    config_destroy(config);
    buf_fini(&why);
    return settings;
}

static int64_t tokens_of(const struct settings *settings, enum quota_kind kind)
{
    const struct quota_limit *limit = &settings->quotas[kind];
    return limit->cost_ns ? limit->window_ns / limit->cost_ns : 0;
}

static void everything_has_a_limit(void **state)
{
    (void)state;
    struct settings settings = settings_of("limits: {}\n");
    assert_int_equal(tokens_of(&settings, QUOTA_STANZAS), 12000);
    assert_int_equal(settings.quotas[QUOTA_STANZAS].cost_ns, 166666);
    assert_int_equal(tokens_of(&settings, QUOTA_BYTES), 16 << 20);
    assert_int_equal(tokens_of(&settings, QUOTA_STRANGERS), 120);
    assert_int_equal(tokens_of(&settings, QUOTA_ADDRESS_REGISTRATIONS), 10);
    assert_int_equal(tokens_of(&settings, QUOTA_ADDRESS_FAILURES), 600);
    assert_int_equal(tokens_of(&settings, QUOTA_ACCOUNT_FAILURES), 120);
    assert_int_equal(tokens_of(&settings, QUOTA_PAIR_FAILURES), 60);
    assert_int_equal(settings.offline_max_messages, 10000);
    assert_int_equal(settings.offline_max_bytes, 64 << 20);
}

static void nothing_lifts_a_limit(void **state)
{
    (void)state;
    struct settings settings = settings_of(
            "limits:\n  stanzas_per_second: 0\n  bytes_per_second: 0\n  strangers_per_hour: 0\n"
            "  failed_logins_per_address: 0\n  failed_logins_per_account: 0\n"
            "  registrations_per_address: 0\n  failed_logins_per_pair: 0\n  offline_max_messages: 0\n  offline_max_bytes: 0\n");
    for (int kind = 0; kind < QUOTA_KINDS; kind++) {
        assert_int_equal(tokens_of(&settings, (enum quota_kind)kind), 0);
    }
    assert_int_equal(settings.offline_max_messages, 0);
    assert_int_equal(settings.offline_max_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_has_a_limit),
        cmocka_unit_test(nothing_lifts_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

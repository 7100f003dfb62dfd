/* Section redis: what is refused, and when there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "chassis/redis.h"
#include "tests/lib/config_text.h"

static const struct config_section *const sections[] = { &config_section_redis, NULL };

static bool is_taken(const char *yaml, bool *is_configured_out)
{
    struct buf why;
    buf_init(&why, 0);
    struct config *config = config_load_text(yaml, sections, &why);
    assert_true(config != NULL || why.len > 0);
    if (config) {
        *is_configured_out = redis_is_configured(config_get(config, &config_section_redis));
        config_destroy(config);
    }
    buf_fini(&why);
    return config != NULL;
}

static void an_address_or_sentinels_make_one(void **state)
{
    (void)state;
    bool is_configured = true;
    assert_true(is_taken("redis: {}\n", &is_configured));
    assert_false(is_configured);
    assert_true(is_taken("redis: {address: \"unix:/run/redis\"}\n", &is_configured));
    assert_true(is_configured);
    is_configured = false;
    assert_true(is_taken("redis: {address: \"tcp:127.0.0.1:6379\"}\n", &is_configured));
    assert_true(is_configured);
    is_configured = false;
    assert_true(is_taken(
            "redis: {sentinels: [\"127.0.0.1:1\"], sentinel_master: main}\n", &is_configured));
    assert_true(is_configured);
}

static void halves_and_strange_addresses_are_refused(void **state)
{
    (void)state;
    bool is_configured = false;
    assert_false(is_taken("redis: {address: \"127.0.0.1:6379\"}\n", &is_configured));
    assert_false(is_taken("redis: {sentinels: [\"127.0.0.1:1\"]}\n", &is_configured));
    assert_false(is_taken("redis: {sentinel_master: main}\n", &is_configured));
    assert_false(is_taken("redis: {reconnect_min: 1ms}\n", &is_configured));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_or_sentinels_make_one),
        cmocka_unit_test(halves_and_strange_addresses_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

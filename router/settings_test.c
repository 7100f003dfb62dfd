/* The router's sections: defaults, hosts, and what is refused. */
#include "router/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/config_text.h"

static struct config *load(const char *yaml, struct buf *why)
{
    return config_load_text(yaml, settings_sections, why);
}

/* clang-format off */
#define REQUIRED \
    "router:\n  token_key_file: token.key\n  storage_key_file: storage.key\n" \
    "bus:\n  address: tcp://127.0.0.1:0\n" \
    "postgres_router:\n  conninfo: host=/nowhere\n"
/* clang-format on */

static void defaults_are_those_of_the_manual(void **state)
{
    (void)state;
    struct buf why;
    buf_init(&why, 0);
    struct config *config = load(REQUIRED "hosts:\n  - domain: Example.NET\n", &why);
    assert_non_null(config);
    struct settings *settings = settings_create(config);
    assert_int_equal(settings->shards, 256);
    assert_int_equal(settings->lease_ms, 3000);
    assert_int_equal(settings->commit_timeout_ms, 10000);
    assert_int_equal(settings->max_uncommitted_bytes, 64 << 20);
    assert_int_equal(settings->scram_iterations, 10000);
    assert_false(settings->show_version);
    assert_int_equal(settings->csi_max_held, 200);
    assert_int_equal(settings->csi_max_held_bytes, 65536);
    assert_int_equal(settings->host_count, 1);
    const struct host *host = settings_find_host(settings, STR("example.net"));
    assert_non_null(host);
    assert_false(host->registration);
    assert_false(host->accept_any_password);
    assert_string_equal(host->resource_conflict, "replace");
    assert_int_equal(host->stanzas.cost_ns, 0);
    assert_int_equal(host->registrations.window_ns / host->registrations.cost_ns, 100);
    const struct quota_limit *strangers = &settings->quotas[QUOTA_STRANGERS];
    assert_int_equal(strangers->window_ns / strangers->cost_ns, 120);
    const struct quota_limit *stanzas = &settings->quotas[QUOTA_STANZAS];
    assert_int_equal(stanzas->window_ns / stanzas->cost_ns, 12000);
    assert_int_equal(settings->offline_max_messages, 10000);
    assert_null(settings_find_host(settings, STR("example.org")));
    settings_destroy(settings);
    config_destroy(config);
    buf_fini(&why);
}

static void a_former_host_is_not_ours(void **state)
{
    (void)state;
    struct buf why;
    buf_init(&why, 0);
    struct config *config = load(REQUIRED
            "hosts:\n  - domain: a.example\n    formerly: true\n"
            "  - domain: b.example\n    registration: true\n    resource_conflict: refuse\n",
            &why);
    assert_non_null(config);
    struct settings *settings = settings_create(config);
    assert_null(settings_find_host(settings, STR("a.example")));
    assert_true(settings_find_host(settings, STR("b.example"))->registration);
    assert_string_equal(
            settings_find_host(settings, STR("b.example"))->resource_conflict, "refuse");
    settings_destroy(settings);
    config_destroy(config);
    buf_fini(&why);
}

static void a_host_may_have_its_own_time_to_resume(void **state)
{
    (void)state;
    struct buf why;
    buf_init(&why, 0);
    struct config *config = load(REQUIRED
            "sm:\n  resume_timeout: 90s\ncsi:\n  max_held: 0\n  max_held_bytes: 2KiB\n"
            "hosts:\n  - domain: a.example\n    resume_timeout: 20s\n  - domain: b.example\n",
            &why);
    assert_non_null(config);
    struct settings *settings = settings_create(config);
    assert_int_equal(settings->resume_timeout_ms, 90000);
    assert_int_equal(settings->csi_max_held, 0);
    assert_int_equal(settings->csi_max_held_bytes, 2048);
    assert_int_equal(settings_find_host(settings, STR("a.example"))->resume_timeout_ms, 20000);
    assert_int_equal(settings_find_host(settings, STR("b.example"))->resume_timeout_ms, 0);
    settings_destroy(settings);
    config_destroy(config);
    buf_fini(&why);
}

static void nonsense_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const bad[] = {
        REQUIRED "hosts:\n  - domain: \"a b\"\n",
        REQUIRED "hosts:\n  - domain: a.example\n    resume_timeout: 999ms\n",
        REQUIRED "messages:\n  durability: sometimes\n",
        REQUIRED "register:\n  scram_iterations: 4096\n",
        REQUIRED "cluster:\n  shards: 0\n",
        "router:\n  lease: 3s\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct buf why;
        buf_init(&why, 0);
        assert_null(load(bad[i], &why));
        assert_true(buf_view(&why).len > 0);
        buf_fini(&why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_manual),
        cmocka_unit_test(a_former_host_is_not_ours),
        cmocka_unit_test(a_host_may_have_its_own_time_to_resume),
        cmocka_unit_test(nonsense_is_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Section "accounts": defaults, one policy for each host, and what makes no sense. */
#include "router/settings_accounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static struct config *load(const char *yaml, struct buf *why)
{
    char path[] = "/tmp/starling-accounts.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, yaml, strlen(yaml)), (ssize_t)strlen(yaml));
    close(fd);
    struct config *config = config_load(path, settings_sections, why);
    unlink(path);
    return config;
}

/* clang-format off */
#define REQUIRED \
    "router:\n  token_key_file: token.key\n  storage_key_file: storage.key\n" \
    "bus:\n  address: tcp://127.0.0.1:0\n" \
    "postgres_router:\n  conninfo: host=/nowhere\n" \
    "hosts:\n  - domain: example.net\n" \
    "accounts:\n"
/* clang-format on */

static void assert_refused(const char *yaml, const char *part)
{
    struct buf why;
    buf_init(&why, 0);
    assert_null(load(yaml, &why));
    buf_append_char(&why, '\0');
    assert_non_null(strstr(why.data, part));
    buf_fini(&why);
}

static void each_host_has_its_policy(void **state)
{
    (void)state;
    struct buf why;
    buf_init(&why, 0);
    struct config *config = load(REQUIRED
            "  - {inactive_warn_days: 300}\n"
            "  - {host: Example.NET, inactive_warn_days: 10, inactive_disable_days: 20,"
            " inactive_delete_days: 30, tombstone_days: 5, welcome_text: Hello, tell_admins: true}\n",
            &why);
    assert_non_null(config);
    struct settings *settings = settings_create(config);
    const struct account_policy *own = settings_find_policy(settings, STR("example.net"));
    assert_int_equal(own->inactive_delete_days, 30);
    assert_int_equal(own->tombstone_days, 5);
    assert_true(str_equal(own->welcome_text, STR("Hello")) && own->tells_admins);
    assert_true(own->inactive_text.len > 0 && own->welcome_subject.len == 0);
    const struct account_policy *other = settings_find_policy(settings, STR("other.example"));
    assert_int_equal(other->inactive_warn_days, 300);
    assert_int_equal(other->inactive_disable_days, 0);
    assert_int_equal(other->tombstone_days, 30);
    assert_false(other->tells_admins);
    settings_destroy(settings);
    config_destroy(config);
    buf_fini(&why);
}

static void without_the_section_nothing_happens_but_tombstones(void **state)
{
    (void)state;
    const struct settings settings = { .policy_count = 0 };
    const struct account_policy *policy = settings_find_policy(&settings, STR("example.net"));
    assert_int_equal(policy->inactive_warn_days + policy->inactive_disable_days, 0);
    assert_int_equal(policy->tombstone_days, 30);
    assert_int_equal(policy->welcome_text.len, 0);
}

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    assert_refused(REQUIRED "  - {inactive_delete_days: 10}\n", "only with inactive_disable_days");
    assert_refused(
            REQUIRED "  - {inactive_disable_days: 10, inactive_delete_days: 10}\n", "more than");
    assert_refused(
            REQUIRED "  - {inactive_warn_days: 10, inactive_disable_days: 10}\n", "more than");
    assert_refused(REQUIRED "  - {tombstone_days: 40000}\n", "tombstone_days");
    assert_refused(REQUIRED "  - {inactive_warn_days: -1}\n", "inactive_warn_days");
    assert_refused(REQUIRED "  - {welcome_text: \"a\\x01b\"}\n", "no text");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_host_has_its_policy),
        cmocka_unit_test(without_the_section_nothing_happens_but_tombstones),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

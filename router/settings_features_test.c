/* The sections of features: defaults, and what is read. */
#include "router/settings_features.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static struct config *load(const char *yaml, struct buf *why)
{
    char path[] = "/tmp/starling-features.XXXXXX";
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
    "router:\n  token_key_file: token.key\n" \
    "bus:\n  address: tcp://127.0.0.1:0\n" \
    "postgres_router:\n  conninfo: host=/nowhere\n" \
    "hosts:\n  - domain: example.net\n"
/* clang-format on */

static struct settings *settings_of(const char *yaml)
{
    struct buf why;
    buf_init(&why, 0);
    struct config *config = load(yaml, &why);
    assert_non_null(config);
    struct settings *settings = settings_create(config);
    config_destroy(config);
    buf_fini(&why);
    return settings;
}

static void assert_refused(const char *yaml, const char *part)
{
    struct buf why;
    buf_init(&why, 0);
    assert_null(load(yaml, &why));
    buf_append_char(&why, '\0');
    assert_non_null(strstr(why.data, part));
    buf_fini(&why);
}

static void limits_of_account_data_are_read(void **state)
{
    (void)state;
    struct settings *settings = settings_of(REQUIRED);
    assert_int_equal(settings->blocking_max_items, 1000);
    assert_int_equal(settings->blocking_max_bytes, 65536);
    assert_int_equal(settings->private_xml_max_items, 100);
    assert_int_equal(settings->vcard_max_bytes, 131072);
    assert_true(settings->vcard_is_public);
    settings_destroy(settings);
    settings = settings_of(REQUIRED "vcard:\n  readable_by: contacts\nblocking:\n  max_items: 7\n");
    assert_false(settings->vcard_is_public);
    assert_int_equal(settings->blocking_max_items, 7);
    settings_destroy(settings);
    assert_refused(REQUIRED "vcard:\n  readable_by: friends\n", "readable_by");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_of_account_data_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

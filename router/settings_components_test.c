/* Components in the configuration, and what shard somebody at one belongs to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "router/settings.h"

/* clang-format off */
#define REQUIRED \
    "router:\n  token_key_file: token.key\n  storage_key_file: storage.key\n" \
    "bus:\n  address: tcp://127.0.0.1:0\n" \
    "postgres_router:\n  conninfo: host=/nowhere\n" \
    "hosts:\n  - domain: example.net\n"
/* clang-format on */

static struct config *load(const char *yaml)
{
    char path[] = "/tmp/starling-settings.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, yaml, strlen(yaml)), (ssize_t)strlen(yaml));
    close(fd);
    struct buf why;
    buf_init(&why, 0);
    struct config *config = config_load(path, settings_sections, &why);
    buf_fini(&why);
    unlink(path);
    return config;
}

static void everybody_at_a_component_is_at_home_with_it(void **state)
{
    (void)state;
    struct config *config = load(REQUIRED "components:\n  - domain: Chat.Example.NET\n");
    assert_non_null(config);
    struct settings *settings = settings_create(config);
    assert_true(settings_is_served(settings, STR("chat.example.net")));
    assert_true(settings_is_served(settings, STR("example.net")));
    assert_false(settings_is_served(settings, STR("other.example.net")));
    assert_null(settings_find_host(settings, STR("chat.example.net")));
    assert_true(settings->components[0].disco);
    static const char *const homes[][2] = {
        { "room@chat.example.net", "chat.example.net" },
        { "chat.example.net", "chat.example.net" },
        { "user@example.net", "user@example.net" },
        { "chat.example.net@example.net", "chat.example.net@example.net" },
        { "room@xchat.example.net", "room@xchat.example.net" },
    };
    for (size_t i = 0; i < sizeof(homes) / sizeof(homes[0]); i++) {
        struct str home = settings_home_of(settings, str_from_cstr(homes[i][0]));
        assert_true(str_equal(home, str_from_cstr(homes[i][1])));
    }
    settings_destroy(settings);
    config_destroy(config);
}

static void only_a_restart_changes_them(void **state)
{
    (void)state;
    struct config *config = load(REQUIRED "components:\n  - domain: chat.example.net\n");
    struct config *later = load(REQUIRED "components:\n  - domain: other.example.net\n");
    struct settings *old = settings_create(config);
    struct settings *settings = settings_create(later);
    settings_keep(settings, old);
    settings_destroy(old);
    assert_non_null(settings_find_component(settings, STR("chat.example.net")));
    assert_null(settings_find_component(settings, STR("other.example.net")));
    settings_destroy(settings);
    config_destroy(later);
    config_destroy(config);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    assert_null(load(REQUIRED "components:\n  - domain: \"\"\n"));
    assert_null(load(REQUIRED "components:\n  - domain: a b\n"));
    assert_null(load(REQUIRED "components:\n  - secret_file: x\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_at_a_component_is_at_home_with_it),
        cmocka_unit_test(only_a_restart_changes_them),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

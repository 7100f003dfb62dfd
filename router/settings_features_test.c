/* The sections of features: defaults, and what is read. */
#include "router/settings_features.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

static void contact_addresses_are_found_by_domain(void **state)
{
    (void)state;
    struct settings *settings = settings_of(
            REQUIRED "contact_addresses:\n"
                     "  - {abuse: [\"mailto:abuse@example.com\"]}\n"
                     "  - {host: Example.NET, admin: [\"xmpp:a@b\", \"https://x.example\"]}\n");
    const struct contact_addresses *own = settings_find_contacts(settings, STR("example.net"));
    assert_int_equal(own->uris[CONTACT_ADMIN].count, 2);
    assert_int_equal(own->uris[CONTACT_ABUSE].count, 0);
    assert_true(str_equal(own->uris[CONTACT_ADMIN].items[1], STR("https://x.example")));
    const struct contact_addresses *any = settings_find_contacts(settings, STR("example.org"));
    assert_int_equal(any->uris[CONTACT_ABUSE].count, 1);
    settings_destroy(settings);
    settings = settings_of(REQUIRED);
    assert_null(settings_find_contacts(settings, STR("example.net")));
    settings_destroy(settings);
    assert_refused(REQUIRED "contact_addresses:\n  - {abuse: [nobody]}\n", "is no URI");
    assert_refused(REQUIRED "contact_addresses:\n  - {outage_status: [\"xmpp:x\"]}\n",
            "is no http(s) URI");
}

static void external_services_are_read_with_their_secret(void **state)
{
    (void)state;
    char path[] = "/tmp/starling-turn.XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "turn secret\n", 12), 12);
    close(fd);
    char yaml[1024];
    (void)snprintf(yaml,
            sizeof(yaml),
            REQUIRED "external_services:\n"
                     "  - {type: stun, host: s.example, port: 3478, transport: udp}\n"
                     "  - {type: turn, host: t.example, secret_file: %s, ttl: 1h}\n",
            path);
    struct settings *settings = settings_of(yaml);
    assert_int_equal(settings->external_service_count, 2);
    const struct external_service *stun = &settings->external_services[0];
    assert_true(str_equal(stun->port, STR("3478")) && str_equal(stun->transport, STR("udp")));
    const struct external_service *turn = &settings->external_services[1];
    assert_true(str_equal(turn->secret, STR("turn secret")));
    assert_int_equal(turn->port.len + turn->transport.len, 0);
    assert_int_equal(turn->ttl_ms, 3600000);
    settings_destroy(settings);
    unlink(path);
    assert_refused(yaml, "starling-turn");
}

static void administrators_are_prepared_addresses(void **state)
{
    (void)state;
    struct settings *settings =
            settings_of(REQUIRED "admin:\n  accounts: [Boss@Example.NET, b@c]\n");
    assert_int_equal(settings->admins.count, 2);
    assert_true(str_equal(settings->admins.items[0], STR("boss@example.net")));
    settings_destroy(settings);
    assert_refused(REQUIRED "admin:\n  accounts: [example.net]\n", "no address of an account");
    assert_refused(REQUIRED "admin:\n  accounts: [a@b/c]\n", "no address of an account");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(administrators_are_prepared_addresses),
        cmocka_unit_test(contact_addresses_are_found_by_domain),
        cmocka_unit_test(external_services_are_read_with_their_secret),
        cmocka_unit_test(limits_of_account_data_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

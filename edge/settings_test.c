/* Configuration of an edge: hosts are prepared, reloads change in place, nonsense is refused. */
#include "edge/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "edge/sasl/mechanism.h"
#include "tests/lib/config_text.h"

static struct config *load(const char *yaml)
{
    struct buf why;
    buf_init(&why, 0);
    struct config *config = config_load_text(yaml, settings_sections, &why);
    buf_fini(&why);
    return config;
}

static struct settings *create(const struct config *config)
{
    struct buf why;
    buf_init(&why, 0);
    struct settings *settings = settings_create(config, &why);
    buf_fini(&why);
    return settings;
}

static void hosts_are_found_by_their_prepared_name(void **state)
{
    (void)state;
    struct config *config = load("hosts:\n  - {domain: Example.ORG}\n  - {domain: b\xc3\xbc"
                                 "cher.example, tls_required: false}\n");
    struct settings *settings = create(config);
    assert_non_null(settings_find_host(settings, STR("example.org")));
    assert_true(settings_find_host(settings, STR("example.org"))->tls_required);
    assert_false(settings_find_host(settings,
            STR("b\xc3\xbc"
                "cher.example"))
                         ->tls_required);
    assert_null(settings_find_host(settings, STR("other.example")));
    settings_destroy(settings);
    config_destroy(config);
}

static void reload_changes_hosts_in_place(void **state)
{
    (void)state;
    struct buf why;
    buf_init(&why, 0);
    struct config *first = load("hosts:\n  - {domain: a.example}\n  - {domain: b.example}\n");
    struct config *second = load("hosts:\n  - {domain: b.example, registration: true}\n"
                                 "  - {domain: c.example}\nc2s: {max_auth_failures: 3}\n");
    struct settings *settings = create(first);
    const struct host *kept = settings_find_host(settings, STR("b.example"));
    assert_int_equal(settings_reload(settings, second, &why), ERR_OK);
    config_destroy(first);
    assert_ptr_equal(settings_find_host(settings, STR("b.example")), kept);
    assert_true(kept->registration);
    assert_null(settings_find_host(settings, STR("a.example")));
    assert_non_null(settings_find_host(settings, STR("c.example")));
    assert_int_equal(settings->c2s->max_auth_failures, 3);
    settings_destroy(settings);
    config_destroy(second);
}

static void refused_reload_changes_nothing(void **state)
{
    (void)state;
    struct buf why;
    buf_init(&why, 0);
    struct config *first = load("hosts:\n  - {domain: a.example}\nsasl: {mechanisms: [PLAIN]}\n");
    struct config *bad = load("hosts:\n  - {domain: b.example}\nsasl: {mechanisms: [ROT13]}\n");
    struct config *bad_host = load("hosts:\n  - {domain: \"not a domain\"}\n");
    struct settings *settings = create(first);
    assert_int_equal(settings_reload(settings, bad, &why), ERR_INVALID);
    assert_true(why.len > 0);
    assert_int_equal(settings_reload(settings, bad_host, &why), ERR_INVALID);
    config_destroy(bad);
    config_destroy(bad_host);
    assert_non_null(settings_find_host(settings, STR("a.example")));
    assert_true(settings_has_mechanism(settings, sasl_mechanism_find(STR("PLAIN"))));
    assert_false(settings_has_mechanism(settings, sasl_mechanism_find(STR("SCRAM-SHA-1"))));
    settings_destroy(settings);
    config_destroy(first);
    buf_fini(&why);
}

static void limits_follow_the_catalogue_by_default(void **state)
{
    (void)state;
    struct config *config = load("hosts:\n  - {domain: a.example}\n");
    struct settings *settings = create(config);
    struct xml_limits before;
    struct xml_limits after;
    settings_preauth_limits(settings, &before);
    settings_session_limits(settings->c2s, &after);
    assert_int_equal(before.max_stanza_bytes, 10000); /* A22 */
    assert_int_equal(before.max_elements, 32);        /* A24 */
    assert_int_equal(before.max_depth, 16);           /* A25 */
    assert_int_equal(after.max_stanza_bytes, 262144); /* C03 */
    assert_int_equal(after.max_token_bytes, 65536);
    assert_int_equal(after.max_elements, 25000);
    assert_int_equal(after.max_depth, 100);
    assert_int_equal(settings->c2s->header_timeout_ms, 30000);      /* A27 */
    assert_int_equal(settings->c2s->negotiation_timeout_ms, 60000); /* A28 */
    assert_int_equal(settings->c2s->handshake_timeout_ms, 10000);   /* B09 */
    settings_destroy(settings);
    config_destroy(config);
}

static void components_are_apart_from_hosts(void **state)
{
    (void)state;
    struct config *config = load("hosts:\n  - {domain: a.example}\n"
                                 "components:\n  - {domain: Chat.A.example}\n"
                                 "component_limits: {max_unhandled_stanzas: 7}\n");
    struct settings *settings = create(config);
    assert_non_null(settings_find_component(settings, STR("chat.a.example")));
    assert_null(settings_find_host(settings, STR("chat.a.example")));
    assert_int_equal(settings->component->max_unhandled_stanzas, 7);
    assert_int_equal(settings->component->header_timeout_ms, settings->c2s->header_timeout_ms);
    assert_int_not_equal(settings->c2s->max_unhandled_stanzas, 7);
    struct config *clash = load("hosts:\n  - {domain: a.example}\n  - {domain: chat.a.example}\n");
    struct buf why;
    buf_init(&why, 0);
    assert_int_equal(settings_reload(settings, clash, &why), ERR_INVALID);
    buf_fini(&why);
    settings_destroy(settings);
    config_destroy(clash);
    config_destroy(config);
    config = load("hosts:\n  - {domain: a.example}\ncomponents:\n  - {domain: A.example}\n");
    assert_null(create(config));
    config_destroy(config);
    config = load(
            "hosts:\n  - {domain: a.example}\ncomponents:\n  - {domain: b}\n  - {domain: B}\n");
    assert_null(create(config));
    config_destroy(config);
}

/* XEP-0114 has no STARTTLS: stanzas cross no network unprotected unless somebody says so. */
static void components_without_tls_stay_on_loopback(void **state)
{
    (void)state;
    static const struct {
        const char *listener;
        bool is_accepted;
    } listeners[] = {
        { "{kind: component, port: 5347}", true },
        { "{kind: component, address: 127.1.2.3, port: 5347}", true },
        { "{kind: component, address: \"::1\", port: 5347}", true },
        { "{kind: component, address: \"::\", port: 5347}", false },
        { "{kind: component, address: 192.0.2.1, port: 5347}", false },
        { "{kind: component, address: 192.0.2.1, port: 5347, allow_plain: true}", true },
        { "{kind: component_tls, address: 192.0.2.1, port: 5347}", true },
    };
    for (size_t i = 0; i < sizeof(listeners) / sizeof(listeners[0]); i++) {
        char yaml[256];
        (void)snprintf(yaml, sizeof(yaml), "listeners:\n  - %s\n", listeners[i].listener);
        struct config *config = load(yaml);
        assert_int_equal(config != NULL, listeners[i].is_accepted);
        config_destroy(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_are_found_by_their_prepared_name),
        cmocka_unit_test(reload_changes_hosts_in_place),
        cmocka_unit_test(refused_reload_changes_nothing),
        cmocka_unit_test(limits_follow_the_catalogue_by_default),
        cmocka_unit_test(components_are_apart_from_hosts),
        cmocka_unit_test(components_without_tls_stay_on_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

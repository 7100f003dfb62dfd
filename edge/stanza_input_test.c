/* The verdict on single stanzas; what the stream makes of it is in session_test.c. */
#include "edge/stanza_input.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/xmpp/ns.h"

struct attributes {
    const char *from, *to, *type, *id, *lang;
};

static struct arena arena;

static void add(struct xml_element *element,
        struct xml_attribute *list,
        struct str ns,
        const char *name,
        const char *value)
{
    if (value) {
        list[element->attribute_count++] = (struct xml_attribute){
            .ns = ns,
            .name = str_from_cstr(name),
            .value = str_from_cstr(value),
        };
    }
}

static struct input_result check(
        const char *name, const struct attributes *attributes, uint32_t children)
{
    const struct input_identity identity = {
        .full = STR("user@example.org/desk"),
        .bare = STR("user@example.org"),
        .lang = STR("de"),
    };
    static struct xml_attribute list[8];
    struct xml_element element = {
        .ns = STR(NS_CLIENT),
        .name = str_from_cstr(name),
        .attributes = list,
        .child_count = children,
    };
    add(&element, list, STR_NULL, "from", attributes->from);
    add(&element, list, STR_NULL, "to", attributes->to);
    add(&element, list, STR_NULL, "type", attributes->type);
    add(&element, list, STR_NULL, "id", attributes->id);
    add(&element, list, STR(NS_XML), "lang", attributes->lang);
    struct input_result result;
    stanza_input_check(&arena, &identity, &element, &result);
    return result;
}

static void addresses_are_prepared_and_stamped(void **state)
{
    (void)state;
    struct input_result result =
            check("message", &(struct attributes){ .to = "BOB@Example.ORG/X" }, 1);
    assert_int_equal(result.verdict, INPUT_FORWARD);
    assert_true(str_equal(result.stanza.to, STR("bob@example.org/X")));
    assert_true(str_equal(result.stanza.from, STR("user@example.org/desk")));
}

static void language_is_the_stanzas_or_the_streams(void **state)
{
    (void)state;
    struct input_result result = check("message", &(struct attributes){ .lang = "fr" }, 1);
    assert_true(str_equal(result.stanza.lang, STR("fr")));
    result = check("message", &(struct attributes){ 0 }, 1);
    assert_true(str_equal(result.stanza.lang, STR("de")));
    result = check("message",
            &(struct attributes){ .lang = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" },
            1);
    assert_true(str_equal(result.stanza.lang, STR("de"))); /* A35 */
}

static void unknown_message_type_means_normal(void **state)
{
    (void)state; /* RFC 6121 §5.2.2 */
    struct input_result result = check("message", &(struct attributes){ .type = "foo" }, 1);
    assert_int_equal(result.verdict, INPUT_FORWARD);
    assert_int_equal(result.stanza.type, STANZA_TYPE_NORMAL);
    result = check("presence", &(struct attributes){ .type = "foo" }, 0);
    assert_int_equal(result.verdict, INPUT_ANSWER);
    assert_int_equal(result.stanza_error, STANZA_ERROR_BAD_REQUEST);
}

static void foreign_from_is_the_streams_end(void **state)
{
    (void)state; /* C01 */
    struct input_result result = check("iq", &(struct attributes){ .from = "bob@example.org" }, 1);
    assert_int_equal(result.verdict, INPUT_FAIL);
    assert_int_equal(result.stream_error, STREAM_ERROR_INVALID_FROM);
}

static void iq_must_be_sound(void **state)
{
    (void)state; /* C04 */
    const struct attributes get = { .type = "get", .id = "1" };
    assert_int_equal(check("iq", &get, 1).verdict, INPUT_FORWARD);
    assert_int_equal(check("iq", &get, 0).verdict, INPUT_ANSWER);
    assert_int_equal(check("iq", &get, 2).verdict, INPUT_ANSWER);
    const struct attributes result = { .type = "result", .id = "1" };
    assert_int_equal(check("iq", &result, 0).verdict, INPUT_FORWARD);
    assert_int_equal(check("iq", &result, 1).verdict, INPUT_FORWARD);
    assert_int_equal(check("iq", &result, 2).verdict, INPUT_IGNORE);
    const struct attributes no_id = { .type = "error" };
    assert_int_equal(check("iq", &no_id, 1).verdict, INPUT_IGNORE); /* C07 */
}

static void overlong_id_is_not_echoed(void **state)
{
    (void)state;
    char id[2001];
    memset(id, 'i', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    struct input_result result = check("message", &(struct attributes){ .id = id }, 1);
    assert_int_equal(result.verdict, INPUT_ANSWER);
    assert_int_equal(result.stanza.id.len, 0);
    result = check("message", &(struct attributes){ .id = id, .to = "@" }, 1);
    assert_int_equal(result.stanza_error, STANZA_ERROR_JID_MALFORMED); /* C02 */
    assert_int_equal(result.stanza.id.len, 0);
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_prepared_and_stamped),
        cmocka_unit_test(language_is_the_stanzas_or_the_streams),
        cmocka_unit_test(unknown_message_type_means_normal),
        cmocka_unit_test(foreign_from_is_the_streams_end),
        cmocka_unit_test(iq_must_be_sound),
        cmocka_unit_test(overlong_id_is_not_echoed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

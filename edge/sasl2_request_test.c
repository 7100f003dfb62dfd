/* What is read of <authenticate/>, and what is not. */
#include "edge/sasl2_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/xmpp/xml_reader.h"

#define AGENT "<user-agent id='d4565fa7-4d72-4749-b3d3-740EDBF87770'/>"

static struct sasl2_request *request;
static struct str data;
static bool has_data;

/* `children` is canonical XML, as the reader writes it. */
static enum err parse(const char *children)
{
    struct xml_element element = { .children = str_from_cstr(children) };
    sasl2_request_destroy(request);
    request = NULL;
    return sasl2_request_parse(&element, &request, &data, &has_data);
}

static int teardown(void **state)
{
    (void)state;
    sasl2_request_destroy(request);
    request = NULL;
    return 0;
}

static void the_first_message_may_be_there_empty_or_absent(void **state)
{
    (void)state;
    assert_int_equal(parse(""), ERR_OK);
    assert_false(has_data);
    assert_int_equal(parse("<initial-response/>"), ERR_OK);
    assert_true(has_data && data.len == 0);
    assert_int_equal(parse("<initial-response>\n AGE= </initial-response>"), ERR_OK);
    assert_true(has_data && str_equal(data, STR("AGE=")));
    assert_int_equal(parse("<initial-response><a/></initial-response>"), ERR_INVALID);
    assert_int_equal(parse("<initial-response/><initial-response/>"), ERR_INVALID);
}

static void a_client_is_known_by_its_uuid(void **state)
{
    (void)state;
    assert_int_equal(parse(AGENT), ERR_OK);
    assert_true(
            request->client.hi == 0xd4565fa74d724749 && request->client.lo == 0xb3d3740edbf87770);
    const char *const others[] = {
        "<user-agent/>",
        "<user-agent id='me'/>",
        "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf8777'/>",
        "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf8777g'/>",
        "<user-agent id='d4565fa7+4d72+4749+b3d3+740edbf87770'/>",
        "<user-agent id='-4565fa7-4d72-4749-b3d3-740edbf87770'/>",
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(parse(others[i]), ERR_OK);
        assert_true(id128_is_zero(request->client));
    }
}

static void bind_brings_everything_of_a_session(void **state)
{
    (void)state;
    assert_int_equal(parse("<bind xmlns='urn:xmpp:bind:0'><tag>Awesome</tag>"
                           "<enable xmlns='urn:xmpp:carbons:2'/>"
                           "<enable xmlns='urn:xmpp:sm:3' resume='1' max='60'/>"
                           "<inactive xmlns='urn:xmpp:csi:0'/></bind>"),
            ERR_OK);
    assert_true(request->has_bind && request->has_carbons && request->is_inactive);
    assert_true(request->wants_sm && request->may_resume && request->max_s == 60);
    assert_true(str_equal(request->tag, STR("Awesome")));
    assert_int_equal(parse("<bind xmlns='urn:xmpp:bind:0'/>"), ERR_OK);
    assert_true(request->has_bind && !request->wants_sm && !request->has_carbons);
    assert_true(str_is_empty(request->tag) && !request->is_inactive);
    assert_int_equal(
            parse("<bind xmlns='urn:xmpp:bind:0'/><bind xmlns='urn:xmpp:bind:0'/>"), ERR_INVALID);
    assert_int_equal(parse("<bind xmlns='urn:xmpp:bind:7'/>"), ERR_OK);
    assert_false(request->has_bind);
}

static void a_tag_that_cannot_be_a_resource_is_left_out(void **state)
{
    (void)state;
    char text[SASL2_MAX_TAG_BYTES + 100];
    char tag[SASL2_MAX_TAG_BYTES + 2];
    memset(tag, 'a', sizeof(tag));
    tag[sizeof(tag) - 1] = '\0';
    (void)snprintf(text, sizeof(text), "<bind xmlns='urn:xmpp:bind:0'><tag>%s</tag></bind>", tag);
    assert_int_equal(parse(text), ERR_OK);
    assert_true(request->has_bind && str_is_empty(request->tag));
    assert_int_equal(parse("<bind xmlns='urn:xmpp:bind:0'><tag>a\tb</tag></bind>"), ERR_OK);
    assert_true(request->has_bind && str_is_empty(request->tag));
}

static void tokens_are_counted_and_wished_for(void **state)
{
    (void)state;
    struct sasl2_wish wish;
    assert_int_equal(parse(AGENT "<fast xmlns='urn:xmpp:fast:0' count='12' invalidate='true'/>"
                                 "<request-token xmlns='urn:xmpp:fast:0'"
                                 " mechanism='HT-SHA-256-ENDP'/>"),
            ERR_OK);
    assert_true(request->has_fast && request->has_count && request->count == 12);
    assert_true(request->is_invalidated);
    assert_ptr_equal(sasl2_request_wish(request, &wish), &wish.token);
    assert_int_equal(wish.token.mechanism, HT_SHA_256_ENDP);
    const char *const counts[] = { "", "-1", "x", "9223372036854775808" };
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        char text[100];
        (void)snprintf(text, sizeof(text), "<fast xmlns='urn:xmpp:fast:0' count='%s'/>", counts[i]);
        assert_int_equal(parse(text), ERR_INVALID);
    }
    /* No client, or no mechanism of tokens: no wish. */
    assert_int_equal(
            parse("<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>"), ERR_OK);
    assert_null(sasl2_request_wish(request, &wish));
    assert_int_equal(
            parse(AGENT "<request-token xmlns='urn:xmpp:fast:0' mechanism='PLAIN'/>"), ERR_OK);
    assert_null(sasl2_request_wish(request, &wish));
    assert_null(sasl2_request_wish(NULL, &wish));
}

static void upgrades_are_left_to_those_that_are_missing(void **state)
{
    (void)state;
    assert_int_equal(parse("<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>"
                           "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade>"
                           "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-BLOOP2</upgrade>"),
            ERR_OK);
    assert_int_equal(request->upgrades, 1U << DIGEST_SHA256 | 1U << DIGEST_SHA512);
    Wire__AuthResult result = WIRE__AUTH_RESULT__INIT;
    result.upgrades = 1U << DIGEST_SHA1 | 1U << DIGEST_SHA512; /* a router never gives more */
    result.iterations = 10000;
    sasl2_request_take(request, &result);
    assert_int_equal(request->upgrades, 1U << DIGEST_SHA512);
    assert_int_equal(request->iterations, 10000);
    enum digest digest;
    assert_true(sasl2_task_digest(STR("UPGR-SCRAM-SHA-1"), &digest) && digest == DIGEST_SHA1);
    assert_false(sasl2_task_digest(STR("SCRAM-SHA-1"), &digest));
    assert_string_equal(sasl2_task_name(DIGEST_SHA512), "UPGR-SCRAM-SHA-512");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_first_message_may_be_there_empty_or_absent, teardown),
        cmocka_unit_test_teardown(a_client_is_known_by_its_uuid, teardown),
        cmocka_unit_test_teardown(bind_brings_everything_of_a_session, teardown),
        cmocka_unit_test_teardown(a_tag_that_cannot_be_a_resource_is_left_out, teardown),
        cmocka_unit_test_teardown(tokens_are_counted_and_wished_for, teardown),
        cmocka_unit_test_teardown(upgrades_are_left_to_those_that_are_missing, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

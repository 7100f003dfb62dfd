/* XEP-0115 and XEP-0390: the examples of the specifications, and what is refused. */
#include "proto/xmpp/caps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/base/encoding.h"
#include "proto/xmpp/ns.h"

static struct arena arena;

static int start(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static const struct element *parse(const char *xml)
{
    struct element *query = NULL;
    assert_int_equal(element_parse(&arena, str_from_cstr(xml), STR(NS_CLIENT), &query), ERR_OK);
    return query;
}

static enum err verify_ver(const char *xml, const char *ver)
{
    return caps_verify_ver(&arena, parse(xml), STR("sha-1"), str_from_cstr(ver));
}

static enum err verify_hash(const char *xml, const char *algo, const char *value)
{
    return caps_verify_hash(
            &arena, parse(xml), STR_NULL, str_from_cstr(algo), str_from_cstr(value));
}

#define QUERY      "<query xmlns='http://jabber.org/protocol/disco#info'>"
#define FORM       "<x xmlns='jabber:x:data' type='result'>"
#define TYPE(name) "<field var='FORM_TYPE' type='hidden'><value>" name "</value></field>"

/* XEP-0115 §5.2 */
#define EXODUS_PARTS                                              \
    "<identity category='client' name='Exodus 0.9.1' type='pc'/>" \
    "<feature var='http://jabber.org/protocol/caps'/>"            \
    "<feature var='http://jabber.org/protocol/muc'/>"             \
    "<feature var='http://jabber.org/protocol/disco#info'/>"      \
    "<feature var='http://jabber.org/protocol/disco#items'/>"
#define EXODUS     QUERY EXODUS_PARTS "</query>"
#define EXODUS_VER "QgayPKawpkPSDYmwT/WM94uAlu0="

/* §5.3, in another order */
#define PSI_FORM                                                                                                                          \
    FORM "<field var='os'><value>Mac</value></field>" TYPE(                                                                               \
            "urn:xmpp:dataforms:softwareinfo") "<field var='ip_version' type='text-multi'><value>ipv6</value><value>ipv4</value></field>" \
                                               "<field var='os_version'><value>10.5.1</value></field>"                                    \
                                               "<field var='software'><value>Psi</value></field>"                                         \
                                               "<field var='software_version'><value>0.11</value></field></x>"
#define PSI_PARTS                                                           \
    "<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>" \
    "<identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>"  \
    "<feature var='http://jabber.org/protocol/caps'/>"                      \
    "<feature var='http://jabber.org/protocol/disco#info'/>"                \
    "<feature var='http://jabber.org/protocol/disco#items'/>"               \
    "<feature var='http://jabber.org/protocol/muc'/>"
#define PSI     QUERY PSI_PARTS PSI_FORM "</query>"
#define PSI_VER "q07IKJEyjvHSyhy//CH0CxmKi8w="

/* XEP-0390 §4.5.1 and §4.5.2 */
static const char bombus[] = "<query xmlns='http://jabber.org/protocol/disco#info'>"
                             "<identity category='client' name='BombusMod' type='mobile'/>"
                             "<feature var='http://jabber.org/protocol/si'/>"
                             "<feature var='http://jabber.org/protocol/bytestreams'/>"
                             "<feature var='http://jabber.org/protocol/chatstates'/>"
                             "<feature var='http://jabber.org/protocol/disco#info'/>"
                             "<feature var='http://jabber.org/protocol/disco#items'/>"
                             "<feature var='urn:xmpp:ping'/><feature var='jabber:iq:time'/>"
                             "<feature var='jabber:iq:privacy'/><feature var='jabber:iq:version'/>"
                             "<feature var='http://jabber.org/protocol/rosterx'/>"
                             "<feature var='urn:xmpp:time'/><feature var='jabber:x:oob'/>"
                             "<feature var='http://jabber.org/protocol/ibb'/>"
                             "<feature var='http://jabber.org/protocol/si/profile/file-transfer'/>"
                             "<feature var='urn:xmpp:receipts'/><feature var='jabber:iq:roster'/>"
                             "<feature var='jabber:iq:last'/></query>";
static const char tkabber[] =
        "<query xmlns='http://jabber.org/protocol/disco#info'>"
        "<identity category='client' name='Tkabber' type='pc' xml:lang='en'/>"
        "<identity category='client' name='Ткаббер' type='pc' xml:lang='ru'/>"
        "<feature var='games:board'/>"
        "<feature var='http://jabber.org/protocol/activity'/>"
        "<feature var='http://jabber.org/protocol/activity+notify'/>"
        "<feature var='http://jabber.org/protocol/bytestreams'/>"
        "<feature var='http://jabber.org/protocol/chatstates'/>"
        "<feature var='http://jabber.org/protocol/commands'/>"
        "<feature var='http://jabber.org/protocol/disco#info'/>"
        "<feature var='http://jabber.org/protocol/disco#items'/>"
        "<feature var='http://jabber.org/protocol/evil'/>"
        "<feature var='http://jabber.org/protocol/feature-neg'/>"
        "<feature var='http://jabber.org/protocol/geoloc'/>"
        "<feature var='http://jabber.org/protocol/geoloc+notify'/>"
        "<feature var='http://jabber.org/protocol/ibb'/>"
        "<feature var='http://jabber.org/protocol/iqibb'/>"
        "<feature var='http://jabber.org/protocol/mood'/>"
        "<feature var='http://jabber.org/protocol/mood+notify'/>"
        "<feature var='http://jabber.org/protocol/rosterx'/>"
        "<feature var='http://jabber.org/protocol/si'/>"
        "<feature var='http://jabber.org/protocol/si/profile/file-transfer'/>"
        "<feature var='http://jabber.org/protocol/tune'/>"
        "<feature var='http://www.facebook.com/xmpp/messages'/>"
        "<feature var='http://www.xmpp.org/extensions/xep-0084.html#ns-metadata+notify'/>"
        "<feature var='jabber:iq:avatar'/><feature var='jabber:iq:browse'/>"
        "<feature var='jabber:iq:dtcp'/><feature var='jabber:iq:filexfer'/>"
        "<feature var='jabber:iq:ibb'/><feature var='jabber:iq:inband'/>"
        "<feature var='jabber:iq:jidlink'/><feature var='jabber:iq:last'/>"
        "<feature var='jabber:iq:oob'/><feature var='jabber:iq:privacy'/>"
        "<feature var='jabber:iq:roster'/><feature var='jabber:iq:time'/>"
        "<feature var='jabber:iq:version'/><feature var='jabber:x:data'/>"
        "<feature var='jabber:x:event'/><feature var='jabber:x:oob'/>"
        "<feature var='urn:xmpp:avatar:metadata+notify'/><feature var='urn:xmpp:ping'/>"
        "<feature var='urn:xmpp:receipts'/><feature var='urn:xmpp:time'/>"
        "<x xmlns='jabber:x:data' type='result'><field type='hidden' var='FORM_TYPE'>"
        "<value>urn:xmpp:dataforms:softwareinfo</value></field><field var='software'>"
        "<value>Tkabber</value></field><field var='software_version'>"
        "<value>0.11.1-svn-20111216-mod (Tcl/Tk 8.6b2)</value></field><field var='os'>"
        "<value>Windows</value></field><field var='os_version'><value>XP</value>"
        "</field></x></query>";

static void the_examples_of_the_specifications_hold(void **state)
{
    (void)state;
    assert_int_equal(verify_ver(EXODUS, EXODUS_VER), ERR_OK);
    assert_int_equal(verify_ver(PSI, PSI_VER), ERR_OK);
    assert_int_equal(
            verify_hash(bombus, "sha-256", "kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8="), ERR_OK);
    assert_int_equal(
            verify_hash(bombus, "sha3-256", "79mdYAfU9rEdTOcWDO7UEAt6E56SUzk/g6TnqUeuD9Q="),
            ERR_OK);
    assert_int_equal(
            verify_hash(tkabber, "sha-256", "u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY="),
            ERR_OK);
    assert_int_equal(
            verify_hash(tkabber, "sha3-256", "XpUJzLAc93258sMECZ3FJpebkzuyNXDzRNwQog8eycg="),
            ERR_OK);
}

static void what_does_not_match_is_not_verified(void **state) /* C32 */
{
    (void)state;
    assert_int_equal(verify_ver(EXODUS, PSI_VER), ERR_INVALID);
    assert_int_equal(verify_ver(EXODUS, ""), ERR_INVALID);
    assert_int_equal(
            verify_ver(QUERY EXODUS_PARTS "<feature var='x'/></query>", EXODUS_VER), ERR_INVALID);
    assert_int_equal(
            caps_verify_ver(&arena, parse(EXODUS), STR("md2"), STR(EXODUS_VER)), ERR_NOT_FOUND);
    assert_int_equal(verify_hash(bombus, "sha-256", "79mdYAfU9rEdTOcWDO7UEAt6E56SUzk/g6TnqUeuD9Q="),
            ERR_INVALID);
    assert_int_equal(verify_hash(bombus, "whirlpool", "x"), ERR_NOT_FOUND);
}

static enum err input_of(const char *xml)
{
    struct buf input;
    buf_init(&input, 0);
    enum err err = caps_write_ver_input(&arena, parse(xml), &input);
    buf_fini(&input);
    return err;
}

static void ill_formed_answers_are_refused(void **state) /* XEP-0115 §5.4 */
{
    (void)state;
    static const char *const bad[] = {
        QUERY "<identity category='a' type='b'/><identity category='a' type='b'/></query>",
        QUERY "<feature var='a'/><feature var='b'/><feature var='a'/></query>",
        QUERY FORM TYPE("a") "</x>" FORM TYPE("a") "</x></query>",
        QUERY FORM "<field var='FORM_TYPE' type='hidden'><value>a</value><value>b</value></field>"
                   "</x></query>",
        QUERY "<feature var='a&lt;b'/></query>", /* else it were two features */
        QUERY FORM TYPE("a") "<field var='v'><value>x&lt;y</value></field></x></query>",
        QUERY "<identity category='a' type='b' name='c&lt;d'/></query>",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(input_of(bad[i]), ERR_INVALID);
    }
    assert_int_equal(input_of(QUERY FORM "<field var='FORM_TYPE' type='hidden'><value>a</value>"
                                         "<value>a</value></field></x></query>"),
            ERR_OK);
    /* Of languages there may be many; a form that does not say what it is counts for nothing. */
    assert_int_equal(verify_ver(QUERY EXODUS_PARTS FORM
                             "<field var='FORM_TYPE'><value>a</value></field></x>" FORM
                             "<field var='v'><value>1</value></field></x></query>",
                             EXODUS_VER),
            ERR_OK);
    assert_int_equal(input_of(QUERY "<identity category='a' type='b' xml:lang='en'/>"
                                    "<identity category='a' type='b'/></query>"),
            ERR_OK);
}

static enum err input_of_2(const char *xml, const char *lang, struct buf *input)
{
    return caps_write_hash_input(&arena, parse(xml), str_from_cstr(lang), input);
}

static void the_newer_method_refuses_what_it_cannot_hash(void **state) /* XEP-0390 §4.1 */
{
    (void)state;
    static const char *const bad[] = {
        QUERY "<other/></query>",
        QUERY "<feature xmlns='urn:x' var='a'/></query>",
        QUERY FORM TYPE("a") "<reported/></x></query>",
        QUERY FORM TYPE("a") "<item/></x></query>",
        QUERY FORM "<field var='a'><value>1</value></field></x></query>",
        QUERY FORM "<field var='FORM_TYPE'><value>a</value></field></x></query>",
    };
    struct buf input;
    buf_init(&input, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(input_of_2(bad[i], "", &input), ERR_INVALID);
    }
    buf_fini(&input);
}

static void languages_are_inherited(void **state)
{
    (void)state;
    static const char *const same[] = {
        QUERY "<identity category='a' type='b' xml:lang='de'/></query>",
        "<query xmlns='http://jabber.org/protocol/disco#info' xml:lang='de'>"
        "<identity category='a' type='b'/></query>",
        QUERY "<identity category='a' type='b'/></query>",
    };
    for (size_t i = 0; i < 3; i++) {
        struct buf input;
        buf_init(&input, 0);
        assert_int_equal(input_of_2(same[i], i == 2 ? "de" : "en", &input), ERR_OK);
        assert_true(str_equal(buf_view(&input),
                STR("\x1c"
                    "a\x1f"
                    "b\x1f"
                    "de\x1f\x1f\x1e\x1c\x1c")));
        buf_fini(&input);
    }
}

static void large_answers_are_refused(void **state) /* C32 */
{
    (void)state;
    struct buf xml;
    buf_init(&xml, 0);
    buf_append_literal(&xml, QUERY);
    for (int i = 0; i <= CAPS_MAX_PARTS; i++) {
        buf_printf(&xml, "<feature var='%d'/>", i);
    }
    buf_append_literal(&xml, "</query>");
    buf_append_char(&xml, '\0');
    assert_int_equal(verify_ver(xml.data, EXODUS_VER), ERR_LIMIT);
    assert_int_equal(verify_hash(xml.data, "sha-256", "x"), ERR_LIMIT);
    buf_clear(&xml);
    buf_append_literal(&xml, QUERY "<feature var='");
    for (int i = 0; i < 1 << 20; i++) {
        buf_append_char(&xml, 'a');
    }
    buf_append_literal(&xml, "'/></query>");
    buf_append_char(&xml, '\0');
    assert_int_equal(verify_ver(xml.data, EXODUS_VER), ERR_LIMIT);
    assert_int_equal(verify_hash(xml.data, "sha-256", "x"), ERR_LIMIT);
    buf_fini(&xml);
}

static void what_is_announced_names_its_nodes(void **state)
{
    (void)state;
    struct caps_hashes hashes;
    assert_int_equal(caps_hash(&arena, parse(EXODUS), &hashes), ERR_OK);
    struct buf out;
    buf_init(&out, 0);
    caps_write_announced(&out, &hashes);
    struct element *c = NULL;
    assert_int_equal(element_parse(&arena, buf_view(&out), STR(NS_STREAM), &c), ERR_OK);
    assert_true(str_equal(element_attribute(c, STR("ver")), STR(EXODUS_VER)));
    assert_true(caps_names_node(&hashes, STR(CAPS_NODE "#" EXODUS_VER)));
    assert_false(caps_names_node(&hashes, STR(CAPS_NODE "#" PSI_VER)));
    assert_false(caps_names_node(&hashes, STR_NULL));
    XML_FOREACH_CHILD(hash, c->next) {
        struct buf node;
        buf_init(&node, 0);
        struct str algo = element_attribute(hash, STR("algo"));
        buf_printf(&node, NS_CAPS2 "#" STR_FMT "." STR_FMT, STR_ARG(algo), STR_ARG(hash->text));
        assert_true(caps_names_node(&hashes, buf_view(&node)));
        assert_int_equal(
                caps_verify_hash(&arena, parse(EXODUS), STR_NULL, algo, hash->text), ERR_OK);
        buf_fini(&node);
    }
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_examples_of_the_specifications_hold, start, stop),
        cmocka_unit_test_setup_teardown(what_does_not_match_is_not_verified, start, stop),
        cmocka_unit_test_setup_teardown(ill_formed_answers_are_refused, start, stop),
        cmocka_unit_test_setup_teardown(the_newer_method_refuses_what_it_cannot_hash, start, stop),
        cmocka_unit_test_setup_teardown(languages_are_inherited, start, stop),
        cmocka_unit_test_setup_teardown(large_answers_are_refused, start, stop),
        cmocka_unit_test_setup_teardown(what_is_announced_names_its_nodes, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Forged stanza-ids and delays go, everything else stays byte by byte (C15). */
#include "router/entity/stamps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void check(const char *children, const char *expected)
{
    struct buf out;
    buf_init(&out, 0);
    stamps_copy_unforged(&out, str_from_cstr(children), STR("bob@x.org"), STR("x.org"));
    buf_append_char(&out, '\0');
    assert_string_equal(out.data, expected);
    buf_fini(&out);
}

#define BODY        "<body>a &amp; b</body>"
#define DELAY(from) "<delay xmlns='urn:xmpp:delay' from='" from "' stamp='2000-01-01T00:00:00Z'/>"
#define ID(by)      "<stanza-id xmlns='urn:xmpp:sid:0' by='" by "' id='1'/>"

static void ours_are_removed_at_any_position(void **state)
{
    (void)state;
    check(ID("bob@x.org") BODY ID("bob@x.org"), BODY);
    check(DELAY("x.org") BODY DELAY("bob@x.org") DELAY("x.org"), BODY);
    check(DELAY("X.org") BODY DELAY("Bob@x.ORG") ID("BOB@X.org"), BODY);
    check("<delay xmlns='urn:xmpp:delay' from='x.org' stamp='s'>Offline<b/></delay>" BODY, BODY);
}

static void those_of_others_stay(void **state)
{
    (void)state;
    check("", "");
    check(BODY, BODY);
    check(ID("room.x.org") BODY DELAY("room.x.org"), ID("room.x.org") BODY DELAY("room.x.org"));
    /* Inside a forwarded message they are somebody's record, not ours. */
    check("<forwarded xmlns='urn:xmpp:forward:0'>" DELAY("x.org") "</forwarded>" DELAY("x.org"),
            "<forwarded xmlns='urn:xmpp:forward:0'>" DELAY("x.org") "</forwarded>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ours_are_removed_at_any_position),
        cmocka_unit_test(those_of_others_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

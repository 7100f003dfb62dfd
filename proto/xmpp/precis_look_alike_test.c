/* Which new names are taken for tricks (C33). */
#include "proto/xmpp/precis_look_alike.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/xmpp/jid.h"

static void expect(const char *const *names, bool is_look_alike)
{
    for (; *names; names++) {
        if (precis_is_look_alike(str_from_cstr(*names)) != is_look_alike) {
            fail_msg("%s: %s", *names, is_look_alike ? "not seen" : "an honest name");
        }
    }
}

static void honest_names_of_every_script_pass(void **state)
{
    (void)state;
    static const char *const names[] = { "alice",
        "paypa1",
        "jos\u00e9",
        "stra\u00dfe",
        "\u00e5sa",
        "\u043d\u0430\u0442\u0430\u0448\u0430",       /* natasha */
        "\u03b3\u03b9\u03ce\u03c1\u03b3\u03bf\u03c2", /* giorgos */
        "\u05d3\u05d5\u05d3",                         /* david */
        "\u0623\u062d\u0645\u062f",                   /* ahmad */
        "\u0930\u093e\u092e",                         /* ram */
        "\u7530\u4e2d\u3055\u3093",                   /* tanaka-san */
        "\u7530\u4e2dtaro",                           /* Han with Latin */
        "\u0e2a\u0e21\u0e0a\u0e32\u0e22",             /* somchai */
        "\uae40\ucca0\uc218",                         /* kim cheol-su */
        "\u043d\u0430\u0442\u0430\u0448\u0430-2",
        NULL };
    expect(names, false);
}

static void names_that_look_like_others_are_seen(void **state)
{
    (void)state;
    static const char *const names[] = { "p\u0430ypal", /* Cyrillic a in Latin */
        "\u0430\u0440\u0440\u04cf\u0435",               /* "apple", all Cyrillic */
        "\u0441\u043e\u0441\u043e",                     /* "coco", likewise */
        "\u03bf\u03bd\u03bf",                           /* Greek, looks like "ovo" */
        "alic\u03b5",                                   /* Greek epsilon in Latin */
        "b\u03bfb",                                     /* Greek omicron */
        "\u0131ris\u0456",                              /* Latin with Cyrillic i */
        "\u0251lice",                                   /* Latin alpha */
        "a\u0301\u0301lice",                            /* the same mark twice */
        NULL };
    expect(names, true);
}

static void long_names_end_in_an_answer(void **state)
{
    (void)state;
    char name[JID_PART_MAX_BYTES + 1];
    memset(name, 'x', sizeof(name));
    assert_false(precis_is_look_alike(str_from(name, JID_PART_MAX_BYTES)));
    assert_true(precis_is_look_alike(str_from(name, sizeof(name))));
    for (size_t i = 0; i + 3 <= JID_PART_MAX_BYTES; i += 3) { /* expands to many */
        memcpy(name + i, "\ufdfa", 3);
    }
    (void)precis_is_look_alike(str_from(name, JID_PART_MAX_BYTES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(honest_names_of_every_script_pass),
        cmocka_unit_test(names_that_look_like_others_are_seen),
        cmocka_unit_test(long_names_end_in_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

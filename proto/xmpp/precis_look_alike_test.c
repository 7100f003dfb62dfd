/* Which new names are taken for tricks (C33). */
#include "proto/xmpp/precis_look_alike.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

static bool is_same_skeleton(const char *a, const char *b)
{
    struct arena arena;
    struct str first;
    struct str second;
    arena_init(&arena, 0);
    assert_int_equal(precis_skeleton(&arena, str_from_cstr(a), &first), ERR_OK);
    assert_int_equal(precis_skeleton(&arena, str_from_cstr(b), &second), ERR_OK);
    bool is_same = str_equal(first, second);
    arena_fini(&arena);
    return is_same;
}

static void names_that_look_alike_have_one_skeleton(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "paypal", "paypa1" },
        { "modern", "modem" }, /* rn, m */
        { "bob", "b0b" },
        { "room101", "rooml0l" },
        { "scope", "\u0455\u0441\u043e\u0440\u0435" }, /* all Cyrillic */
        { "coco", "\u0441\u043e\u0441\u043e" },
        { "paypal", "p\u0430ypal" },
        { "\u043d\u0430\u0442\u0430\u0448\u0430", "\u043d\u0430\u0442a\u0448a" },
        { "jos\u00e9", "jose\u0301" },
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (!is_same_skeleton(pairs[i][0], pairs[i][1])) {
            fail_msg("%s and %s", pairs[i][0], pairs[i][1]);
        }
    }
}

static void other_names_have_other_skeletons(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "alice", "allice" },
        { "user1", "user2" },
        { "user10", "user1" },
        { "jose", "jos\u00e9" },
        { "a-b", "ab" },
        { "\u7530\u4e2d", "\u4e2d\u7530" },
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (is_same_skeleton(pairs[i][0], pairs[i][1])) {
            fail_msg("%s and %s", pairs[i][0], pairs[i][1]);
        }
    }
    for (int a = 0; a < 100; a++) { /* digits stay different */
        for (int b = 0; b < a; b++) {
            char names[2][16];
            (void)snprintf(names[0], sizeof(names[0]), "u%d", a);
            (void)snprintf(names[1], sizeof(names[1]), "u%d", b);
            assert_false(is_same_skeleton(names[0], names[1]));
        }
    }
}

static void skeletons_are_bounded(void **state)
{
    (void)state;
    struct arena arena;
    struct str skeleton;
    char name[JID_PART_MAX_BYTES + 1];
    arena_init(&arena, 0);
    memset(name, 'm', sizeof(name));
    assert_int_equal(
            precis_skeleton(&arena, str_from(name, JID_PART_MAX_BYTES), &skeleton), ERR_OK);
    assert_int_equal(skeleton.len, 2 * JID_PART_MAX_BYTES);
    assert_int_equal(precis_skeleton(&arena, str_from(name, sizeof(name)), &skeleton), ERR_LIMIT);
    for (size_t i = 0; i + 3 <= JID_PART_MAX_BYTES; i += 3) {
        memcpy(name + i, "\ufdfa", 3);
    }
    enum err err = precis_skeleton(&arena, str_from(name, JID_PART_MAX_BYTES), &skeleton);
    assert_true(err == ERR_LIMIT || skeleton.len <= 8 * (size_t)JID_PART_MAX_BYTES);
    arena_fini(&arena);
}

static bool is_same_mark(struct str a, struct str b)
{
    uint8_t marks[2][LOOK_ALIKE_MARK_BYTES];
    precis_look_alike_mark(a, marks[0]);
    precis_look_alike_mark(b, marks[1]);
    return memcmp(marks[0], marks[1], sizeof(marks[0])) == 0;
}

static void a_mark_is_of_one_domain(void **state)
{
    (void)state;
    assert_true(is_same_mark(STR("paypal@example.org"), STR("paypa1@example.org")));
    assert_false(is_same_mark(STR("paypal@example.org"), STR("paypal@example.net")));
    assert_false(is_same_mark(STR("paypal@example.org"), STR("paypai@example.org")));
    assert_false(is_same_mark(STR("bob@l.example"), STR("bob@1.example")));
    char text[2 * JID_PART_MAX_BYTES]; /* without a skeleton: like itself only */
    memset(text, 'm', sizeof(text));
    struct str huge = str_from(text, sizeof(text));
    assert_true(is_same_mark(huge, huge));
    assert_false(is_same_mark(huge, str_from(text, sizeof(text) - 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(honest_names_of_every_script_pass),
        cmocka_unit_test(names_that_look_like_others_are_seen),
        cmocka_unit_test(long_names_end_in_an_answer),
        cmocka_unit_test(names_that_look_alike_have_one_skeleton),
        cmocka_unit_test(other_names_have_other_skeletons),
        cmocka_unit_test(skeletons_are_bounded),
        cmocka_unit_test(a_mark_is_of_one_domain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

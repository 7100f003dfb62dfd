/* RFC 8265 §3.5 and §4.3 examples, context and direction rules, and idempotence over random
 * strings. */
#include "proto/xmpp/precis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

typedef enum err (*profile)(struct arena *arena, struct str text, struct str *out);

static void expect(profile apply, const char *text, const char *expected)
{
    struct str out = STR_NULL;
    enum err err = apply(&arena, str_from_cstr(text), &out);
    if (expected == NULL) {
        if (err == ERR_OK) {
            fail_msg("accepted: %s", text);
        }
        return;
    }
    if (err != ERR_OK) {
        fail_msg("refused: %s", text);
    }
    char *prepared = str_to_cstr(out);
    assert_string_equal(prepared, expected);
    free(prepared);
}

static void test_user_names(void **state)
{
    (void)state;
    profile user = precis_username_case_mapped;
    expect(user, "juliet@example.com", "juliet@example.com");
    expect(user, "Fussball", "fussball");
    expect(user,
            "fu\xC3\x9F"
            "ball",
            "fu\xC3\x9F"
            "ball");
    expect(user, "\xCE\xA3", "\xCF\x83");
    expect(user, "\xCF\x82", "\xCF\x82");
    expect(user, "", NULL);
    expect(user, "foo bar", NULL);
    expect(user, "\xE2\x99\x9A", NULL);      /* a symbol */
    expect(user, "henry\xE2\x85\xA3", NULL); /* ROMAN NUMERAL FOUR, compatibility */
    expect(user, "\xE2\x88\x9E", NULL);
    expect(user, "\xF0\x90\x90\x80", "\xF0\x90\x90\xA8");     /* DESERET, beyond the BMP */
    expect(user, "\xEF\xBD\xB6\xEF\xBE\x9E", "\xE3\x82\xAC"); /* halfwidth KA and voiced mark */
    expect(user, "\xCD\xB8", NULL);                           /* unassigned */
    expect(user, "a\xF3\xA0\x80\x81", NULL);                  /* a tag character: ignorable */
}

static void test_contexts(void **state)
{
    (void)state;
    profile user = precis_username_case_mapped;
    expect(user, "l\xC2\xB7l", "l\xC2\xB7l"); /* middle dot */
    expect(user,
            "l\xC2\xB7"
            "a",
            NULL);
    expect(user, "\xCD\xB5\xCE\xB1", "\xCD\xB5\xCE\xB1"); /* Greek keraia */
    expect(user,
            "\xCD\xB5"
            "a",
            NULL);
    expect(user, "\xD7\x90\xD7\xB3", "\xD7\x90\xD7\xB3"); /* geresh */
    expect(user, "a\xD7\xB3", NULL);
    expect(user,
            "\xE3\x82\xA2\xE3\x83\xBB\xE3\x82\xA4",
            "\xE3\x82\xA2\xE3\x83\xBB\xE3\x82\xA4"); /* katakana dot */
    expect(user, "a\xE3\x83\xBB", NULL);
    expect(user, "\xD8\xA7\xD9\xA1", "\xD8\xA7\xD9\xA1"); /* Arabic-Indic digits */
    expect(user, "\xD8\xA7\xD9\xA1\xDB\xB1", NULL);
    expect(user,
            "\xE0\xA4\x95\xE0\xA5\x8D\xE2\x80\x8D\xE0\xA4\xB7",
            "\xE0\xA4\x95\xE0\xA5\x8D\xE2\x80\x8D\xE0\xA4\xB7"); /* ZWJ behind a virama */
    expect(user, "a\xE2\x80\x8D", NULL);
    expect(user, "\xD8\xA8\xE2\x80\x8C\xD8\xA8", "\xD8\xA8\xE2\x80\x8C\xD8\xA8"); /* ZWNJ */
    expect(user,
            "a\xE2\x80\x8C"
            "b",
            NULL);
}

static void test_direction(void **state)
{
    (void)state;
    profile user = precis_username_case_mapped;
    expect(user,
            "\xD7\x90"
            "1",
            "\xD7\x90"
            "1");
    expect(user, "1\xD7\x90", NULL);
    expect(user, "a\xD7\x90", NULL);
    expect(user,
            "\xD7\x90"
            "a",
            NULL);
    expect(user, "\xD7\x90-", NULL); /* ends with a neutral */
    expect(user,
            "\xD7\x90"
            "1\xD9\xA1",
            NULL);                                          /* both kinds of digits */
    expect(precis_opaque_string, "a\xD7\x90", "a\xD7\x90"); /* no rule there */
}

static void test_opaque_strings(void **state)
{
    (void)state;
    profile opaque = precis_opaque_string;
    expect(opaque, "correct horse battery staple", "correct horse battery staple");
    expect(opaque, "Correct Horse Battery Staple", "Correct Horse Battery Staple");
    expect(opaque, "\xCF\x80\xC3\x9F\xC3\xA5", "\xCF\x80\xC3\x9F\xC3\xA5");
    expect(opaque, "Jack of \xE2\x99\xA6s", "Jack of \xE2\x99\xA6s");
    expect(opaque,
            "foo\xE1\x9A\x80"
            "bar",
            "foo bar"); /* OGHAM SPACE MARK */
    expect(opaque, "", NULL);
    expect(opaque, "my cat is a \tby", NULL);
    expect(opaque, "\xE2\x85\xA3", "\xE2\x85\xA3"); /* compatibility is fine here */
    expect(opaque, "e\xCC\x81", "\xC3\xA9");
    expect(opaque, "\xC3", NULL);
}

static uint32_t random_state = 1;

static uint32_t next_random(uint32_t below)
{
    random_state = random_state * 1664525U + 1013904223U;
    return (random_state >> 8) % below;
}

/* Mostly from blocks where something happens. */
static uint32_t random_code(void)
{
    static const struct {
        uint32_t first;
        uint32_t count;
    } BLOCKS[] = { { 0x20, 0x60 },
        { 0xA0, 0x500 },
        { 0x590, 0x200 },
        { 0x900, 0x100 },
        { 0x1100, 0x100 },
        { 0x1E00, 0x300 },
        { 0x2000, 0x200 },
        { 0x3000, 0x200 },
        { 0xAC00, 0x100 },
        { 0xFB00, 0x100 },
        { 0xFE00, 0x200 },
        { 0x10400, 0x100 },
        { 0x1D400, 0x400 },
        { 0x100, 0x20000 } };
    size_t block = next_random(sizeof BLOCKS / sizeof BLOCKS[0]);
    uint32_t code = BLOCKS[block].first + next_random(BLOCKS[block].count);
    return code >= 0xD800 && code <= 0xDFFF ? 'x' : code;
}

static size_t append_code(char *out, uint32_t code)
{
    size_t count = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t LEAD[] = { 0, 0, 0xC0, 0xE0, 0xF0 };
    for (size_t i = count - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (char)(LEAD[count] | code);
    return count;
}

static void expect_idempotent(profile apply, struct str text)
{
    struct str once = STR_NULL;
    struct str twice = STR_NULL;
    if (apply(&arena, text, &once) == ERR_OK) {
        assert_int_equal(apply(&arena, once, &twice), ERR_OK);
        assert_true(str_equal(once, twice));
    }
}

static void test_prepared_strings_stay_as_they_are(void **state)
{
    (void)state;
    for (int i = 0; i < 200000; i++) {
        char text[32];
        size_t len = 0;
        for (uint32_t count = 1 + next_random(5); count > 0; count--) {
            len += append_code(text + len, random_code());
        }
        expect_idempotent(precis_username_case_mapped, str_from(text, len));
        expect_idempotent(precis_opaque_string, str_from(text, len));
        if (i % 20 == 0) {
            expect_idempotent(precis_domain, str_from(text, len));
        }
        arena_reset(&arena);
    }
}

/* C33 */
static void test_scripts_that_do_not_belong_together(void **state)
{
    (void)state;
    static const char *const fine[] = { "juliet",
        "j.u-l_1999",
        "жулия",
        "ιουλιέττα",
        "αβγ2",
        "日本のカナ",
        "カナー",
        "漢字kanji",
        "한국어",
        "한국kr",
        "ㄅㄆ漢",
        "देवनागरीabc",
        "عربي" };
    static const char *const mixed[] = {
        "j\u0443liet", "p\u0430ypal", "παypal", "жαβ", "日本жук", "한국かな", "ㄅかな", "देवعربي"
    };
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        if (precis_mixes_scripts(str_from_cstr(fine[i]))) {
            fail_msg("mixed: %s", fine[i]);
        }
    }
    for (size_t i = 0; i < sizeof(mixed) / sizeof(mixed[0]); i++) {
        if (!precis_mixes_scripts(str_from_cstr(mixed[i]))) {
            fail_msg("not mixed: %s", mixed[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_user_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_contexts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_direction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_opaque_strings, set_up, tear_down),
        cmocka_unit_test(test_scripts_that_do_not_belong_together),
        cmocka_unit_test_setup_teardown(test_prepared_strings_stay_as_they_are, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

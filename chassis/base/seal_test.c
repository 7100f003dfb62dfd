/* Sealed texts open with the same key and place, and with nothing else. */
#include "chassis/base/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const uint8_t key[SEAL_KEY_BYTES] = { 1, 2, 3 };
static const uint8_t other_key[SEAL_KEY_BYTES] = { 1, 2, 4 };

static void a_sealed_text_opens(void **state)
{
    (void)state;
    static const struct str texts[] = { { "", 0 }, { "a", 1 }, { "juliet@example.net", 18 } };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct buf sealed;
        struct buf text;
        buf_init(&sealed, 0);
        buf_init(&text, 0);
        seal_close(key, STR("row 1"), texts[i], &sealed);
        assert_int_equal(buf_view(&sealed).len, texts[i].len + SEAL_OVERHEAD_BYTES);
        assert_int_equal(seal_open(key, STR("row 1"), buf_view(&sealed), &text), ERR_OK);
        assert_true(str_equal(buf_view(&text), texts[i]));
        buf_fini(&sealed);
        buf_fini(&text);
    }
}

static void the_same_text_never_looks_the_same(void **state)
{
    (void)state;
    struct buf one;
    struct buf two;
    buf_init(&one, 0);
    buf_init(&two, 0);
    seal_close(key, STR(""), STR("romeo@example.net"), &one);
    seal_close(key, STR(""), STR("romeo@example.net"), &two);
    assert_false(str_equal(buf_view(&one), buf_view(&two)));
    assert_null(memmem(buf_view(&one).ptr, buf_view(&one).len, "romeo", 5));
    buf_fini(&one);
    buf_fini(&two);
}

static void every_changed_byte_is_noticed(void **state)
{
    (void)state;
    struct buf sealed;
    struct buf text;
    buf_init(&sealed, 0);
    buf_init(&text, 0);
    seal_close(key, STR("row"), STR("text"), &sealed);
    for (size_t i = 0; i < buf_view(&sealed).len; i++) {
        sealed.data[sealed.start + i] ^= 1;
        assert_int_equal(seal_open(key, STR("row"), buf_view(&sealed), &text), ERR_DENIED);
        sealed.data[sealed.start + i] ^= 1;
    }
    assert_int_equal(seal_open(other_key, STR("row"), buf_view(&sealed), &text), ERR_DENIED);
    assert_int_equal(seal_open(key, STR("raw"), buf_view(&sealed), &text), ERR_DENIED);
    for (size_t len = 0; len < buf_view(&sealed).len; len++) {
        struct str part = str_from(buf_view(&sealed).ptr, len);
        assert_int_equal(seal_open(key, STR("row"), part, &text), ERR_DENIED);
    }
    assert_int_equal(buf_view(&text).len, 0);
    buf_fini(&sealed);
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sealed_text_opens),
        cmocka_unit_test(the_same_text_never_looks_the_same),
        cmocka_unit_test(every_changed_byte_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

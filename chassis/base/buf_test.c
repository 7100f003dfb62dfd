/* Buffers: growth, ceiling, consuming. */
#include "chassis/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void grows_and_prints(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 0);
    assert_int_equal(buf_view(&buf).len, 0);
    buf_append_literal(&buf, "ab");
    buf_append_char(&buf, 'c');
    buf_append(&buf, NULL, 0);
    buf_printf(&buf, "%d%s", 42, "!");
    assert_true(str_equal(buf_view(&buf), STR("abc42!")));
    char long_text[1000];
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    buf_printf(&buf, "%s", long_text);
    assert_int_equal(buf.len, 6 + 999);
    assert_false(buf.overflowed);
    buf_fini(&buf);
    assert_null(buf.data);
}

static void ceiling_marks_and_keeps_what_was_there(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 4);
    buf_append_literal(&buf, "abcd");
    assert_false(buf.overflowed);
    buf_append_char(&buf, 'e');
    assert_true(buf.overflowed);
    assert_true(str_equal(buf_view(&buf), STR("abcd")));
    buf_consume(&buf, 4);
    buf_append_char(&buf, 'x'); /* the owner has to look first */
    assert_int_equal(buf.len, 0);
    buf_clear(&buf);
    buf_append_char(&buf, 'x');
    assert_int_equal(buf.len, 1);
    buf_printf(&buf, "%s", "12345");
    assert_true(buf.overflowed);
    assert_null(buf_reserve(&buf, SIZE_MAX));
    buf_fini(&buf);
}

static void consuming_and_appending_keeps_order(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 0);
    uint8_t written = 0;
    uint8_t read = 0;
    for (int round = 0; round < 2000; round++) {
        for (int i = 0; i < 7; i++) {
            buf_append_char(&buf, (char)written++);
        }
        size_t take = buf.len > 50 ? buf.len - 20 : 5;
        struct str view = buf_view(&buf);
        for (size_t i = 0; i < take; i++) {
            assert_int_equal((uint8_t)view.ptr[i], read++);
        }
        buf_consume(&buf, take);
    }
    assert_true(buf.capacity <= 512);
    buf_consume(&buf, buf.len);
    buf_shrink(&buf);
    assert_null(buf.data);
    buf_append_char(&buf, 'a');
    assert_int_equal(buf.len, 1);
    buf_shrink(&buf); /* not empty: stays */
    assert_non_null(buf.data);
    buf_fini(&buf);
}

static void integers_are_big_endian(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 0);
    buf_append_u32be(&buf, 0x01020304);
    buf_append_u64be(&buf, UINT64_C(0x1112131415161718));
    assert_memory_equal(buf.data, "\x01\x02\x03\x04\x11\x12\x13\x14\x15\x16\x17\x18", 12);
    buf_fini(&buf);
}

static void reserve_then_commit(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 100);
    char *room = buf_reserve(&buf, 100);
    assert_non_null(room);
    memset(room, 'r', 100);
    buf_commit(&buf, 40);
    assert_int_equal(buf.len, 40);
    assert_null(buf_reserve(&buf, 61));
    assert_true(buf.overflowed);
    buf_fini(&buf);
}

/* The memory itself cannot be looked at afterwards: that it is given back and may be used again. */
static void secret_ends_like_any_other(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 0);
    buf_fini_secret(&buf);
    buf_append_literal(&buf, "secret");
    buf_fini_secret(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.len, 0);
    buf_append_literal(&buf, "again");
    assert_true(str_equal(buf_view(&buf), STR("again")));
    buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_and_prints),
        cmocka_unit_test(ceiling_marks_and_keeps_what_was_there),
        cmocka_unit_test(consuming_and_appending_keeps_order),
        cmocka_unit_test(integers_are_big_endian),
        cmocka_unit_test(reserve_then_commit),
        cmocka_unit_test(secret_ends_like_any_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

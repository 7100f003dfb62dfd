/* An element of the spool as bytes. */
#include "router/spool.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void element_comes_back(void **state)
{
    (void)state;
    struct spool_element in = { UINT64_C(1) << 33, 0, STR("stanza"), false };
    struct spool_element out;
    struct buf value;
    buf_init(&value, 0);
    spool_element_encode(&value, &in);
    assert_int_equal(spool_element_decode(buf_view(&value), &out), ERR_OK);
    assert_int_equal(out.position, UINT64_C(1) << 33);
    assert_int_equal(out.log_id, 0);
    assert_true(str_equal(out.stanza, STR("stanza")));
    buf_clear(&value);
    in = (struct spool_element){ 7, INT64_C(1700000000000000), STR_NULL, false };
    spool_element_encode(&value, &in);
    assert_int_equal(spool_element_decode(buf_view(&value), &out), ERR_OK);
    assert_int_equal(out.position, 7);
    assert_int_equal(out.log_id, INT64_C(1700000000000000));
    assert_false(out.is_provisional);
    buf_fini(&value);
}

static void provisional_element_comes_back(void **state)
{
    (void)state;
    const struct spool_element in[] = {
        { 7, 0, STR("stanza"), true },
        { 8, INT64_C(1700000000000000), STR_NULL, true },
    };
    for (size_t i = 0; i < 2; i++) {
        struct spool_element out;
        struct buf value;
        buf_init(&value, 0);
        spool_element_encode(&value, &in[i]);
        assert_true((value.data[8] & 0x80) != 0); /* which the version before leaves out */
        assert_int_equal(spool_element_decode(buf_view(&value), &out), ERR_OK);
        assert_int_equal(out.position, in[i].position);
        assert_int_equal(out.log_id, in[i].log_id);
        assert_true(str_equal(out.stanza, in[i].stanza));
        assert_true(out.is_provisional);
        buf_fini(&value);
    }
}

static void broken_element_is_refused(void **state)
{
    (void)state;
    struct spool_element out;
    assert_int_equal(spool_element_decode(STR(""), &out), ERR_INVALID);
    assert_int_equal(spool_element_decode(STR("too short"), &out), ERR_INVALID);
    /* Neither a log id nor a stanza; both; likewise provisional. */
    assert_int_equal(spool_element_decode(str_from("\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0", 16), &out),
            ERR_INVALID);
    assert_int_equal(spool_element_decode(str_from("\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1x", 17), &out),
            ERR_INVALID);
    const char *all = "\377\377\377\377\377\377\377";
    char value[17] = "\0\0\0\0\0\0\0\1\377";
    memcpy(value + 9, all, 7);
    assert_int_equal(spool_element_decode(str_from(value, 16), &out), ERR_INVALID);
    value[15] = '\1';
    assert_int_equal(spool_element_decode(str_from(value, 17), &out), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(element_comes_back),
        cmocka_unit_test(provisional_element_comes_back),
        cmocka_unit_test(broken_element_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* An element of the spool as bytes. */
#include "router/spool.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void element_comes_back(void **state)
{
    (void)state;
    struct spool_element in = { UINT64_C(1) << 33, 0, STR("stanza") };
    struct spool_element out;
    struct buf value;
    buf_init(&value, 0);
    spool_element_encode(&value, &in);
    assert_int_equal(spool_element_decode(buf_view(&value), &out), ERR_OK);
    assert_int_equal(out.position, UINT64_C(1) << 33);
    assert_int_equal(out.log_id, 0);
    assert_true(str_equal(out.stanza, STR("stanza")));
    buf_clear(&value);
    in = (struct spool_element){ 7, INT64_C(1700000000000000), STR_NULL };
    spool_element_encode(&value, &in);
    assert_int_equal(spool_element_decode(buf_view(&value), &out), ERR_OK);
    assert_int_equal(out.position, 7);
    assert_int_equal(out.log_id, INT64_C(1700000000000000));
    buf_fini(&value);
}

static void broken_element_is_refused(void **state)
{
    (void)state;
    struct spool_element out;
    assert_int_equal(spool_element_decode(STR(""), &out), ERR_INVALID);
    assert_int_equal(spool_element_decode(STR("too short"), &out), ERR_INVALID);
    /* Neither a log id nor a stanza; both; a negative id. */
    assert_int_equal(spool_element_decode(str_from("\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0", 16), &out),
            ERR_INVALID);
    assert_int_equal(spool_element_decode(str_from("\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1x", 17), &out),
            ERR_INVALID);
    assert_int_equal(spool_element_decode(str_from("\0\0\0\0\0\0\0\1\377\0\0\0\0\0\0\1", 16), &out),
            ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(element_comes_back),
        cmocka_unit_test(broken_element_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What is written is read again, and nothing else is. */
#include "tests/load/message_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void there_and_back(void **state)
{
    (void)state;
    struct message_id id = { UINT32_MAX, 49, UINT64_MAX, UINT64_MAX };
    struct message_id read;
    char text[MESSAGE_ID_MAX_BYTES];
    size_t len = message_id_format(&id, text);
    assert_true(message_id_parse(str_from(text, len), &read));
    assert_int_equal(read.run, id.run);
    assert_int_equal(read.stream, id.stream);
    assert_int_equal(read.number, id.number);
    assert_int_equal(read.time_us, id.time_us);
}

static void ids_of_others_are_not_ours(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "L", "L-1-2-3", "L-1-2-3-x", "M-1-2-3-4", "L-4294967296-0-1-1", "L-1-2-3-4-5"
    };
    struct message_id read;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_false(message_id_parse(str_from_cstr(texts[i]), &read));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(ids_of_others_are_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

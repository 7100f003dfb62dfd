/* Files of ticket keys. */
#include "edge/ticket_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HEX_16 "000102030405060708090a0b0c0d0e0f"
#define KEY_1  HEX_16 HEX_16 HEX_16 HEX_16 HEX_16
#define KEY_2 \
    "ff"      \
    "0102030405060708090a0b0c0d0e0f" HEX_16 HEX_16 HEX_16 HEX_16

static struct ticket_keys keys;

static enum err parse(const char *text)
{
    struct buf why;
    buf_init(&why, 0);
    memset(&keys, 0, sizeof(keys));
    enum err err = ticket_keys_parse(str_from_cstr(text), &keys, &why);
    assert_int_equal(why.len > 0, err != ERR_OK);
    buf_fini(&why);
    return err;
}

static void the_first_key_seals_and_all_are_found(void **state)
{
    (void)state;
    assert_int_equal(parse("# rotated\n" KEY_2 "\r\n\n" KEY_1 "\n"), ERR_OK);
    assert_int_equal(keys.count, 2);
    assert_int_equal(keys.items[0].name[0], 0xff);
    assert_int_equal(keys.items[0].aes[31], 0x0f);
    assert_int_equal(keys.items[0].hmac[31], 0x0f);
    assert_ptr_equal(ticket_keys_find(&keys, keys.items[1].name), &keys.items[1]);
    static const uint8_t unknown[16];
    assert_null(ticket_keys_find(&keys, unknown));
}

static void malformed_files_are_refused(void **state)
{
    (void)state;
    assert_int_equal(parse(""), ERR_INVALID);
    assert_int_equal(parse("# nothing\n"), ERR_INVALID);
    assert_int_equal(parse(HEX_16), ERR_INVALID);
    assert_int_equal(parse(KEY_1 "0"), ERR_INVALID);
    assert_int_equal(parse(KEY_1 "\nxx" HEX_16), ERR_INVALID);
    assert_int_equal(parse(KEY_1 "\n" KEY_1 "\n" KEY_1 "\n" KEY_1 "\n" KEY_1 "\n" KEY_1 "\n" KEY_1
                                 "\n" KEY_1 "\n" KEY_1 "\n"),
            ERR_LIMIT);
}

static void a_process_keeps_its_key(void **state)
{
    (void)state;
    struct ticket_keys first;
    struct ticket_keys second;
    ticket_keys_of_process(&first);
    ticket_keys_of_process(&second);
    assert_int_equal(first.count, 1);
    assert_memory_equal(&first.items[0], &second.items[0], sizeof(first.items[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_key_seals_and_all_are_found),
        cmocka_unit_test(malformed_files_are_refused),
        cmocka_unit_test(a_process_keeps_its_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

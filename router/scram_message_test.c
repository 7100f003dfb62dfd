/* The proof must belong to this exchange: RFC 5802 §5 gives the example. */
#include "router/scram_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FIRST  "n=user,r=fyko+d2lbbFgONRv9qkxdawL,"
#define SERVER "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,"
#define FINAL  "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j"

static bool check(struct str message)
{
    return scram_message_has_nonces(
            message, STR("fyko+d2lbbFgONRv9qkxdawL"), STR("3rfcNHYJY1ZVvWVs7j"));
}

static void the_example_of_the_rfc_passes(void **state)
{
    (void)state;
    assert_true(check(STR(FIRST SERVER FINAL)));
    assert_true(check(STR(FIRST SERVER FINAL ",ext=1")));
    assert_true(check(STR("n=user,r=fyko+d2lbbFgONRv9qkxdawL,ext=1," SERVER FINAL)));
}

static void a_missing_part_fails(void **state)
{
    (void)state;
    assert_false(check(STR("")));
    assert_false(check(STR(FIRST FINAL)));
    assert_false(check(STR(SERVER FINAL)));
    assert_false(check(STR(FIRST SERVER)));
    assert_false(check(STR(FIRST SERVER "c=biws")));
}

static void another_nonce_fails(void **state)
{
    (void)state;
    assert_false(check(STR(FIRST SERVER FINAL "x")));
    assert_false(check(STR("n=user,r=other," SERVER FINAL)));
    assert_false(
            check(STR(FIRST "r=fyko+d2lbbFgONRv9qkxdawLXXX,s=QSXCR+Q6sek8bf92,i=4096," FINAL)));
    assert_false(scram_message_has_nonces(STR(",r=,r=x,r=x"), STR(""), STR("x")));
    assert_false(scram_message_has_nonces(STR(",r=a,b,r=a,bx,r=a,bx"), STR("a,b"), STR("x")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_rfc_passes),
        cmocka_unit_test(a_missing_part_fails),
        cmocka_unit_test(another_nonce_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

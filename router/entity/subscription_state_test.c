/* RFC 6121 Appendix A, row by row. */
#include "router/entity/subscription_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/entity/roster.h"

#define TYPES 4

static const enum stanza_type types[TYPES] = {
    STANZA_TYPE_SUBSCRIBE,
    STANZA_TYPE_UNSUBSCRIBE,
    STANZA_TYPE_SUBSCRIBED,
    STANZA_TYPE_UNSUBSCRIBED,
};

enum {
    NONE = 0,
    TO = ROSTER_TO,
    FROM = ROSTER_FROM,
    BOTH = TO | FROM,
    OUT = ROSTER_PENDING_OUT,
    IN = ROSTER_PENDING_IN,
    OK = ROSTER_APPROVED,
    PASS = 1 << 8,
    AUTO = 1 << 9,
};

/* State, then for each type the state afterwards and what happens to the stanza. */
/* clang-format off */
struct row { unsigned state; unsigned after[TYPES]; };

static const struct row outbound[] = {
    /*             subscribe             unsubscribe    subscribed                unsubscribed */
    { NONE,      { OUT | PASS,           NONE | PASS,   OK,                       NONE } },
    { OUT,       { OUT | PASS,           NONE | PASS,   OUT | OK,                 OUT } },
    { IN,        { OUT | IN | PASS,      IN | PASS,     FROM | PASS,              NONE | PASS } },
    { OUT | IN,  { OUT | IN | PASS,      IN | PASS,     FROM | OUT | PASS,        OUT | PASS } },
    { TO,        { TO | PASS,            NONE | PASS,   TO | OK,                  TO } },
    { TO | IN,   { TO | IN | PASS,       IN | PASS,     BOTH | PASS,              TO | PASS } },
    { FROM,      { FROM | OUT | PASS,    FROM | PASS,   FROM,                     NONE | PASS } },
    { FROM | OUT,{ FROM | OUT | PASS,    FROM | PASS,   FROM | OUT,               OUT | PASS } },
    { BOTH,      { BOTH | PASS,          FROM | PASS,   BOTH,                     TO | PASS } },
    /* pre-approved, §3.4 */
    { OK,        { OUT | OK | PASS,      OK | PASS,     OK,                       NONE } },
    { TO | OK,   { TO | OK | PASS,       OK | PASS,     TO | OK,                  TO } },
    { OUT | OK,  { OUT | OK | PASS,      OK | PASS,     OUT | OK,                 OUT } },
};

static const struct row inbound[] = {
    /*             subscribe             unsubscribe    subscribed                unsubscribed */
    { NONE,      { IN | PASS,            NONE,          NONE,                     NONE } },
    { OUT,       { OUT | IN | PASS,      OUT,           TO | PASS,                NONE | PASS } },
    { IN,        { IN,                   NONE | PASS,   IN,                       IN } },
    { OUT | IN,  { OUT | IN,             OUT | PASS,    TO | IN | PASS,           IN | PASS } },
    { TO,        { TO | IN | PASS,       TO,            TO,                       NONE | PASS } },
    { TO | IN,   { TO | IN,              TO | PASS,     TO | IN,                  IN | PASS } },
    { FROM,      { FROM | AUTO,          NONE | PASS,   FROM,                     FROM } },
    { FROM | OUT,{ FROM | OUT | AUTO,    OUT | PASS,    BOTH | PASS,              FROM | PASS } },
    { BOTH,      { BOTH | AUTO,          TO | PASS,     BOTH,                     FROM | PASS } },
    { OK,        { FROM | AUTO,          OK,            OK,                       OK } },
    { TO | OK,   { BOTH | AUTO,          TO | OK,       TO | OK,                  OK | PASS } },
    { OUT | OK,  { FROM | OUT | AUTO,    OUT | OK,      TO | OK | PASS,           OK | PASS } },
};
/* clang-format on */

static void check(const struct row *rows,
        size_t count,
        struct subscription_step (*step)(unsigned, enum stanza_type))
{
    for (size_t i = 0; i < count; i++) {
        for (size_t t = 0; t < TYPES; t++) {
            unsigned expected = rows[i].after[t];
            struct subscription_step result = step(rows[i].state | ROSTER_LISTED, types[t]);
            assert_int_equal(result.flags, (expected & 0xff) | ROSTER_LISTED);
            assert_int_equal(result.is_passed_on, (expected & PASS) != 0);
            assert_int_equal(result.is_auto_answer, (expected & AUTO) != 0);
        }
    }
}

static void every_row_of_appendix_a(void **state)
{
    (void)state;
    check(outbound, sizeof(outbound) / sizeof(outbound[0]), subscription_outbound);
    check(inbound, sizeof(inbound) / sizeof(inbound[0]), subscription_inbound);
}

static void a_stranger_stays_out_of_the_list(void **state)
{
    (void)state;
    struct subscription_step step = subscription_inbound(0, STANZA_TYPE_SUBSCRIBE);
    assert_int_equal(step.flags, ROSTER_PENDING_IN);
    assert_false(subscription_is_visible(0, step.flags));
    assert_int_equal(subscription_outbound(step.flags, STANZA_TYPE_UNSUBSCRIBED).flags, 0);
    assert_int_equal(subscription_inbound(step.flags, STANZA_TYPE_UNSUBSCRIBE).flags, 0);
    step = subscription_outbound(step.flags, STANZA_TYPE_SUBSCRIBED);
    assert_int_equal(step.flags, ROSTER_FROM | ROSTER_LISTED);
    assert_true(subscription_is_visible(ROSTER_PENDING_IN, step.flags));
    assert_int_equal(subscription_outbound(0, STANZA_TYPE_UNSUBSCRIBE).flags, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_appendix_a),
        cmocka_unit_test(a_stranger_stays_out_of_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

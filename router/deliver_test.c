/* Every case of RFC 6121 §8.5. */
#include "router/deliver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct row {
    enum stanza_kind kind;
    enum stanza_type type;
    const char *expected; /* bare, match, no match; in each: no account, offline, online */
};

/* . ignore  E error  1 one  A all  V all available  S store  Q the account answers */
static char letter(enum deliver_action action)
{
    return ".E1AVSQ"[action];
}

static const struct row durable_rows[] = {
    { STANZA_MESSAGE, STANZA_TYPE_CHAT, "ESA E11 ESA" },
    { STANZA_MESSAGE, STANZA_TYPE_NORMAL, "ESA E11 ESA" },
    { STANZA_MESSAGE, STANZA_TYPE_NONE, "ESA E11 ESA" },
    { STANZA_MESSAGE, STANZA_TYPE_INVALID, "ESA E11 ESA" }, /* §5.2.2: counts as normal */
    { STANZA_MESSAGE, STANZA_TYPE_GROUPCHAT, "EEE E11 EEE" },
    { STANZA_MESSAGE, STANZA_TYPE_HEADLINE, "..A .11 ..." },
    { STANZA_MESSAGE, STANZA_TYPE_ERROR, "... .11 ..." },
    { STANZA_PRESENCE, STANZA_TYPE_NONE, ".VV .11 ..." },
    { STANZA_PRESENCE, STANZA_TYPE_UNAVAILABLE, ".VV .11 ..." },
    { STANZA_PRESENCE, STANZA_TYPE_ERROR, "... .11 ..." },
    { STANZA_PRESENCE, STANZA_TYPE_SUBSCRIBE, "... ... ..." },
    { STANZA_PRESENCE, STANZA_TYPE_SUBSCRIBED, "... ... ..." },
    { STANZA_PRESENCE, STANZA_TYPE_UNSUBSCRIBE, "... ... ..." },
    { STANZA_PRESENCE, STANZA_TYPE_UNSUBSCRIBED, "... ... ..." },
    { STANZA_PRESENCE, STANZA_TYPE_PROBE, "... ... ..." }, /* C09 */
    { STANZA_IQ, STANZA_TYPE_GET, "EQQ E11 EEE" },
    { STANZA_IQ, STANZA_TYPE_SET, "EQQ E11 EEE" },
    { STANZA_IQ, STANZA_TYPE_RESULT, "... .11 ..." }, /* C05 */
    { STANZA_IQ, STANZA_TYPE_ERROR, "... .11 ..." },
};

static void check_row(const struct row *row, uint32_t flags)
{
    struct stanza stanza = { .kind = row->kind, .type = row->type, .flags = flags };
    const char *expected = row->expected;
    for (int address = DELIVER_TO_BARE; address <= DELIVER_TO_NO_MATCH; address++) {
        for (int state = DELIVER_NO_ACCOUNT; state <= DELIVER_ONLINE; state++) {
            enum deliver_action action = deliver_decide(
                    &stanza, (enum deliver_address)address, (enum deliver_state)state);
            if (letter(action) != *expected) {
                fail_msg("%s %s, address %d, state %d: %c instead of %c",
                        stanza_kind_name(row->kind),
                        stanza_type_name(row->type),
                        address,
                        state,
                        letter(action),
                        *expected);
            }
            expected++;
        }
        expected++;
    }
}

static void every_case_of_the_table_is_as_rfc_6121_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(durable_rows) / sizeof(durable_rows[0]); i++) {
        check_row(&durable_rows[i], STANZA_HAS_BODY);
    }
}

/* C08: an account that cannot keep it answers like no account. */
static void message_that_is_not_kept_is_an_error_when_offline(void **state)
{
    (void)state;
    const struct row row = { STANZA_MESSAGE, STANZA_TYPE_CHAT, "EEA E11 EEA" };
    check_row(&row, 0);
    check_row(&row, STANZA_HAS_BODY | STANZA_HINT_NO_STORE);
}

static void typing_notices_are_dropped_without_a_word_when_offline(void **state)
{
    (void)state;
    const struct row row = { STANZA_MESSAGE, STANZA_TYPE_CHAT, "..A .11 ..A" };
    check_row(&row, STANZA_CHAT_STATE_ONLY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_of_the_table_is_as_rfc_6121_says),
        cmocka_unit_test(message_that_is_not_kept_is_an_error_when_offline),
        cmocka_unit_test(typing_notices_are_dropped_without_a_word_when_offline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* XEP-0280 §6.1 as a table. */
#include "router/entity/carbons.h"

#include "tests/lib/fake_router.h"

enum direction {
    RECEIVED,
    SENT,
    BOTH
};

struct rule {
    enum direction direction;
    bool is_eligible;
    enum stanza_type type;
    uint32_t flags;
    const char *from;
    const char *children;
};

#define ROOM "room@muc.example.org"

static const struct rule rules[] = {
    { BOTH, true, STANZA_TYPE_CHAT, 0, "a@b/c", "" },
    { BOTH, true, STANZA_TYPE_NONE, STANZA_HAS_BODY, "a@b/c", "" },
    { BOTH, true, STANZA_TYPE_INVALID, STANZA_HAS_BODY, "a@b/c", "" },
    { BOTH, false, STANZA_TYPE_NORMAL, 0, "a@b/c", "" },
    { BOTH, true, STANZA_TYPE_NORMAL, STANZA_HAS_RECEIPT, "a@b/c", "" },
    { BOTH, true, STANZA_TYPE_NORMAL, STANZA_IM_PAYLOAD, "a@b/c", "" },
    { BOTH, false, STANZA_TYPE_HEADLINE, STANZA_HAS_BODY, "a@b/c", "" },
    { BOTH, false, STANZA_TYPE_GROUPCHAT, STANZA_HAS_BODY, ROOM "/n", "" },
    { BOTH, false, STANZA_TYPE_GROUPCHAT, STANZA_HAS_INVITE, ROOM, "" },
    { BOTH, false, STANZA_TYPE_CHAT, STANZA_CARBON_PRIVATE, "a@b/c", "" },
    { BOTH, false, STANZA_TYPE_CHAT, STANZA_HINT_NO_COPY, "a@b/c", "" },
    { BOTH, false, STANZA_TYPE_ERROR, STANZA_HAS_BODY, "a@b/c", "" },
    { BOTH, true, STANZA_TYPE_NONE, STANZA_HAS_INVITE, "a@b/c", "" },
    { RECEIVED, false, STANZA_TYPE_CHAT, STANZA_HAS_BODY | STANZA_MUC_USER, ROOM "/nick", "<x/>" },
    { SENT, true, STANZA_TYPE_CHAT, STANZA_HAS_BODY | STANZA_MUC_USER, "a@b/c", "<x/>" },
    { RECEIVED, true, STANZA_TYPE_NONE, STANZA_MUC_USER, ROOM, "<x><invite from='a@b'/></x>" },
    { SENT, true, STANZA_TYPE_NONE, STANZA_MUC_USER, "a@b/c", "<x><invite to='a@b'/></x>" },
    { RECEIVED, false, STANZA_TYPE_NONE, STANZA_MUC_USER, ROOM "/nick", "<x><invite/></x>" },
    { RECEIVED, false, STANZA_TYPE_NONE, STANZA_MUC_USER, ROOM, "<x><status/></x>" },
};

static void eligible_is_what_the_rules_say(void **state)
{
    (void)state;
    struct entity entity = { 0 };
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct stanza message = fake_message(rules[i].from, "x@y/z", rules[i].children);
        message.type = rules[i].type;
        message.flags = rules[i].flags;
        for (int is_sent = 0; is_sent < 2; is_sent++) {
            bool is_meant = rules[i].direction == BOTH || rules[i].direction == (unsigned)is_sent;
            if (is_meant
                    && carbons_is_eligible(&entity, &message, is_sent) != rules[i].is_eligible) {
                fail_msg("rule %zu, sent %d", i, is_sent);
            }
        }
    }
    struct stanza iq = { .kind = STANZA_IQ, .type = STANZA_TYPE_SET };
    assert_false(carbons_is_eligible(&entity, &iq, true));
}

static void an_error_is_copied_when_it_answers_what_was_copied(void **state)
{
    (void)state;
    struct entity entity = { .bare = STR("a@b") };
    struct stanza message = fake_message("a@b/c", "x@y/z", "<body>1</body>");
    struct stanza copy;
    struct buf children;
    buf_init(&children, 0);
    carbons_wrap(&entity, &message, true, &children, &copy);
    struct stanza error = fake_message("x@y", "a@b/c", "<error/>");
    error.type = STANZA_TYPE_ERROR;
    assert_true(carbons_is_eligible(&entity, &error, false));
    assert_false(carbons_is_eligible(&entity, &error, true));
    error.id = STR("another");
    assert_false(carbons_is_eligible(&entity, &error, false));
    error.id = message.id;
    error.from = STR("other@y/z");
    assert_false(carbons_is_eligible(&entity, &error, false));
    for (int i = 0; i < 40; i++) { /* only the newest ones are remembered */
        message.id = STR("later");
        buf_clear(&children);
        carbons_wrap(&entity, &message, true, &children, &copy);
    }
    error.id = STR("m");
    error.from = STR("x@y");
    assert_false(carbons_is_eligible(&entity, &error, false));
    buf_fini(&children);
    free(entity.carbons);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eligible_is_what_the_rules_say),
        cmocka_unit_test(an_error_is_copied_when_it_answers_what_was_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

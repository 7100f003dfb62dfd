/* XEP-0050: what is read from a request, and the answers. */
#include "router/command.h"

#include "tests/lib/fake_router.h"

static struct arena arena;
static struct turn turn;
static struct stanza request;
static struct entity entity;

static enum err read(const char *xml, struct command *command)
{
    struct element *element = NULL;
    assert_int_equal(element_parse(&arena, str_from_cstr(xml), STR(NS_CLIENT), &element), ERR_OK);
    return command_read(&turn, &request, element, command);
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    entity = (struct entity){ .bare = STR("a@b") };
    request = (struct stanza){ .kind = STANZA_IQ,
        .type = STANZA_TYPE_SET,
        .id = STR("q"),
        .from = STR("a@b/c"),
        .to = STR("b") };
    turn_init(&turn, &arena, &entity, &request);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

#define C(rest, inner) \
    "<command xmlns='http://jabber.org/protocol/commands'" rest ">" inner "</command>"

static void requests_are_read(void **state)
{
    (void)state;
    struct command command;
    assert_int_equal(read(C(" node='n' action='next' sessionid='s'", ""), &command), ERR_OK);
    assert_true(str_equal(command.node, STR("n")) && str_equal(command.session, STR("s")));
    assert_int_equal(command.action, COMMAND_EXECUTE);
    assert_false(command.has_form);
    assert_int_equal(read(C(" node='n' action='cancel'", ""), &command), ERR_OK);
    assert_int_equal(command.action, COMMAND_CANCEL);
    assert_int_equal(read(C(" action='never'", ""), &command), ERR_OK);
    assert_int_equal(command.action, COMMAND_UNKNOWN);
    assert_int_equal(
            read(C("", "<x xmlns='jabber:x:data' type='submit'><field var='a'><value>1</value></field></x>"),
                    &command),
            ERR_OK);
    assert_true(command.has_form && str_equal(form_value(&command.form, "a"), STR("1")));
    assert_int_equal(read(C("", "<x xmlns='jabber:x:data'/>"), &command), ERR_INVALID);
    struct buf xml;
    buf_init(&xml, 0);
    buf_append_literal(&xml, "<command xmlns='http://jabber.org/protocol/commands' sessionid='");
    for (int i = 0; i < 129; i++) {
        buf_append_char(&xml, 'x');
    }
    buf_append_literal(&xml, "'/>");
    buf_append_char(&xml, '\0');
    assert_int_equal(read(xml.data, &command), ERR_INVALID);
    buf_fini(&xml);
}

static void answers_name_command_session_and_status(void **state)
{
    (void)state;
    struct command command = { .request = &request, .node = STR("n"), .session = STR("s") };
    command_reply_completed(&turn, &command, STR("<y xmlns='z'/>"));
    assert_true(str_equal(turn.effects->stanza.children,
            STR("<command xmlns='http://jabber.org/protocol/commands' node='n' sessionid='s' "
                "status='completed'><y xmlns='z'/></command>")));
    command.session = STR_NULL;
    command_reply_canceled(&turn, &command);
    command_reply_form(&turn, &command, STR("<x xmlns='jabber:x:data' type='form'/>"));
    const struct effect *canceled = turn.effects->next;
    const struct effect *form = canceled->next;
    assert_non_null(
            memmem(form->stanza.children.ptr, form->stanza.children.len, "<complete/>", 11));
    assert_false(str_equal(canceled->stanza.children, form->stanza.children)); /* new sessions */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(requests_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_name_command_session_and_status, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

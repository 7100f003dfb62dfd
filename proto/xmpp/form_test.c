/* XEP-0004: what is read and what is written. */
#include "proto/xmpp/form.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/xmpp/ns.h"

static struct arena arena;

static enum err read(const char *xml, struct form *form)
{
    struct element *x = NULL;
    assert_int_equal(element_parse(&arena, str_from_cstr(xml), STR(NS_CLIENT), &x), ERR_OK);
    return form_read(&arena, x, form);
}

#define X "<x xmlns='jabber:x:data' type='submit'>"

static void fields_and_values_are_found(void **state)
{
    (void)state;
    struct form form;
    assert_int_equal(read(X "<title>t</title><field type='fixed'><value>f</value></field>"
                            "<field var='a'><value>1</value><desc>d</desc><value>2</value></field>"
                            "<field var='a'><value>3</value></field><field var='b'/>"
                            "<field var='c'><value/></field></x>",
                             &form),
            ERR_OK);
    assert_int_equal(form.type, FORM_SUBMIT);
    assert_int_equal(form.field_count, 3);
    const struct form_field *field = form_find(&form, "a");
    assert_int_equal(field->value_count, 2);
    assert_true(str_equal(field->values[1], STR("2")));
    assert_true(str_equal(form_value(&form, "a"), STR("1")));
    assert_int_equal(form_find(&form, "b")->value_count, 0);
    assert_int_equal(form_value(&form, "b").len, 0);
    assert_int_equal(form_value(&form, "none").len, 0);
    assert_null(form_find(&form, "none"));
}

static void what_is_no_form_is_refused(void **state)
{
    (void)state;
    struct form form;
    assert_int_equal(read("<x xmlns='jabber:x:data'/>", &form), ERR_INVALID);
    assert_int_equal(read("<x xmlns='jabber:x:data' type='other'/>", &form), ERR_INVALID);
    assert_int_equal(read("<x xmlns='other' type='submit'/>", &form), ERR_INVALID);
    assert_int_equal(read("<y xmlns='jabber:x:data' type='submit'/>", &form), ERR_INVALID);
    assert_int_equal(read("<x xmlns='jabber:x:data' type='cancel'/>", &form), ERR_OK);
    assert_int_equal(form.type, FORM_CANCEL);
}

static void limits_hold(void **state)
{
    (void)state;
    struct form form;
    struct buf xml;
    buf_init(&xml, 0);
    buf_append_literal(&xml, X);
    for (int i = 0; i <= FORM_MAX_FIELDS; i++) {
        buf_printf(&xml, "<field var='%d'/>", i);
    }
    buf_append_literal(&xml, "</x>");
    buf_append_char(&xml, '\0');
    assert_int_equal(read(xml.data, &form), ERR_LIMIT);
    buf_clear(&xml);
    buf_append_literal(&xml, X "<field var='a'>");
    for (int i = 0; i <= FORM_MAX_VALUES; i++) {
        buf_append_literal(&xml, "<value/>");
    }
    buf_append_literal(&xml, "</field></x>");
    buf_append_char(&xml, '\0');
    assert_int_equal(read(xml.data, &form), ERR_LIMIT);
    buf_fini(&xml);
}

static void what_is_written_can_be_read(void **state)
{
    (void)state;
    struct buf xml;
    buf_init(&xml, 0);
    form_begin(&xml, "form", "urn:form");
    form_field_begin(&xml, "a", "text-single", "A & B");
    form_required(&xml);
    form_add_value(&xml, STR("<1>"));
    form_field_end(&xml);
    form_end(&xml);
    buf_append_char(&xml, '\0');
    assert_string_equal(xml.data,
            "<x xmlns='jabber:x:data' type='form'><field var='FORM_TYPE' type='hidden'>"
            "<value>urn:form</value></field><field var='a' type='text-single' label='A &amp; B'>"
            "<required/><value>&lt;1&gt;</value></field></x>");
    struct form form;
    assert_int_equal(read(xml.data, &form), ERR_OK);
    assert_true(str_equal(form_value(&form, "a"), STR("<1>")));
    assert_true(str_equal(form_value(&form, "FORM_TYPE"), STR("urn:form")));
    buf_fini(&xml);
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fields_and_values_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_form_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_written_can_be_read, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

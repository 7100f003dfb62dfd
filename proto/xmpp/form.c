/* jabber:x:data, XEP-0004 §3. */
#include "proto/xmpp/form.h"

#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

static const char *const type_names[] = { "form", "submit", "cancel", "result" };

static enum err read_type(const struct element *x, enum form_type *type_out)
{
    struct str type = element_attribute(x, STR("type"));
    for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++) {
        if (str_equal(type, str_from_cstr(type_names[i]))) {
            *type_out = (enum form_type)i;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

static size_t count_children(const struct element *parent, const char *name)
{
    size_t count = 0;
    XML_FOREACH_CHILD(child, parent) {
        count += element_is(child, NS_DATA_FORMS, name) ? 1 : 0;
    }
    return count;
}

static void read_field(struct arena *arena, const struct element *element, struct form_field *field)
{
    size_t count = count_children(element, "value");
    struct str *values = arena_calloc(arena, (count + 1) * sizeof(*values));
    field->values = values;
    XML_FOREACH_CHILD(value, element) {
        if (element_is(value, NS_DATA_FORMS, "value")) {
            values[field->value_count++] = value->text;
        }
    }
}

static const struct form_field *find_field(
        const struct form_field *fields, size_t count, struct str var)
{
    for (size_t i = 0; i < count; i++) {
        if (str_equal(fields[i].var, var)) {
            return &fields[i];
        }
    }
    return NULL;
}

enum err form_read(struct arena *arena, const struct element *x, struct form *form_out)
{
    struct form form = { .type = FORM_FORM };
    if (!element_is(x, NS_DATA_FORMS, "x") || read_type(x, &form.type) != ERR_OK) {
        return ERR_INVALID;
    }
    size_t max = count_children(x, "field");
    if (max > FORM_MAX_FIELDS) {
        return ERR_LIMIT;
    }
    struct form_field *fields = arena_calloc(arena, (max + 1) * sizeof(*fields));
    size_t values = 0;
    XML_FOREACH_CHILD(element, x) {
        struct str var = element_attribute(element, STR("var"));
        if (!element_is(element, NS_DATA_FORMS, "field") || var.len == 0
                || find_field(fields, form.field_count, var)) {
            continue;
        }
        values += count_children(element, "value");
        if (values > FORM_MAX_VALUES) {
            return ERR_LIMIT;
        }
        struct form_field *field = &fields[form.field_count++];
        field->var = var;
        read_field(arena, element, field);
    }
    form.fields = fields;
    *form_out = form;
    return ERR_OK;
}

const struct form_field *form_find(const struct form *form, const char *var)
{
    return find_field(form->fields, form->field_count, str_from_cstr(var));
}

struct str form_value(const struct form *form, const char *var)
{
    const struct form_field *field = form_find(form, var);
    return field && field->value_count ? field->values[0] : STR("");
}

/* ---- writing */

void form_begin(struct buf *out, const char *type, const char *form_type)
{
    xml_open(out, "x", NS_DATA_FORMS);
    xml_attr(out, "type", str_from_cstr(type));
    xml_end_open(out);
    if (form_type) {
        form_field_begin(out, "FORM_TYPE", "hidden", NULL);
        form_add_value(out, str_from_cstr(form_type));
        form_field_end(out);
    }
}

void form_field_begin(struct buf *out, const char *var, const char *type, const char *label)
{
    xml_open(out, "field", NULL);
    xml_attr(out, "var", str_from_cstr(var));
    xml_attr_opt(out, "type", str_from_cstr(type));
    xml_attr_opt(out, "label", str_from_cstr(label));
    xml_end_open(out);
}

void form_required(struct buf *out)
{
    xml_open(out, "required", NULL);
    xml_end_empty(out);
}

void form_add_value(struct buf *out, struct str value)
{
    xml_text_element(out, "value", NULL, value);
}

void form_field_end(struct buf *out)
{
    xml_close(out, "field");
}

void form_end(struct buf *out)
{
    xml_close(out, "x");
}

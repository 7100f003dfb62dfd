/* The reference of the configuration, itself a valid file with all defaults. */
#include <stddef.h>

#include "chassis/config.h"
#include "chassis/config_value.h"

static void append_quoted(struct buf *out, struct str text)
{
    buf_append_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\') {
            buf_append_char(out, '\\');
        }
        buf_append_char(out, text.ptr[i]);
    }
    buf_append_char(out, '"');
}

static void append_list(struct buf *out, struct str text)
{
    const char *comma = "";
    buf_append_char(out, '[');
    while (!str_is_empty(text)) {
        buf_append_str(out, str_from_cstr(comma));
        append_quoted(out, str_trim(str_cut(&text, ',')));
        comma = ", ";
    }
    buf_append_char(out, ']');
}

static void append_default(struct buf *out, const struct config_field *field)
{
    struct str text = str_from_cstr(field->default_text);
    if (field->type == CONFIG_LIST) {
        append_list(out, text);
    } else if (field->type == CONFIG_STRING || field->type == CONFIG_PATH) {
        append_quoted(out, text);
    } else {
        buf_append_str(out, text);
    }
}

static void print_field(
        const struct config_field *field, const char *indent, bool is_comment, struct buf *out)
{
    buf_printf(out, "%s# %s\n%s# (", indent, field->help, indent);
    config_value_describe(field, out);
    buf_append_str(out, field->default_text == NULL ? STR("; required)\n") : STR(")\n"));
    bool is_off = is_comment || field->default_text == NULL;
    buf_printf(out, "%s%s%s: ", indent, is_off ? "#" : "", field->name);
    append_default(out, field);
    buf_append_char(out, '\n');
}

/* A list has no items by default, so its one item is shown as a comment. */
static void print_section(const struct config_section *section, struct buf *out)
{
    buf_printf(out, "# %s", section->help);
    if (section->may_reload) {
        buf_append_literal(out, " Read again on SIGHUP.");
    }
    buf_printf(out, "\n%s:%s\n", section->name, section->is_list ? " []" : "");
    if (section->is_list) {
        buf_append_literal(out, "# each item:\n#  -\n");
    }
    for (const struct config_field *field = section->fields; field->name != NULL; field++) {
        print_field(field, section->is_list ? "    " : "  ", section->is_list, out);
    }
    buf_append_char(out, '\n');
}

void config_print_reference(const struct config_section *const *sections, struct buf *out)
{
    for (; *sections != NULL; sections++) {
        print_section(*sections, out);
    }
}

/* Data forms (XEP-0004): reading what somebody submits, within limits, and writing ours. */
#pragma once

#include <stddef.h>

#include "chassis/base/arena.h"
#include "chassis/base/buf.h"
#include "chassis/base/err.h"
#include "chassis/base/str.h"
#include "proto/xmpp/element.h"

#define FORM_MAX_FIELDS 100
#define FORM_MAX_VALUES 1000 /* of all fields together */

enum form_type {
    FORM_FORM,
    FORM_SUBMIT,
    FORM_CANCEL,
    FORM_RESULT,
};

struct form_field {
    struct str var;
    const struct str *values;
    size_t value_count;
};

struct form {
    enum form_type type;
    const struct form_field *fields;
    size_t field_count;
};

/* `x` is the <x/> of jabber:x:data. Fields without `var` are left out (§3.2: fixed ones), of
 * several with one `var` the first one counts. Views into the tree; the arrays live in the arena.
 * ERR_INVALID: no form, or its type is unknown. ERR_LIMIT: too large. */
MUST_USE enum err form_read(struct arena *arena, const struct element *x, struct form *form_out);
const struct form_field *form_find(const struct form *form, const char *var); /* NULL: absent */
struct str form_value(const struct form *form, const char *var); /* the first one; "": none */

/* ---- writing: begin, (fields, each with its values), end */
void form_begin(struct buf *out, const char *type, const char *form_type); /* NULL: no FORM_TYPE */
/* `type` and `label` may be NULL. */
void form_field_begin(struct buf *out, const char *var, const char *type, const char *label);
void form_required(struct buf *out);
void form_add_value(struct buf *out, struct str value);
void form_field_end(struct buf *out);
void form_end(struct buf *out);

/* Checks of inbound stanzas. */
#include "edge/stanza_input.h"

#include "proto/xmpp/jid.h"
#include "proto/xmpp/ns.h"

#define MAX_ID_BYTES 1024 /* an id is echoed in replies: no amplifier */

static const struct xml_attribute *find_attribute(
        const struct xml_element *element, struct str ns, struct str name)
{
    for (size_t i = 0; i < element->attribute_count; i++) {
        const struct xml_attribute *attribute = &element->attributes[i];
        if (str_equal(attribute->name, name) && str_equal(attribute->ns, ns)) {
            return attribute;
        }
    }
    return NULL;
}

struct str xml_element_attribute(const struct xml_element *element, struct str name)
{
    const struct xml_attribute *attribute = find_attribute(element, STR_NULL, name);
    return attribute ? attribute->value : STR_NULL;
}

static enum stanza_kind kind_of(struct str name)
{
    if (str_equal(name, STR("message"))) {
        return STANZA_MESSAGE;
    }
    return str_equal(name, STR("iq")) ? STANZA_IQ : STANZA_PRESENCE;
}

/* RFC 6120 §8.1.2.1: a client may name its own bare or full JID and nothing else (C01). */
static bool is_own_from(struct arena *arena, const struct input_identity *identity, struct str from)
{
    if (str_equal(from, identity->full) || str_equal(from, identity->bare)) {
        return true;
    }
    struct jid jid;
    return jid_parse(arena, from, &jid) == ERR_OK
            && (str_equal(jid.full, identity->full) || str_equal(jid.full, identity->bare));
}

static bool prepare_to(struct arena *arena, const struct xml_element *element, struct str *to_out)
{
    const struct xml_attribute *to = find_attribute(element, STR_NULL, STR("to"));
    if (!to) {
        *to_out = STR_NULL;
        return true;
    }
    struct jid jid;
    if (jid_parse(arena, to->value, &jid) != ERR_OK) {
        return false;
    }
    *to_out = jid.full;
    return true;
}

static void answer(struct input_result *result, enum stanza_condition condition)
{
    /* RFC 6120 §8.3.1: errors and results are never answered with an error (C07). */
    bool may_answer = stanza_may_be_answered_with_error(&result->stanza);
    result->verdict = may_answer ? INPUT_ANSWER : INPUT_IGNORE;
    result->stanza_error = condition;
}

/* D13, D15. */
static enum stream_condition prepare_component_from(
        struct arena *arena, struct str domain, const struct xml_element *element, struct jid *from)
{
    const struct xml_attribute *attribute = find_attribute(element, STR_NULL, STR("from"));
    if (!attribute || jid_parse(arena, attribute->value, from) != ERR_OK) {
        return STREAM_ERROR_IMPROPER_ADDRESSING;
    }
    return str_equal(from->domain, domain) ? STREAM_ERROR_NONE : STREAM_ERROR_INVALID_FROM;
}

/* RFC 6120 §8.2.3 (C04). */
static bool is_sound_iq(const struct stanza *stanza)
{
    switch ((int)stanza->type) {
    case STANZA_TYPE_GET:
    case STANZA_TYPE_SET: return !str_is_empty(stanza->id) && stanza->child_count == 1;
    case STANZA_TYPE_RESULT: return !str_is_empty(stanza->id) && stanza->child_count <= 1;
    case STANZA_TYPE_ERROR: return !str_is_empty(stanza->id);
    default: return false;
    }
}

/* RFC 3921 §3 wanted a session to be established; there is nothing to do (RFC 6121 §1.4). */
static bool is_session_request(const struct input_identity *identity, const struct stanza *stanza)
{
    if (stanza->kind != STANZA_IQ || stanza->type != STANZA_TYPE_SET
            || !str_equal(stanza->payload_ns, STR(NS_SESSION))) {
        return false;
    }
    size_t at = str_find_char(identity->bare, '@');
    struct str domain = at < identity->bare.len
            ? str_from(identity->bare.ptr + at + 1, identity->bare.len - at - 1)
            : identity->bare;
    return str_is_empty(stanza->to) || str_equal(stanza->to, domain)
            || str_equal(stanza->to, identity->bare);
}

static void check_content(const struct input_identity *identity, struct input_result *result)
{
    struct stanza *stanza = &result->stanza;
    if (stanza->type == STANZA_TYPE_INVALID) {
        if (stanza->kind != STANZA_MESSAGE) {
            answer(result, STANZA_ERROR_BAD_REQUEST);
            return;
        }
        stanza->type = STANZA_TYPE_NORMAL; /* RFC 6121 §5.2.2 */
    }
    if (stanza->id.len > MAX_ID_BYTES) {
        stanza->id = STR_NULL;
        answer(result, STANZA_ERROR_BAD_REQUEST);
    } else if (stanza->kind == STANZA_IQ && !is_sound_iq(stanza)) {
        answer(result, STANZA_ERROR_BAD_REQUEST);
    } else if (is_session_request(identity, stanza)) {
        answer(result, STANZA_ERROR_NONE);
    }
}

static void fill(const struct input_identity *identity,
        const struct xml_element *element,
        struct stanza *stanza)
{
    const struct xml_attribute *lang = find_attribute(element, STR(NS_XML), STR("lang"));
    enum stanza_kind kind = kind_of(element->name);
    *stanza = (struct stanza){
        .kind = kind,
        .type = stanza_type_parse(kind, xml_element_attribute(element, STR("type"))),
        .flags = element->flags,
        .id = xml_element_attribute(element, STR("id")),
        .lang = lang ? lang->value : identity->lang,
        .from = identity->full,
        .payload_ns = element->payload_ns,
        .payload_name = element->payload_name,
        .child_count = element->child_count,
        .children = element->children,
        .priority = element->priority,
    };
    if (stanza->lang.len > 35) {
        stanza->lang = identity->lang; /* no language tag is so long (RFC 5646 §4.4.1) */
    }
}

void stanza_input_check(struct arena *arena,
        const struct input_identity *identity,
        const struct xml_element *element,
        struct input_result *result_out)
{
    *result_out = (struct input_result){ .verdict = INPUT_FORWARD };
    const struct xml_attribute *from = find_attribute(element, STR_NULL, STR("from"));
    if (from && !is_own_from(arena, identity, from->value)) {
        result_out->verdict = INPUT_FAIL;
        result_out->stream_error = STREAM_ERROR_INVALID_FROM;
        return;
    }
    fill(identity, element, &result_out->stanza);
    if (!prepare_to(arena, element, &result_out->stanza.to)) {
        if (result_out->stanza.id.len > MAX_ID_BYTES) {
            result_out->stanza.id = STR_NULL;
        }
        answer(result_out, STANZA_ERROR_JID_MALFORMED); /* C02 */
        return;
    }
    check_content(identity, result_out);
}

void stanza_input_check_component(struct arena *arena,
        struct str domain,
        const struct xml_element *element,
        struct input_result *result_out)
{
    *result_out = (struct input_result){ .verdict = INPUT_FORWARD };
    struct jid from;
    enum stream_condition condition = prepare_component_from(arena, domain, element, &from);
    if (condition != STREAM_ERROR_NONE) {
        result_out->verdict = INPUT_FAIL;
        result_out->stream_error = condition;
        return;
    }
    const struct input_identity identity = { .full = from.full, .bare = from.bare };
    struct stanza *stanza = &result_out->stanza;
    fill(&identity, element, stanza);
    if (str_equal(stanza->payload_ns, STR(NS_COMPONENT))) {
        stanza->payload_ns = STR(NS_CLIENT); /* canonical XML knows one content namespace */
    }
    bool has_to = prepare_to(arena, element, &stanza->to);
    if (!has_to || str_is_empty(stanza->to)) {
        stanza->id = stanza->id.len > MAX_ID_BYTES ? STR_NULL : stanza->id;
        answer(result_out, has_to ? STANZA_ERROR_BAD_REQUEST : STANZA_ERROR_JID_MALFORMED);
        return;
    }
    check_content(&identity, result_out);
}

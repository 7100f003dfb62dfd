/* An edge is not trusted: what it sends will be written into other people's streams. */
#include "router/stanza_check.h"

#include "proto/xmpp/canonical.h"
#include "proto/xmpp/jid.h"

#define MAX_LANG_BYTES 35
#define MAX_ID_BYTES   65536

/* Attribute values: UTF-8 of XML 1.0 without what is not a Char there. */
static bool is_legal_text(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 && c != '\t' && c != '\n' && c != '\r') {
            return false;
        }
    }

    return str_is_utf8(text);
}

/* Addresses hold no white space controls either. */
static bool is_legal_jid(struct str text, struct jid *jid)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f) {
            return false;
        }
    }

    return str_is_utf8(text) && jid_split(text, jid) == ERR_OK;
}

bool stanza_check_bare(struct str bare)
{
    struct jid jid;
    return is_legal_jid(bare, &jid) && jid_is_bare(&jid) && jid.local.len > 0;
}

bool stanza_check_full(struct str full)
{
    struct jid jid;
    return is_legal_jid(full, &jid) && !jid_is_bare(&jid) && jid.local.len > 0;
}

static bool is_legal_content(const struct stanza *stanza)
{
    return stanza->lang.len <= MAX_LANG_BYTES && is_legal_text(stanza->lang)
            && stanza->id.len <= MAX_ID_BYTES && is_legal_text(stanza->id)
            && is_legal_text(stanza->payload_ns) && is_legal_text(stanza->payload_name)
            && canonical_is_valid(
                    stanza->children, STANZA_CHECK_MAX_DEPTH, STANZA_CHECK_MAX_ELEMENTS);
}

bool stanza_check_input(const struct stanza *stanza, struct str bare)
{
    struct jid from;
    struct jid to;
    if (!is_legal_jid(stanza->from, &from) || jid_is_bare(&from) || !str_equal(from.bare, bare)) {
        return false;
    }
    if (stanza->to.len > 0 && !is_legal_jid(stanza->to, &to)) {
        return false;
    }

    return is_legal_content(stanza);
}

bool stanza_check_answer(const struct stanza *stanza, struct str answer_from)
{
    struct jid from;
    bool is_error = stanza->type == STANZA_TYPE_ERROR;
    bool is_empty_result = stanza->kind == STANZA_IQ && stanza->type == STANZA_TYPE_RESULT
            && str_is_empty(stanza->children);
    return (is_error || is_empty_result) && is_legal_jid(answer_from, &from);
}

bool stanza_check_component(const struct stanza *stanza, struct str domain)
{
    struct jid from;
    struct jid to;
    return is_legal_jid(stanza->from, &from) && str_equal(from.domain, domain)
            && is_legal_jid(stanza->to, &to) && is_legal_content(stanza);
}

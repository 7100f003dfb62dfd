/* Stanzas: names, durability, copies and their XML (RFC 6120 §8, RFC 6121 §5). */
#include "proto/xmpp/stanza.h"

#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

#define KIND_BIT(kind) (1U << (kind))

struct type_entry {
    const char *name;
    unsigned kinds; /* KIND_BIT of each kind that knows this type */
};

/* clang-format off */
static const struct type_entry TYPES[] = {
    [STANZA_TYPE_NONE]         = { "",             0 },
    [STANZA_TYPE_ERROR]        = { "error",        KIND_BIT(STANZA_MESSAGE) | KIND_BIT(STANZA_PRESENCE)
                                                   | KIND_BIT(STANZA_IQ) },
    [STANZA_TYPE_CHAT]         = { "chat",         KIND_BIT(STANZA_MESSAGE) },
    [STANZA_TYPE_GROUPCHAT]    = { "groupchat",    KIND_BIT(STANZA_MESSAGE) },
    [STANZA_TYPE_HEADLINE]     = { "headline",     KIND_BIT(STANZA_MESSAGE) },
    [STANZA_TYPE_NORMAL]       = { "normal",       KIND_BIT(STANZA_MESSAGE) },
    [STANZA_TYPE_GET]          = { "get",          KIND_BIT(STANZA_IQ) },
    [STANZA_TYPE_SET]          = { "set",          KIND_BIT(STANZA_IQ) },
    [STANZA_TYPE_RESULT]       = { "result",       KIND_BIT(STANZA_IQ) },
    [STANZA_TYPE_UNAVAILABLE]  = { "unavailable",  KIND_BIT(STANZA_PRESENCE) },
    [STANZA_TYPE_SUBSCRIBE]    = { "subscribe",    KIND_BIT(STANZA_PRESENCE) },
    [STANZA_TYPE_SUBSCRIBED]   = { "subscribed",   KIND_BIT(STANZA_PRESENCE) },
    [STANZA_TYPE_UNSUBSCRIBE]  = { "unsubscribe",  KIND_BIT(STANZA_PRESENCE) },
    [STANZA_TYPE_UNSUBSCRIBED] = { "unsubscribed", KIND_BIT(STANZA_PRESENCE) },
    [STANZA_TYPE_PROBE]        = { "probe",        KIND_BIT(STANZA_PRESENCE) },
    [STANZA_TYPE_INVALID]      = { "",             0 },
};
/* clang-format on */

#define TYPE_COUNT (sizeof TYPES / sizeof TYPES[0])

const char *stanza_kind_name(enum stanza_kind kind)
{
    switch (kind) {
    case STANZA_MESSAGE: return "message";
    case STANZA_PRESENCE: return "presence";
    case STANZA_IQ: return "iq";
    }
    return "";
}

const char *stanza_type_name(enum stanza_type type)
{
    return (size_t)type < TYPE_COUNT ? TYPES[type].name : "";
}

enum stanza_type stanza_type_parse(enum stanza_kind kind, struct str text)
{
    if (text.len == 0) {
        return STANZA_TYPE_NONE;
    }
    for (size_t i = STANZA_TYPE_NONE + 1; i < STANZA_TYPE_INVALID; i++) {
        if ((TYPES[i].kinds & KIND_BIT(kind)) != 0
                && str_equal(text, str_from_cstr(TYPES[i].name))) {
            return (enum stanza_type)i;
        }
    }
    return STANZA_TYPE_INVALID;
}

bool stanza_is_durable(const struct stanza *stanza)
{
    if (stanza->kind != STANZA_MESSAGE || stanza->type == STANZA_TYPE_ERROR
            || stanza->type == STANZA_TYPE_HEADLINE) {
        return false;
    }
    if ((stanza->flags & STANZA_HINT_NO_STORE) != 0) {
        return false;
    }
    return (stanza->flags & (STANZA_HAS_BODY | STANZA_HINT_STORE | STANZA_HAS_RECEIPT)) != 0;
}

/* With a NUL behind it, as str_dup. */
static struct str put(char **at, struct str text)
{
    struct str copy = str_from(*at, text.len);
    if (text.len > 0) {
        memcpy(*at, text.ptr, text.len);
    }
    (*at)[text.len] = '\0';
    *at += text.len + 1;
    return copy;
}

/* One allocation: this is done several times for each message. */
void stanza_dup(struct arena *arena, const struct stanza *from, struct stanza *to)
{
    enum {
        TEXTS = 7
    };
    char *at = arena_alloc(arena, stanza_bytes(from) + TEXTS);
    struct stanza copy = *from;
    copy.id = put(&at, from->id);
    copy.lang = put(&at, from->lang);
    copy.from = put(&at, from->from);
    copy.to = put(&at, from->to);
    copy.payload_ns = put(&at, from->payload_ns);
    copy.payload_name = put(&at, from->payload_name);
    copy.children = put(&at, from->children);
    *to = copy;
}

size_t stanza_bytes(const struct stanza *stanza)
{
    return stanza->id.len + stanza->lang.len + stanza->from.len + stanza->to.len
            + stanza->payload_ns.len + stanza->payload_name.len + stanza->children.len;
}

static void write_in(struct buf *out, const struct stanza *stanza, const char *ns)
{
    const char *name = stanza_kind_name(stanza->kind);
    xml_open(out, name, ns);
    xml_attr_opt(out, "from", stanza->from);
    xml_attr_opt(out, "to", stanza->to);
    xml_attr_opt(out, "type", str_from_cstr(stanza_type_name(stanza->type)));
    xml_attr_opt(out, "id", stanza->id);
    xml_attr_opt(out, "xml:lang", stanza->lang);
    if (stanza->children.len == 0) {
        xml_end_empty(out);
        return;
    }
    xml_end_open(out);
    buf_append_str(out, stanza->children);
    xml_close(out, name);
}

void stanza_write(struct buf *out, const struct stanza *stanza)
{
    write_in(out, stanza, NULL);
}

void stanza_write_forwarded(struct buf *out, const struct stanza *stanza)
{
    write_in(out, stanza, NS_CLIENT);
}

void stanza_init_reply(struct stanza *reply, const struct stanza *request, enum stanza_type type)
{
    *reply = (struct stanza){
        .kind = request->kind,
        .type = type,
        .id = request->id,
        .from = request->to,
        .to = request->from,
    };
}

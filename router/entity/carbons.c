/* Which messages are copied to whom, and how a copy looks (XEP-0280 §6 to §8, XEP-0297). */
#include "router/entity/carbons.h"

#include "chassis/base/mem.h"
#include "chassis/metrics.h"
#include "proto/xmpp/jid.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"
#include "router/entity/entity.h"
#include "router/entity/send.h"
#include "router/entity/sessions.h"

#define REMEMBERED 32

static struct metric_family made = {
    .name = "carbons_total",
    .help = "Messages of which other sessions of the account got copies",
    .label = "direction",
};

/* Ids of messages that were copied: an error that answers one of them is copied, too. */
struct carbon_memory {
    uint64_t keys[REMEMBERED];
    unsigned next;
};

static uint64_t key_of(const struct stanza *message, struct str peer)
{
    struct jid jid;
    struct str bare = jid_split(peer, &jid) == ERR_OK ? jid.bare : peer;
    return str_hash(message->id) * 31 + str_hash(bare);
}

static void remember(struct entity *entity, const struct stanza *message, bool is_sent)
{
    if (message->id.len == 0 || message->type == STANZA_TYPE_ERROR) {
        return;
    }
    if (!entity->carbons) {
        entity->carbons = MEM_NEW(struct carbon_memory);
    }
    struct carbon_memory *memory = entity->carbons;
    memory->keys[memory->next] = key_of(message, is_sent ? message->to : message->from);
    memory->next = (memory->next + 1) % REMEMBERED;
}

static bool answers_a_copied_one(
        const struct entity *entity, const struct stanza *error, bool is_sent)
{
    if (!entity->carbons || error->id.len == 0) {
        return false;
    }
    uint64_t key = key_of(error, is_sent ? error->to : error->from);
    for (size_t i = 0; i < REMEMBERED; i++) {
        if (entity->carbons->keys[i] == key) {
            return true;
        }
    }
    return false;
}

static bool is_from_bare(const struct stanza *message)
{
    struct jid from;
    return jid_split(message->from, &from) == ERR_OK && jid_is_bare(&from);
}

/* A room replicates what its occupants say in private to all clients that have joined; what it
 * mediates comes from its own address. */
static bool is_invitation(const struct stanza *message, bool is_sent)
{
    if (message->flags & STANZA_HAS_INVITE) {
        return true;
    }
    static const char invite[] = "<invite";
    return (message->flags & STANZA_MUC_USER) && (is_sent || is_from_bare(message))
            && memmem(message->children.ptr, message->children.len, invite, sizeof(invite) - 1);
}

bool carbons_is_eligible(const struct entity *entity, const struct stanza *message, bool is_sent)
{
    if (message->kind != STANZA_MESSAGE || message->type == STANZA_TYPE_GROUPCHAT
            || (message->flags & (STANZA_CARBON_PRIVATE | STANZA_HINT_NO_COPY))) {
        return false;
    }
    if (message->type == STANZA_TYPE_ERROR) {
        return answers_a_copied_one(entity, message, is_sent);
    }
    if (is_invitation(message, is_sent)) {
        return true;
    }
    if (!is_sent && (message->flags & STANZA_MUC_USER)) {
        return false;
    }
    if (message->type == STANZA_TYPE_CHAT
            || (message->flags & (STANZA_IM_PAYLOAD | STANZA_HAS_RECEIPT))) {
        return true;
    }
    bool is_normal =
            message->type != STANZA_TYPE_HEADLINE; /* RFC 6121 §5.2.2: unknown types, too */
    return is_normal && (message->flags & STANZA_HAS_BODY);
}

/* ---- a copy */

static void wrap(const struct entity *entity,
        const struct stanza *message,
        bool is_sent,
        struct buf *children,
        struct stanza *copy_out)
{
    const char *name = is_sent ? "sent" : "received";
    xml_open(children, name, NS_CARBONS);
    xml_end_open(children);
    xml_open(children, "forwarded", NS_FORWARD);
    xml_end_open(children);
    stanza_write_forwarded(children, message);
    xml_close(children, "forwarded");
    xml_close(children, name);
    *copy_out = (struct stanza){
        .kind = STANZA_MESSAGE,
        .type = message->type,
        .flags = message->flags & STANZA_CHAT_STATE_ONLY, /* XEP-0352: it may wait */
        .from = entity->bare,
        .payload_ns = STR(NS_CARBONS),
        .payload_name = str_from_cstr(name),
        .child_count = 1,
        .children = buf_view(children),
    };
}

void carbons_wrap(struct entity *entity,
        const struct stanza *message,
        bool is_sent,
        struct buf *children,
        struct stanza *copy_out)
{
    metric_family_add(&made, is_sent ? "sent" : "received", 1);
    remember(entity, message, is_sent);
    wrap(entity, message, is_sent, children, copy_out);
}

/* ---- what was received */

/* Wants a copy, and RFC 6121 §8.5 did not give it the message: §8.5.2.1.1 when it is for all, else
 * §8.5.3.1. Who has sent it himself knows it. */
static bool wants_copy(
        const struct resource *resource, const struct stanza *message, bool is_for_all)
{
    if (!resource->has_carbons || resource->is_closing || resource->is_lost
            || str_equal(resource->full, message->from)) {
        return false;
    }
    return is_for_all ? !resource_is_eligible(resource) : !str_equal(resource->full, message->to);
}

static bool is_for_all(const struct entity *entity, const struct stanza *message)
{
    struct jid to;
    return jid_split(message->to, &to) != ERR_OK || jid_is_bare(&to)
            || !entity_find_resource(entity, to.resource);
}

static bool has_copy_sessions(
        const struct entity *entity, const struct stanza *message, bool *is_for_all_out)
{
    for (const struct resource *one = entity->resources; one; one = one->next) {
        if (one->has_carbons) {
            *is_for_all_out = is_for_all(entity, message);
            return true;
        }
    }
    return false;
}

size_t carbons_send_received(struct entity *entity,
        const struct stanza *message,
        int64_t log_id,
        struct id128 *targets_out,
        size_t max_targets)
{
    bool for_all;
    if (!has_copy_sessions(entity, message, &for_all)) {
        return 0;
    }
    struct stanza copy;
    struct buf children;
    buf_init(&children, 0);
    size_t reached = 0;
    bool is_wrapped = false;
    for (struct resource *to = entity->resources; to && reached < max_targets; to = to->next) {
        if (!wants_copy(to, message, for_all) || send_is_excepted(entity, to)) {
            continue;
        }
        if (!is_wrapped && !carbons_is_eligible(entity, message, false)) {
            break;
        }
        if (!is_wrapped) {
            carbons_wrap(entity, message, false, &children, &copy);
            is_wrapped = true;
        }
        copy.to = to->full;
        if (send_copy(entity, to, &copy, log_id)) {
            targets_out[reached++] = to->session;
        }
    }
    buf_fini(&children);
    return reached;
}

bool carbons_make_received(struct entity *entity,
        const struct resource *resource,
        const struct stanza *message,
        struct buf *children,
        struct stanza *copy_out)
{
    if (!wants_copy(resource, message, is_for_all(entity, message))
            || !carbons_is_eligible(entity, message, false)) {
        return false;
    }
    wrap(entity, message, false, children, copy_out);
    copy_out->to = resource->full;
    return true;
}

/* Turns: views of the stanza and the list of effects. */
#include "router/turn.h"

#include "chassis/base/buf.h"
#include "proto/xmpp/ns.h"
#include "router/entity/entity.h"
#include "router/entity/resource.h"
#include "router/entity/roster.h"

void turn_init(
        struct turn *turn, struct arena *arena, struct entity *entity, const struct stanza *stanza)
{
    *turn = (struct turn){ .arena = arena, .entity = entity, .stanza = stanza };
    turn->effects_end = &turn->effects;
    if (!stanza) {
        return;
    }
    if (stanza->from.len && jid_split(stanza->from, &turn->from) != ERR_OK) {
        turn->from = (struct jid){ .full = STR_NULL };
    }
    if (stanza->to.len && jid_split(stanza->to, &turn->to) != ERR_OK) {
        turn->to = (struct jid){ .full = STR_NULL };
    }
}

const struct element *turn_parse_children(struct turn *turn)
{
    struct element *first = NULL;
    if (element_parse(turn->arena, turn->stanza->children, STR(NS_CLIENT), &first) != ERR_OK) {
        return NULL;
    }
    return first;
}

static struct effect *turn_add(struct turn *turn, enum effect_kind kind)
{
    struct effect *effect = ARENA_NEW(turn->arena, struct effect);
    effect->kind = kind;
    *turn->effects_end = effect;
    turn->effects_end = &effect->next;
    return effect;
}

void turn_route(struct turn *turn, const struct stanza *stanza)
{
    turn_add(turn, EFFECT_ROUTE)->stanza = *stanza;
}

void turn_route_kept(struct turn *turn, const struct stanza *stanza)
{
    turn_add(turn, EFFECT_ROUTE_KEPT)->stanza = *stanza;
}

void turn_route_many(
        struct turn *turn, const struct stanza *stanza, const struct str *to, size_t count)
{
    struct effect *effect = turn_add(turn, EFFECT_ROUTE_MANY);
    effect->stanza = *stanza;
    effect->to = to;
    effect->to_count = count;
}

void turn_deliver(struct turn *turn, const struct resource *session, const struct stanza *stanza)
{
    struct effect *effect = turn_add(turn, EFFECT_DELIVER);
    effect->session = session->session;
    effect->stanza = *stanza;
}

void turn_kick(struct turn *turn,
        const struct resource *session,
        enum stream_condition condition,
        struct str text)
{
    struct effect *effect = turn_add(turn, EFFECT_KICK);
    effect->session = session->session;
    effect->condition = condition;
    effect->text = text;
}

void turn_session_changed(struct turn *turn, const struct resource *session)
{
    turn_add(turn, EFFECT_SESSION_CHANGED)->session = session->session;
}

void turn_account_removed(struct turn *turn)
{
    (void)turn_add(turn, EFFECT_ACCOUNT_REMOVED);
}

/* A request without `to` was meant for the account (RFC 6120 §8.1.1.1): so is the answer's from. */
static void turn_reply(
        struct turn *turn, const struct stanza *request, enum stanza_type type, struct str children)
{
    struct stanza reply;
    stanza_init_reply(&reply, request, type);
    if (reply.from.len == 0) {
        reply.from = turn->entity->bare;
    }
    reply.children = children;
    reply.child_count = children.len ? 1 : 0;
    reply.flags = type == STANZA_TYPE_ERROR ? (uint32_t)STANZA_HAS_ERROR : 0;
    if (reply.to.len) {
        turn_route(turn, &reply);
    }
}

void turn_reply_result(struct turn *turn, const struct stanza *request, struct str children)
{
    turn_reply(turn, request, STANZA_TYPE_RESULT, children);
}

void turn_reply_error(
        struct turn *turn, const struct stanza *request, const struct stanza_error *error)
{
    if (!stanza_may_be_answered_with_error(request)) {
        return;
    }
    struct buf xml;
    buf_init(&xml, 0);
    stanza_error_write(&xml, error);
    turn_reply(turn, request, STANZA_TYPE_ERROR, str_dup(turn->arena, buf_view(&xml)));
    buf_fini(&xml);
}

enum verdict turn_reject(struct turn *turn, enum stanza_condition condition, struct str text)
{
    turn->error = (struct stanza_error){ .condition = condition, .text = text };
    return VERDICT_REJECT;
}

enum verdict turn_wait_set_password(
        struct turn *turn, struct str password, turn_continuation continuation)
{
    turn->request = (struct turn_request){
        .kind = TURN_REQUEST_SET_PASSWORD, .password = password, .continuation = continuation
    };
    return VERDICT_WAIT;
}

enum verdict turn_wait_delete_account(struct turn *turn, turn_continuation continuation)
{
    turn->request = (struct turn_request){ .kind = TURN_REQUEST_DELETE_ACCOUNT,
        .continuation = continuation };
    return VERDICT_WAIT;
}

enum verdict turn_wait_load_data(struct turn *turn,
        enum account_data_kind kind,
        struct str key,
        turn_continuation continuation)
{
    struct account_datum *item = ARENA_NEW(turn->arena, struct account_datum);
    item->key = key;
    turn->request = (struct turn_request){
        .kind = TURN_REQUEST_LOAD_DATA,
        .data = { .kind = kind, .items = item, .count = 1 },
        .continuation = continuation,
    };
    return VERDICT_WAIT;
}

enum verdict turn_wait_store_data(struct turn *turn,
        enum account_data_kind kind,
        const struct account_datum *items,
        size_t count,
        struct turn_data_limits limits,
        turn_continuation continuation)
{
    turn->request = (struct turn_request){
        .kind = TURN_REQUEST_STORE_DATA,
        .data = { .kind = kind,
                .items = items,
                .count = count,
                .max_items = limits.max_items,
                .max_bytes = limits.max_bytes },
        .continuation = continuation,
    };
    return VERDICT_WAIT;
}

void turn_note_audit(struct turn *turn, const struct turn_audit *audit)
{
    turn_add(turn, EFFECT_AUDIT)->audit = *audit;
}

enum verdict turn_wait_admin(
        struct turn *turn, const struct turn_admin *admin, turn_continuation continuation)
{
    turn->request = (struct turn_request){
        .kind = TURN_REQUEST_ADMIN,
        .admin = *admin,
        .continuation = continuation,
    };
    return VERDICT_WAIT;
}

enum verdict turn_wait_change_roster(
        struct turn *turn, const struct roster_item *item, turn_continuation continuation)
{
    turn->request = (struct turn_request){ .kind = TURN_REQUEST_CHANGE_ROSTER,
        .item = roster_item_create(item),
        .continuation = continuation };
    return VERDICT_WAIT;
}

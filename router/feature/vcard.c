/* vcard-temp, XEP-0054 1.3.0: one vCard for each account, kept as it came. Others get it unless
 * vcard.readable_by says contacts; without one they learn no more than of an account that does not
 * exist (§3.3). */
#include "proto/xmpp/element.h"
#include "router/entity/contacts.h"
#include "router/entity/entity.h"
#include "router/feature.h"
#include "router/settings.h"

#define MAX_FIELDS 1000 /* C37 */

static bool is_own(const struct turn *turn)
{
    return str_equal(turn->from.bare, turn->entity->bare);
}

static void reply_failed(struct turn *turn, const struct stanza *request, enum err err)
{
    struct stanza_error error = { .condition = err == ERR_LIMIT
                ? STANZA_ERROR_NOT_ACCEPTABLE
                : STANZA_ERROR_INTERNAL_SERVER_ERROR };
    turn_reply_error(turn, request, &error);
}

static void after_load(struct turn *turn, const struct stanza *request, enum err err)
{
    if (err != ERR_OK) {
        reply_failed(turn, request, err);
    } else if (turn->loaded.len) {
        turn_reply_result(turn, request, str_dup(turn->arena, turn->loaded));
    } else {
        struct stanza_error error = { .condition = is_own(turn)
                    ? STANZA_ERROR_ITEM_NOT_FOUND
                    : STANZA_ERROR_SERVICE_UNAVAILABLE };
        turn_reply_error(turn, request, &error);
    }
}

static enum verdict answer_get(struct turn *turn, const struct iq *iq)
{
    (void)iq;
    bool may_read = is_own(turn) || turn->settings->vcard_is_public
            || entity_is_contact(turn->entity, turn->from.bare);
    if (!may_read) {
        return turn_reject(turn, STANZA_ERROR_SERVICE_UNAVAILABLE, STR_NULL);
    }
    return turn_wait_load_data(turn, ACCOUNT_DATA_VCARD, STR_NULL, after_load);
}

static void after_store(struct turn *turn, const struct stanza *request, enum err err)
{
    if (err == ERR_OK) {
        turn_reply_result(turn, request, STR_NULL);
    } else {
        reply_failed(turn, request, err);
    }
}

static enum verdict answer_set(struct turn *turn, const struct iq *iq)
{
    size_t fields = 0;
    XML_FOREACH_CHILD(field, iq->payload) {
        fields++;
    }
    if (fields > MAX_FIELDS) {
        return turn_reject(turn, STANZA_ERROR_NOT_ACCEPTABLE, STR_NULL);
    }
    struct account_datum *item = ARENA_NEW(turn->arena, struct account_datum);
    item->value = fields ? iq->stanza->children : STR_NULL; /* an empty one: none */
    struct turn_data_limits limits = { 1, turn->settings->vcard_max_bytes };
    return turn_wait_store_data(turn, ACCOUNT_DATA_VCARD, item, 1, limits, after_store);
}

/* §3.2: nobody changes another's. Refused by the sender's home, which does not know whether that
 * one exists; what others send comes to service-unavailable. */
static enum verdict refuse_foreign_set(struct turn *turn)
{
    const struct stanza *stanza = turn->stanza;
    bool is_foreign_set = stanza->kind == STANZA_IQ && stanza->type == STANZA_TYPE_SET
            && str_equal(stanza->payload_ns, STR(NS_VCARD)) && turn->to.local.len
            && jid_is_bare(&turn->to) && str_equal(turn->to.domain, turn->entity->domain)
            && !str_equal(turn->to.bare, turn->entity->bare);
    return is_foreign_set ? turn_reject(turn, STANZA_ERROR_FORBIDDEN, STR_NULL) : VERDICT_PASS;
}

const struct feature feature_vcard = {
    .name = "vcard",
    .specs = { { "XEP-0054", "1.3.0" } },
    .advertises = { NS_VCARD },
    .advertises_account = { NS_VCARD },
    .iq = {
        { IQ_GET, TO_ACCOUNT | TO_ACCOUNT_BY_OTHERS, NS_VCARD, "vCard", answer_get },
        { IQ_SET, TO_ACCOUNT, NS_VCARD, "vCard", answer_set },
    },
    .on_outbound = refuse_foreign_set,
};

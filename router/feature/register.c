/* In-Band Registration, XEP-0077 2.4, for users who are logged in: what is known, a new password,
 * the end of the account. (New accounts are made before authentication: the edge asks with the verb
 * Register.) */
#include "chassis/base/buf.h"
#include "proto/xmpp/precis.h"
#include "proto/xmpp/xml_writer.h"
#include "router/entity/entity.h"
#include "router/feature.h"
#include "router/settings.h"

#define MAX_PASSWORD_BYTES 1024

static bool is_offered(const struct settings *settings, const struct host *host)
{
    (void)settings;
    return host->registration;
}

/* "The channel" is safe: an edge lets nobody log in without TLS. */
static enum verdict answer_get(struct turn *turn, const struct iq *iq)
{
    struct buf xml;
    buf_init(&xml, 0);
    xml_open(&xml, "query", NS_REGISTER);
    xml_end_open(&xml);
    xml_open(&xml, "registered", NULL);
    xml_end_empty(&xml);
    xml_text_element(&xml, "username", NULL, turn->from.local);
    xml_open(&xml, "password", NULL); /* never told (§9), but a field to fill in */
    xml_end_empty(&xml);
    xml_close(&xml, "query");
    turn_reply_result(turn, iq->stanza, str_dup(turn->arena, buf_view(&xml)));
    buf_fini(&xml);
    return VERDICT_HANDLED;
}

static void reply_store_error(struct turn *turn, const struct stanza *request)
{
    struct stanza_error error = { .condition = STANZA_ERROR_INTERNAL_SERVER_ERROR };
    turn_reply_error(turn, request, &error);
}

static void after_password(struct turn *turn, const struct stanza *request, enum err err)
{
    if (err == ERR_OK) {
        turn_reply_result(turn, request, STR_NULL);
    } else {
        reply_store_error(turn, request);
    }
}

/* The answer first, then every stream of the account ends with not-authorized (§3.2). */
static void after_remove(struct turn *turn, const struct stanza *request, enum err err)
{
    if (err != ERR_OK && err != ERR_NOT_FOUND) {
        reply_store_error(turn, request);
        return;
    }
    turn_reply_result(turn, request, STR_NULL);
    turn_account_removed(turn);
}

/* C28: nobody changes an account but his own. */
static bool names_another(const struct turn *turn, const struct element *query)
{
    const struct element *username = element_child(query, NS_REGISTER, "username");
    if (!username) {
        return false;
    }
    struct str local;
    return jid_prepare_local(turn->arena, username->text, &local) != ERR_OK
            || !str_equal(local, turn->from.local);
}

static enum verdict answer_set(struct turn *turn, const struct iq *iq)
{
    if (!str_equal(turn->from.bare, turn->entity->bare)) {
        return turn_reject(turn, STANZA_ERROR_FORBIDDEN, STR_NULL);
    }
    if (element_child(iq->payload, NS_REGISTER, "remove")) {
        if (iq->payload->first_child->next) { /* §3.2: with anything else it is bad-request */
            return turn_reject(turn, STANZA_ERROR_BAD_REQUEST, STR_NULL);
        }
        return turn_wait_delete_account(turn, after_remove);
    }
    if (names_another(turn, iq->payload)) {
        return turn_reject(turn, STANZA_ERROR_FORBIDDEN, STR_NULL);
    }
    struct str text = element_child_text(iq->payload, NS_REGISTER, "password");
    if (text.len == 0 || !element_child(iq->payload, NS_REGISTER, "username")) { /* §3.3 */
        return turn_reject(turn, STANZA_ERROR_BAD_REQUEST, STR_NULL);
    }
    struct str password;
    if (text.len > MAX_PASSWORD_BYTES
            || precis_opaque_string(turn->arena, text, &password) != ERR_OK) {
        return turn_reject(turn, STANZA_ERROR_NOT_ACCEPTABLE, STR("This password cannot be used"));
    }
    return turn_wait_set_password(turn, password, after_password);
}

const struct feature feature_register = {
    .name = "register",
    .specs = { { "XEP-0077", "2.4" } },
    .advertises = { NS_REGISTER },
    .iq = {
        { IQ_GET, TO_HOST | TO_ACCOUNT, NS_REGISTER, "query", answer_get },
        { IQ_SET, TO_HOST | TO_ACCOUNT, NS_REGISTER, "query", answer_set },
    },
    .is_enabled = is_offered,
};

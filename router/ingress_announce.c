/* An edge says that it holds a session: it is believed for the attachment its token names only
 * (F04), so that one that held the session once cannot take it back from those that came later. */
#include "proto/xmpp/jid.h"
#include "router/egress.h"
#include "router/entity/components.h"
#include "router/entity/entity_table.h"
#include "router/ingress_internal.h"
#include "router/signer.h"
#include "router/stanza_check.h"

static bool is_proved(
        const struct ingress *ingress, const char *edge, const Wire__Announce *announce)
{
    const struct signer *signer = ingress->router->signer;
    struct signer_session session = {
        .session = wire_id(announce->session),
        .full = wire_str(announce->full),
        .edge = str_from_cstr(edge),
        .attach = 1,
    };
    if (!signer_token_is_valid(signer, &session, wire_str(announce->token))) {
        return false;
    }
    if (announce->attach <= 1) {
        return true;
    }
    /* Only a session with stream management is ever resumed. Who proves nothing (the version
     * before) has to agree with what the home knows. */
    session.attach = announce->attach;
    return announce->has_sm
            && (announce->attach_token.len == 0
                    || signer_token_is_valid(signer, &session, wire_str(announce->attach_token)));
}

/* A client acknowledges what was written to it, and what was written has names and numbers. */
static bool is_possible(const Wire__Announce *announce)
{
    return (int32_t)(announce->acked - announce->written) <= 0
            && announce->n_sequences == announce->n_log_ids
            && announce->n_log_ids <= WIRE_MAX_WRITTEN;
}

static bool is_full_jid(const struct ingress *ingress, struct str full, struct jid *jid_out)
{
    if (!str_is_utf8(full) || jid_split(full, jid_out) != ERR_OK || jid_is_bare(jid_out)) {
        return false;
    }
    return stanza_check_full(full)
            || (jid_out->local.len == 0 && ingress_is_component(ingress, jid_out->domain));
}

void ingress_on_announce(struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope)
{
    const Wire__Announce *announce = envelope->announce;
    const char *edge = link_peer_node(peer->link);
    struct jid full;
    if (!is_full_jid(ingress, wire_str(announce->full), &full)) {
        ingress_violation(ingress, peer, "address");
        return;
    }
    if (!ingress_accept_work(ingress, peer, full.bare)) {
        return;
    }
    bool may_be = is_possible(announce);
    if (!may_be || !is_proved(ingress, edge, announce)) {
        ingress_violation(ingress, peer, may_be ? "token" : "numbers");
        egress_kick(ingress->router->egress,
                edge,
                wire_id(announce->session),
                full.bare,
                STREAM_ERROR_NOT_AUTHORIZED,
                STR(""));
        return;
    }
    if (ingress_is_component(ingress, full.bare)) {
        components_on_announce(ingress->router->components, edge, announce);
    } else {
        entity_on_announce(ingress->router->entities, edge, announce);
    }
}

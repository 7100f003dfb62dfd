/* Sessions that were granted to clients that had gone meanwhile. */
#include "edge/unasked.h"

#include "edge/edge.h"
#include "edge/session.h"
#include "edge/session_table.h"
#include "edge/sm.h"
#include "edge/uplink.h"

void unasked_bound(struct edge *edge, unsigned shards, const Wire__BindReply *reply)
{
    if (reply->status != WIRE__STATUS__STATUS_OK
            || session_table_find(edge->sessions, wire_id(reply->session))) {
        return;
    }
    struct session *session = session_create(reply, shards);
    if (session) {
        uplink_adopt(edge->uplink, session);
        uplink_end_session(edge->uplink, session, true);
    }
}

void unasked_resumed(struct edge *edge, unsigned shards, const Wire__ResumeReply *reply)
{
    if (reply->status != WIRE__STATUS__STATUS_OK) {
        return;
    }
    struct session *known = session_table_find(edge->sessions, wire_id(reply->session));
    if (known && session_has_sm(known) && (int32_t)(reply->attach - known->sm->attach) <= 0) {
        return; /* a later question was answered before */
    }
    struct session *session = session_create_resumed(reply, shards);
    if (!session) {
        return;
    }
    if (known) {
        uplink_let_go(edge->uplink, known);
    }
    uplink_adopt(edge->uplink, session);
    uplink_end_session(edge->uplink, session, false);
}

/* A session's state as records of the bus. */
#include "edge/session_records.h"

#include "chassis/base/arena.h"
#include "chassis/base/buf.h"
#include "edge/session.h"
#include "edge/sm.h"
#include "proto/wire/wire.h"

static void announce_sm(
        struct arena *arena, const struct session *session, Wire__Announce *announce)
{
    const struct sm *sm = session->sm;
    announce->has_sm = true;
    announce->acked = sm->acked;
    announce->written = sm->written;
    announce->attach = sm->attach;
    announce->attach_token = wire_bytes(str_from(session->attach_token, session->attach_token_len));
    size_t count = sm->entries.count;
    announce->sequences = arena_alloc(arena, count * sizeof(*announce->sequences));
    announce->log_ids = arena_alloc(arena, count * sizeof(*announce->log_ids));
    announce->n_sequences = count;
    announce->n_log_ids = count;
    sm_written_list(&sm->entries, announce->sequences, announce->log_ids);
}

void session_record_announce(struct buf *record, const struct session *session)
{
    struct arena arena;
    arena_init(&arena, 0);
    Wire__Id id = WIRE_ID_INIT(session->id);
    Wire__Announce announce = WIRE__ANNOUNCE__INIT;
    announce.session = &id;
    announce.full = wire_bytes(session->full);
    announce.token = wire_bytes(str_from(session->token, session->token_len));
    announce.handled = session->handled;
    announce.is_available = session->is_available;
    announce.priority = session->priority;
    announce.has_carbons = session->has_carbons;
    if (session_has_sm(session)) {
        announce_sm(&arena, session, &announce);
    }
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_ANNOUNCE;
    envelope.announce = &announce;
    wire_pack(record, &envelope);
    arena_fini(&arena);
}

void session_record_close(struct buf *record, const struct session *session)
{
    Wire__Id id = WIRE_ID_INIT(session->id);
    Wire__Close close = WIRE__CLOSE__INIT;
    close.session = &id;
    close.bare = wire_bytes(session->bare);
    close.is_resumable = !session->is_ended && session_may_resume(session);
    close.attach = session_attach(session);
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_CLOSE;
    envelope.close = &close;
    wire_pack(record, &envelope);
}

void session_record_acked(struct buf *record, const struct session *session)
{
    Wire__Id id = WIRE_ID_INIT(session->id);
    Wire__Acked acked = WIRE__ACKED__INIT;
    acked.session = &id;
    acked.bare = wire_bytes(session->bare);
    acked.sequence = session->sm->acked;
    acked.attach = session_attach(session);
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_ACKED;
    envelope.acked = &acked;
    wire_pack(record, &envelope);
}

void session_record_client_state(struct buf *record, const struct session *session)
{
    Wire__Id id = WIRE_ID_INIT(session->id);
    Wire__ClientState client_state = WIRE__CLIENT_STATE__INIT;
    client_state.session = &id;
    client_state.bare = wire_bytes(session->bare);
    client_state.is_inactive = session->is_inactive;
    client_state.attach = session_attach(session);
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_CLIENT_STATE;
    envelope.client_state = &client_state;
    wire_pack(record, &envelope);
}

void session_record_enable(struct buf *record, const struct session *session)
{
    Wire__Id id = WIRE_ID_INIT(session->id);
    Wire__Enable enable = WIRE__ENABLE__INIT;
    enable.request = session->sm->request;
    enable.session = &id;
    enable.bare = wire_bytes(session->bare);
    enable.may_resume = session->sm->may_resume;
    enable.max_s = session->sm->max_s;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_ENABLE;
    envelope.enable = &enable;
    wire_pack(record, &envelope);
}

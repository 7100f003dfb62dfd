/* Life and counters of a bound resource. */
#include "edge/session.h"

#include <utlist.h>

#include "chassis/base/err.h"
#include "chassis/base/mem.h"
#include "chassis/metrics.h"
#include "edge/session_table.h"
#include "edge/sm.h"
#include "proto/xmpp/jid.h"

static struct metric live_sessions =
        METRIC_GAUGE_INIT("sessions", "Bound resources.", "state=\"live\"");
static struct metric lingering_sessions =
        METRIC_GAUGE_INIT("sessions", "Bound resources.", "state=\"lingering\"");

static struct session *create(struct id128 id, struct str full, struct str token, unsigned shards)
{
    struct jid jid;
    if (id128_is_zero(id) || jid_split(full, &jid) != ERR_OK || jid_is_bare(&jid)) {
        return NULL;
    }
    struct session *session = MEM_NEW(struct session);
    session->id = id;
    session->full_text = str_to_cstr(full);
    session->full = str_from(session->full_text, full.len);
    session->bare = str_from(session->full_text, jid.bare.len);
    session->token_len = (uint32_t)token.len;
    session->token = str_to_cstr(token);
    session->shard = jid_shard(session->bare, shards);
    return session;
}

struct session *session_create(const Wire__BindReply *reply, unsigned shards)
{
    struct session *session =
            create(wire_id(reply->session), wire_str(reply->full), wire_str(reply->token), shards);
    if (session) {
        session->has_carbons = reply->has_carbons;
    }
    if (session && reply->has_sm) { /* XEP-0386: both counts begin with 0 */
        session->sm = MEM_NEW(struct sm);
        *session->sm = (struct sm){
            .phase = SM_ON,
            .may_resume = reply->resume_id.len > 0,
            .attach = SM_FIRST_ATTACH,
            .session = session,
        };
    }
    return session;
}

struct session *session_create_resumed(const Wire__ResumeReply *reply, unsigned shards)
{
    struct session *session =
            create(wire_id(reply->session), wire_str(reply->full), wire_str(reply->token), shards);
    if (!session) {
        return NULL;
    }
    session->counter = reply->handled;
    session->handled = reply->handled;
    session->is_available = reply->is_available;
    session->priority = reply->priority;
    session->has_carbons = reply->has_carbons;
    session->attach_token_len = (uint32_t)reply->attach_token.len;
    session->attach_token = str_to_cstr(wire_str(reply->attach_token));
    session->is_state_due = reply->is_inactive; /* XEP-0352 §5.2: a resumed stream is active */
    session->sm = MEM_NEW(struct sm);
    *session->sm = (struct sm){
        .phase = SM_ON,
        .may_resume = true,
        .attach = reply->attach,
        .sequence_base = reply->sequence,
        .written = reply->acked,
        .acked = reply->acked,
        .counter_base = reply->counter,
        .session = session,
    };
    return session;
}

bool session_has_sm(const struct session *session)
{
    return session->sm && session->sm->phase == SM_ON;
}

uint32_t session_attach(const struct session *session)
{
    bool is_named = session_has_sm(session) && session->sm->attach != 0;
    return is_named ? session->sm->attach : SM_FIRST_ATTACH;
}

bool session_is_meant(const struct session *session, uint32_t attach)
{
    return attach == 0 || attach == session_attach(session);
}

bool session_may_resume(const struct session *session)
{
    return session_has_sm(session) && session->sm->may_resume;
}

void session_destroy(struct session *session)
{
    if (!session) {
        return;
    }
    ASSERT(session->state == SESSION_NEW || session->state == SESSION_ENDED);
    input_queue_fini(&session->inputs);
    delivered_ring_fini(&session->delivered);
    free(session->full_text);
    free(session->token);
    free(session->attach_token);
    if (session->sm) {
        sm_written_fini(&session->sm->entries);
        free(session->sm);
    }
    free(session);
}

static bool is_in_table(enum session_state state)
{
    return state == SESSION_LIVE || state == SESSION_LINGERING;
}

static void show_counts(const struct session_table *table)
{
    metric_set(&live_sessions, table->count[SESSION_LIVE]);
    metric_set(&lingering_sessions, table->count[SESSION_LINGERING]);
}

void session_set_state(
        struct session_table *table, struct session *session, enum session_state state)
{
    enum session_state old = session->state;
    ASSERT(state > old); /* new -> live -> lingering -> ended, never back; steps may be left out */
    if (is_in_table(old)) {
        DL_DELETE2(table->by_state[old], session, state_prev, state_next);
        table->count[old]--;
    }
    session->state = state;
    if (is_in_table(state)) {
        DL_APPEND2(table->by_state[state], session, state_prev, state_next);
        table->count[state]++;
        if (old == SESSION_NEW) {
            session_table_insert(table, session);
        }
    } else if (is_in_table(old)) {
        table->unhandled_bytes -= session->inputs.bytes;
        session_table_remove(table, session);
    }
    show_counts(table);
}

/* What Announce will say after a takeover: the last presence broadcast (RFC 6121 §4.2, §4.5). */
static void note_presence(struct session *session, const struct stanza *stanza)
{
    if (stanza->kind != STANZA_PRESENCE || !str_is_empty(stanza->to)) {
        return;
    }
    if (stanza->type == STANZA_TYPE_NONE) {
        session->is_available = true;
        session->priority = stanza->priority;
    } else if (stanza->type == STANZA_TYPE_UNAVAILABLE) {
        session->is_available = false;
    }
}

static void pack_input(struct buf *record,
        const struct session *session,
        uint32_t counter,
        const struct stanza *stanza,
        struct str answer_from)
{
    Wire__Id id = WIRE_ID_INIT(session->id);
    Wire__Stanza message = WIRE__STANZA__INIT;
    Wire__Input input = WIRE__INPUT__INIT;
    input.session = &id;
    input.counter = counter;
    input.bare = wire_bytes(session->bare);
    input.attach = session_attach(session);
    input.answer_from = wire_bytes(answer_from);
    if (stanza) {
        wire_stanza_set(&message, stanza);
        input.stanza = &message;
    } else {
        input.is_answered = true;
    }
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_INPUT;
    envelope.input = &input;
    buf_init(record, 0);
    wire_pack(record, &envelope);
}

static void push(struct session_table *table,
        struct session *session,
        const struct stanza *stanza,
        struct str answer_from)
{
    struct buf record;
    pack_input(&record, session, ++session->counter, stanza, answer_from);
    size_t before = session->inputs.bytes;
    input_queue_push(&session->inputs, session->counter, buf_view(&record));
    table->unhandled_bytes += session->inputs.bytes - before;
    buf_fini(&record);
}

void session_push_input(
        struct session_table *table, struct session *session, const struct stanza *stanza)
{
    note_presence(session, stanza);
    push(table, session, stanza, STR_NULL);
}

void session_push_answer(
        struct session_table *table, struct session *session, const struct stanza *answer)
{
    struct stanza stamped = *answer;
    stamped.from = session->full;
    push(table, session, &stamped, answer->from);
}

void session_answered(struct session_table *table, struct session *session, uint32_t counter)
{
    struct buf record;
    pack_input(&record, session, counter, NULL, STR_NULL);
    table->unhandled_bytes -= session->inputs.bytes;
    input_queue_replace(&session->inputs, counter, buf_view(&record));
    table->unhandled_bytes += session->inputs.bytes;
    buf_fini(&record);
}

void session_handled(struct session_table *table, struct session *session, uint32_t counter)
{
    size_t freed = input_queue_handled(&session->inputs, counter);
    table->unhandled_bytes -= freed;
    if (freed > 0) {
        session->handled = counter;
    }
}

bool session_is_window_full(const struct session_table *table,
        const struct session *session,
        const struct session_window *window)
{
    return session->inputs.count >= window->max_stanzas
            || session->inputs.bytes >= window->max_bytes
            || (session->inputs.count > 0 && table->unhandled_bytes >= window->max_total_bytes);
}

/* <r/> and <a/> at the right time. */
#include "edge/sm_acks.h"

#include "chassis/log.h"
#include "edge/downlink.h"
#include "edge/session.h"
#include "edge/sm.h"
#include "edge/stream.h"
#include "proto/xmpp/ns.h"

#define ANSWER_WITHIN_MS 250

static const struct c2s_settings *limits_of(const struct stream *stream)
{
    return stream->edge->settings->c2s;
}

static int64_t now(const struct stream *stream)
{
    return loop_now_ms(stream->edge->loop);
}

/* ---- ours */

/* Many stanzas or many bytes: who sends on when these are acknowledged (a page of a log) does not
 * wait for the quiet behind a few large ones. */
static bool is_much_unacked(const struct stream *stream)
{
    const struct sm *sm = stream->session->sm;
    return sm_unacked(sm) >= (uint32_t)limits_of(stream)->sm_request_every
            || (sm_unacked(sm) > 0
                    && stream_written_total(stream) - sm->asked_total
                            >= (uint64_t)limits_of(stream)->sm_request_bytes);
}

static void ask(struct stream *stream)
{
    struct sm *sm = stream->session->sm;
    sm->asked_total = stream_written_total(stream);
    sm->is_request_open = true;
    sm->request_ms = now(stream);
    stream_write(stream, STR("<r xmlns='" NS_SM "'/>"));
    stream_rearm(stream);
}

/* After some quiet; what is written meanwhile only moves the hour when the timer comes. */
static void ask_later(struct stream *stream)
{
    struct sm *sm = stream->session->sm;
    if (sm->request_ms == 0 && sm_unacked(sm) > 0) {
        sm->request_ms = now(stream) + limits_of(stream)->sm_request_after_ms;
        stream_rearm(stream);
    }
}

void sm_acks_written(struct stream *stream)
{
    struct sm *sm = stream->session->sm;
    sm->written_ms = now(stream);
    if (sm->is_request_open) {
        return;
    }
    if (is_much_unacked(stream)) {
        ask(stream);
    } else {
        ask_later(stream);
    }
}

/* A client that is still busy is not asked again at once: it would be asked for ever. */
void sm_acks_heard(struct stream *stream, bool is_news)
{
    struct sm *sm = stream->session->sm;
    sm->is_request_open = false;
    sm->request_ms = 0;
    if (is_news && is_much_unacked(stream)) {
        ask(stream);
    } else {
        ask_later(stream);
    }
}

/* While we do not read, its answer may lie in our kernel: that time is not the client's (P6, F06).
 */
void sm_acks_read_again(struct stream *stream)
{
    struct sm *sm = stream->session->sm;
    if (sm->is_request_open) {
        sm->request_ms = now(stream);
        stream_rearm(stream);
    }
}

static void check_request(struct stream *stream, int64_t now_ms)
{
    struct sm *sm = stream->session->sm;
    if (sm->is_request_open) {
        if (stream->pauses == 0
                && now_ms - sm->request_ms >= limits_of(stream)->sm_ack_timeout_ms) {
            log_info("sm", "no acknowledgement", log_jid("jid", stream->session->full));
            stream_drop(stream);
        }
        return;
    }
    if (sm->request_ms == 0 || now_ms < sm->request_ms) {
        return;
    }
    int64_t due_ms = sm->written_ms + limits_of(stream)->sm_request_after_ms;
    if (now_ms >= due_ms) {
        ask(stream);
    } else {
        sm->request_ms = due_ms;
    }
}

/* ---- the client's */

static void answer(struct stream *stream)
{
    const struct session *session = stream->session;
    struct buf out;
    buf_init(&out, 0);
    buf_printf(&out,
            "<a xmlns='" NS_SM "' h='%lu'/>",
            (unsigned long)(uint32_t)(session->handled - session->sm->counter_base));
    stream_write(stream, buf_view(&out));
    buf_fini(&out);
}

static bool is_all_handled(const struct session *session)
{
    return (int32_t)(session->handled - session->sm->answer_counter) >= 0;
}

void sm_acks_asked(struct stream *stream)
{
    struct session *session = stream->session;
    struct sm *sm = session->sm;
    if (sm->is_answer_due && sm->answer_ms != 0) {
        answer(stream); /* each request gets its own */
    }
    sm->answer_counter = session->counter;
    sm->is_answer_due = !is_all_handled(session);
    sm->answer_ms = 0;
    if (sm->is_answer_due) {
        sm->answer_ms = now(stream) + ANSWER_WITHIN_MS;
        stream_rearm(stream);
    } else {
        answer(stream);
    }
}

void sm_acks_handled(struct stream *stream)
{
    struct sm *sm = stream->session->sm;
    if (sm->is_answer_due && is_all_handled(stream->session)) {
        sm->is_answer_due = false;
        sm->answer_ms = 0;
        answer(stream);
    }
}

static void check_answer(struct stream *stream, int64_t now_ms)
{
    struct sm *sm = stream->session->sm;
    if (sm->answer_ms != 0 && now_ms >= sm->answer_ms) {
        sm->answer_ms = 0;
        answer(stream); /* and once more with the rest */
    }
}

/* ---- time */

/* The home may have nothing else to send. The time begins when it has been told. */
static void check_gap(struct stream *stream, int64_t now_ms)
{
    struct session *session = stream->session;
    if (session->generation == 0) {
        session->sm->gap_ms = now_ms;
    } else {
        downlink_missing(stream->edge->downlink, session);
    }
}

static int64_t earlier_ms(int64_t a_ms, int64_t b_ms)
{
    return b_ms != 0 && (a_ms == 0 || b_ms < a_ms) ? b_ms : a_ms;
}

int64_t sm_acks_next_due_ms(const struct stream *stream)
{
    const struct sm *sm = stream->session->sm;
    int64_t due_ms = sm->request_ms;
    if (sm->is_request_open) {
        due_ms = stream->pauses ? 0 : due_ms + limits_of(stream)->sm_ack_timeout_ms;
    }
    return earlier_ms(earlier_ms(due_ms, sm->answer_ms), sm_gap_due_ms(sm));
}

void sm_acks_check(struct stream *stream, int64_t now_ms)
{
    const struct sm *sm = stream->session->sm;
    check_answer(stream, now_ms);
    if (sm_gap_due_ms(sm) != 0 && now_ms >= sm_gap_due_ms(sm)) {
        check_gap(stream, now_ms); /* the stream may be over behind it; the rest is due next time */
    } else {
        check_request(stream, now_ms);
    }
}

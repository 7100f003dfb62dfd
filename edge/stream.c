/* The life of a client connection. */
#include "edge/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <utlist.h>

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/metrics.h"
#include "edge/authentication.h"
#include "edge/downlink.h"
#include "edge/feature/features.h"
#include "edge/listeners.h"
#include "edge/negotiation.h"
#include "edge/session_table.h"
#include "edge/sm_acks.h"
#include "edge/stream_features.h"
#include "edge/stream_header.h"
#include "edge/stream_metrics.h"
#include "edge/tls_context.h"
#include "edge/uplink.h"

#define FINISH_TIMEOUT_MS 2000 /* for the last bytes to a client that hardly reads */
#define PROMPT_ANSWER_MS  200  /* of routers: no wait yet */

static const struct transport_handlers transport_handlers;
static const struct xml_reader_handlers reader_handlers;

/* ---- the end */

static void reap(void *context)
{
    struct stream *stream = context;
    ASSERT(!stream->is_feeding);
    xml_reader_destroy(stream->reader);
    free(stream->lang);
    free(stream);
}

static void end_negotiation(struct stream *stream)
{
    struct negotiation *negotiation = stream->negotiation;
    if (!negotiation) {
        return;
    }
    uplink_cancel(stream->edge->uplink, negotiation->request);
    negotiation->request = NULL;
    stream->edge->preauth_count--;
    stream->negotiation = NULL;
    negotiation_destroy(negotiation);
    stream_metrics_preauth(stream->edge->preauth_count);
}

/* Everything but the memory: the caller may be inside a handler of transport or reader. */
static void detach(struct stream *stream)
{
    struct edge *edge = stream->edge;
    stream->state = STREAM_CLOSING;
    stream->transport = NULL;
    timer_stop(&stream->timer);
    end_negotiation(stream);
    if (stream->session) {
        uplink_end_session(edge->uplink, stream->session, stream->is_ended);
        stream->session = NULL;
    }
    listeners_release(edge->listeners, &stream->address);
    DL_DELETE(edge->streams, stream);
    edge->stream_count--;
    loop_defer(edge->loop, LOOP_PHASE_REAP, &stream->reap_task);
}

bool stream_is_over(const struct stream *stream)
{
    return stream->state == STREAM_CLOSING;
}

/* A connection that was reset tells nothing about what arrived: no last report then. */
static void report_delivered(struct stream *stream)
{
    if (stream->session) {
        downlink_session_ends(stream->edge->downlink, stream->session, !stream->is_lost);
    }
}

void stream_drop(struct stream *stream)
{
    if (stream_is_over(stream)) {
        return;
    }
    report_delivered(stream);
    struct transport *transport = stream->transport;
    detach(stream);
    transport_destroy(transport);
}

static void finish(struct stream *stream)
{
    report_delivered(stream);
    struct transport *transport = stream->transport;
    detach(stream);
    transport_finish(transport, FINISH_TIMEOUT_MS);
}

void stream_detach(struct stream *stream)
{
    if (!stream_is_over(stream)) {
        finish(stream);
    }
}

void stream_close(struct stream *stream)
{
    if (stream_is_over(stream)) {
        return;
    }
    if (stream->state == STREAM_TLS_HANDSHAKE) {
        stream_drop(stream); /* no XML outside TLS any more (B06) */
        return;
    }
    if (stream->is_header_sent) {
        stream_write(stream, STR("</stream:stream>"));
    }
    finish(stream);
}

void stream_fail(struct stream *stream, enum stream_condition condition, struct str text)
{
    struct buf error;
    buf_init(&error, 0);
    stream_error_write(&error, condition, text);
    stream_fail_with(stream, condition, buf_view(&error));
    buf_fini(&error);
}

void stream_fail_with(struct stream *stream, enum stream_condition condition, struct str error)
{
    if (stream_is_over(stream)) {
        return;
    }
    stream->is_ended = true;
    stream_metrics_error_out(condition);
    log_info("stream",
            "stream error",
            log_cstr("condition", stream_condition_name(condition)),
            log_cstr("state", stream_state_name(stream->state)));
    if (stream->state == STREAM_TLS_HANDSHAKE) {
        stream_drop(stream);
        return;
    }
    if (!stream->is_header_sent) {
        stream->is_header_sent = true;
        stream_header_write(stream, NULL);
    }
    stream_write(stream, error);
    stream_close(stream);
}

void stream_overflow(struct stream *stream)
{
    /* Nothing would reach it: no error is sent (C22). */
    log_info("stream", "client does not read");
    stream_drop(stream);
}

static void on_end(void *context, enum transport_end end)
{
    struct stream *stream = context;
    stream_metrics_end(end);
    stream->is_lost = end == TRANSPORT_RESET;
    if (end == TRANSPORT_CLOSED) {
        stream_close(stream); /* perhaps half: the answers and our end still reach it (A31) */
    } else {
        stream_drop(stream);
    }
}

void stream_abandon(struct stream *stream)
{
    stream_drop(stream);
}

/* ---- kinds */

bool stream_is_component(const struct stream *stream)
{
    return stream->kind == LISTENER_COMPONENT || stream->kind == LISTENER_COMPONENT_TLS;
}

static bool is_direct_tls(const struct stream *stream)
{
    return stream->kind == LISTENER_C2S_TLS || stream->kind == LISTENER_COMPONENT_TLS;
}

const struct c2s_settings *stream_limits(const struct stream *stream)
{
    const struct settings *settings = stream->edge->settings;
    return stream_is_component(stream) ? settings->component : settings->c2s;
}

/* ---- pausing */

void stream_pause(struct stream *stream, enum stream_pause reason)
{
    if (stream_is_over(stream)) {
        return;
    }
    if (stream->pauses == 0) {
        transport_pause(stream->transport);
    }
    stream->pauses |= (uint8_t)reason;
    if (stream->is_feeding) {
        xml_reader_pause(stream->reader);
    }
}

void stream_resume(struct stream *stream, enum stream_pause reason)
{
    if (stream_is_over(stream) || !(stream->pauses & reason)) {
        return;
    }
    stream->pauses &= (uint8_t) ~(unsigned)reason;
    if (stream->pauses == 0) {
        transport_resume(stream->transport);
        if (stream->session && session_has_sm(stream->session)) {
            sm_acks_read_again(stream);
        }
    }
}

static bool is_window_full(const struct stream *stream)
{
    const struct c2s_settings *c2s = stream_limits(stream);
    const struct session_window window = {
        .max_stanzas = (uint32_t)c2s->max_unhandled_stanzas,
        .max_bytes = (size_t)c2s->max_unhandled_bytes,
        .max_total_bytes = (size_t)c2s->max_unhandled_total_bytes,
    };
    return stream->session->is_stalled || stream->session->is_state_due
            || session_is_window_full(stream->edge->sessions, stream->session, &window);
}

void stream_window_changed(struct stream *stream)
{
    if (!stream->session) {
        return;
    }
    if (is_window_full(stream)) {
        stream_pause(stream, PAUSE_WINDOW);
    } else {
        stream_resume(stream, PAUSE_WINDOW);
    }
}

/* ---- time */

static struct timer_wheel *wheel(const struct stream *stream)
{
    return loop_timers(stream->edge->loop);
}

static void earlier(int64_t *due_ms, int64_t candidate_ms)
{
    if (candidate_ms != 0 && (*due_ms == 0 || candidate_ms < *due_ms)) {
        *due_ms = candidate_ms;
    }
}

static int64_t last_traffic_ms(const struct stream *stream)
{
    return stream->last_in_ms > stream->last_out_ms ? stream->last_in_ms : stream->last_out_ms;
}

static int64_t negotiation_deadline_ms(const struct stream *stream)
{
    return stream->connected_ms + stream_limits(stream)->negotiation_timeout_ms;
}

static int64_t next_due_ms(const struct stream *stream)
{
    const struct c2s_settings *c2s = stream_limits(stream);
    int64_t due_ms = 0;
    if (stream->pauses & PAUSE_RATE) {
        earlier(&due_ms, stream->rate_until_ms);
    }
    if (stream->negotiation) {
        earlier(&due_ms, stream->negotiation->step_deadline_ms);
        earlier(&due_ms, stream->negotiation->wake_ms);
        earlier(&due_ms, negotiation_deadline_ms(stream));
    } else {
        earlier(&due_ms, last_traffic_ms(stream) + c2s->keepalive_interval_ms);
        if (session_has_sm(stream->session)) {
            earlier(&due_ms, sm_acks_next_due_ms(stream));
        }
        if (stream->is_reader_warm) {
            earlier(&due_ms, stream->last_in_ms + c2s->parser_idle_ms);
        }
    }
    return due_ms;
}

static void arm(struct stream *stream)
{
    int64_t delay_ms = next_due_ms(stream) - loop_now_ms(stream->edge->loop);
    timer_start(wheel(stream), &stream->timer, delay_ms > 0 ? delay_ms : 0);
}

/* policy-violation makes libraries stop connecting, so it is for clients that do not go on (A28).
 * One that waits for our routers is to come back: by RFC 6120 §4.9.3 that is internal-server-error,
 * as remote-connection-failed is not to be used for what is within our own domain. */
static void negotiation_took_too_long(struct stream *stream, int64_t now_ms)
{
    const struct negotiation *negotiation = stream->negotiation;
    bool is_asked = negotiation->request || negotiation->previd; /* or will be again */
    if (is_asked && now_ms - stream->last_in_ms > PROMPT_ANSWER_MS) {
        stream_fail(stream, STREAM_ERROR_INTERNAL_SERVER_ERROR, STR("no answer in time"));
    } else {
        stream_fail(stream, STREAM_ERROR_POLICY_VIOLATION, STR("negotiation took too long"));
    }
}

/* A27, B09. */
static void check_deadlines(struct stream *stream, int64_t now_ms)
{
    struct negotiation *negotiation = stream->negotiation;
    if (negotiation->step_deadline_ms != 0 && now_ms >= negotiation->step_deadline_ms) {
        stream_fail(stream, STREAM_ERROR_CONNECTION_TIMEOUT, STR_NULL);
    } else if (now_ms >= negotiation_deadline_ms(stream)) {
        negotiation_took_too_long(stream, now_ms);
    } else if (negotiation->wake_ms != 0 && now_ms >= negotiation->wake_ms) {
        negotiation->wake_ms = 0;
        if (negotiation->previd) {
            sm_resume_again(stream);
        } else {
            authentication_tell_failure(stream);
        }
    }
}

static void check_idle(struct stream *stream, int64_t now_ms)
{
    const struct c2s_settings *c2s = stream_limits(stream);
    if (now_ms - last_traffic_ms(stream) >= c2s->keepalive_interval_ms) {
        /* RFC 6120 §4.6.1; a dead peer shows by TCP_USER_TIMEOUT. */
        stream_write(stream, STR(" "));
    }
    if (stream->is_reader_warm && now_ms - stream->last_in_ms >= c2s->parser_idle_ms) {
        if (xml_reader_is_idle(stream->reader)) {
            xml_reader_release(stream->reader);
        }
        stream->is_reader_warm = false;
    }
}

static void on_timer(struct timer *timer, void *context)
{
    (void)timer;
    struct stream *stream = context;
    int64_t now_ms = loop_now_ms(stream->edge->loop);
    if ((stream->pauses & PAUSE_RATE) && now_ms >= stream->rate_until_ms) {
        stream_resume(stream, PAUSE_RATE);
    }
    if (stream->negotiation) {
        check_deadlines(stream, now_ms);
    } else {
        check_idle(stream, now_ms);
        if (session_has_sm(stream->session)) {
            sm_acks_check(stream, now_ms);
        }
    }
    if (!stream_is_over(stream)) {
        arm(stream);
    }
}

void stream_rearm(struct stream *stream)
{
    if (!stream_is_over(stream)) {
        arm(stream);
    }
}

void stream_wake_in(struct stream *stream, int64_t delay_ms)
{
    stream->negotiation->wake_ms = loop_now_ms(stream->edge->loop) + delay_ms;
    arm(stream);
}

/* ---- states */

void stream_set_state(struct stream *stream, enum stream_state state)
{
    const struct c2s_settings *c2s = stream_limits(stream);
    stream->state = state;
    if (!stream->negotiation) {
        return;
    }
    int64_t now_ms = loop_now_ms(stream->edge->loop);
    stream->negotiation->step_deadline_ms = 0;
    if (state == STREAM_TLS_HANDSHAKE) {
        stream->negotiation->step_deadline_ms = now_ms + c2s->handshake_timeout_ms;
    } else if (stream_state_wants_header(state)) {
        stream->negotiation->step_deadline_ms = now_ms + c2s->header_timeout_ms;
    }
    arm(stream);
}

void stream_restart(struct stream *stream, enum stream_state state)
{
    stream->is_header_sent = false;
    xml_reader_restart(stream->reader);
    stream_set_state(stream, state);
}

static void on_secured(void *context)
{
    struct stream *stream = context;
    stream->is_secured = true;
    stream_restart(stream, STREAM_HEADER_SECURED);
    stream_resume(stream, PAUSE_TLS);
}

void stream_become_session(struct stream *stream, struct session *session)
{
    struct edge *edge = stream->edge;
    end_negotiation(stream);
    stream->session = session;
    session->stream = stream;
    stream_set_state(stream, stream_is_component(stream) ? STREAM_COMPONENT : STREAM_SESSION);
    session_set_state(edge->sessions, session, SESSION_LIVE);
    struct xml_limits limits;
    settings_session_limits(stream_limits(stream), &limits);
    xml_reader_set_limits(stream->reader, &limits);
    stream->is_reader_warm = true;
    arm(stream);
}

/* ---- in */

/* `to` decides; a name in TLS that is another one is only counted (B10). */
static void compare_server_name(const struct stream *stream)
{
    struct transport_info info = { 0 };
    transport_get_info(stream->transport, &info);
    struct str sni = str_from_cstr(info.sni);
    if (!str_is_empty(sni) && !str_equal_nocase(sni, stream->host->domain)) {
        stream_metrics_sni_mismatch();
    }
}

static void on_header(void *context, const struct xml_stream_header *header)
{
    struct stream *stream = context;
    enum stream_condition condition = stream_header_check(stream, header);
    stream->is_header_sent = true;
    stream_header_write(stream, header);
    if (condition != STREAM_ERROR_NONE) {
        stream_fail(stream, condition, STR_NULL);
        return;
    }
    if (stream->state == STREAM_HEADER_SECURED) {
        compare_server_name(stream);
    }
    if (stream_is_component(stream)) {
        stream_set_state(stream, STREAM_HANDSHAKE); /* it knows of no features */
        return;
    }
    stream_set_state(stream, stream_state_after_header(stream->state));
    stream_features_write(stream);
}

static void on_element(void *context, const struct xml_element *element)
{
    struct stream *stream = context;
    enum stream_element kind = stream_element_classify(element->ns, element->name);
    if (kind == ELEMENT_ERROR) {
        stream_metrics_error_in();
    }
    /* Many small ones are as much work as a few large ones (C21). */
    rate_charge(&stream->rate, (size_t)stream_limits(stream)->stanza_cost_bytes);
    stream_states_find(stream->state, kind)(stream, element);
    if (stream_is_over(stream) && stream->is_feeding) {
        xml_reader_pause(stream->reader);
    }
}

static void on_close(void *context)
{
    struct stream *stream = context;
    stream->is_ended = true;
    stream_close(stream);
}

static bool is_white(struct str data)
{
    for (size_t i = 0; i < data.len; i++) {
        char c = data.ptr[i];
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
            return false;
        }
    }
    return true;
}

/* Returns what was consumed. */
static size_t feed(struct stream *stream, struct str data)
{
    size_t taken = 0;
    while (taken < data.len && stream->pauses == 0 && !stream_is_over(stream)) {
        size_t consumed = 0;
        const char *detail = NULL;
        stream->is_feeding = true;
        enum stream_condition condition = xml_reader_feed(
                stream->reader, str_from(data.ptr + taken, data.len - taken), &consumed, &detail);
        stream->is_feeding = false;
        taken += consumed;
        if (condition != STREAM_ERROR_NONE) {
            log_debug("stream", "unacceptable XML", log_cstr("detail", detail));
            stream_fail(stream, condition, STR_NULL);
        } else if (consumed == 0) {
            break;
        }
    }
    /* A line end behind <starttls/> is common and harmless; anything else is not taken (B01). */
    bool is_line_end = (stream->pauses & PAUSE_TLS) != 0
            && is_white(str_from(data.ptr + taken, data.len - taken));
    return is_line_end ? data.len : taken;
}

static struct rate_limit rate_limit_of(const struct stream *stream)
{
    const struct c2s_settings *c2s = stream_limits(stream);
    return (struct rate_limit){
        .bytes_per_second = c2s->bytes_per_second,
        .burst_bytes = c2s->burst_bytes,
    };
}

/* The client is faster than its rate: it waits in its own kernel, and is cut off if it sends
 * nothing but white space (A36) or does not stop (C21). */
static void hold_back(struct stream *stream, struct str data, int64_t now_ms)
{
    struct rate_limit limit = rate_limit_of(stream);
    bool is_white_flood = xml_reader_is_idle(stream->reader) && is_white(data);
    if (is_white_flood
            || rate_flood_ms(&stream->rate, now_ms) > stream_limits(stream)->flood_timeout_ms) {
        stream_fail(stream, STREAM_ERROR_POLICY_VIOLATION, STR("too many bytes"));
        return;
    }
    stream->rate_until_ms = now_ms + rate_wait_ms(&stream->rate, &limit);
    stream_pause(stream, PAUSE_RATE);
    arm(stream);
}

static void note_input(struct stream *stream, int64_t now_ms)
{
    stream->last_in_ms = now_ms;
    if (!stream->is_reader_warm && !stream->negotiation) {
        stream->is_reader_warm = true;
        arm(stream);
    }
}

static size_t on_data(void *context, struct str data)
{
    struct stream *stream = context;
    if (stream_is_over(stream)) {
        return data.len;
    }
    int64_t now_ms = loop_now_ms(stream->edge->loop);
    struct rate_limit limit = rate_limit_of(stream);
    size_t allowed = rate_allowance(&stream->rate, &limit, data.len, now_ms);
    note_input(stream, now_ms);
    size_t taken = feed(stream, str_from(data.ptr, allowed));
    rate_charge(&stream->rate, taken);
    if (!stream_is_over(stream) && allowed < data.len && taken == allowed) {
        hold_back(stream, str_from(data.ptr + taken, data.len - taken), now_ms);
    }
    return stream_is_over(stream) ? data.len : taken;
}

/* ---- out */

void stream_write(struct stream *stream, struct str xml)
{
    if (stream->transport) {
        stream->last_out_ms = loop_now_ms(stream->edge->loop);
        transport_write(stream->transport, xml);
    }
}

uint64_t stream_written_total(const struct stream *stream)
{
    return transport_written_total(stream->transport);
}

uint64_t stream_acknowledged_total(struct stream *stream)
{
    return transport_acknowledged_total(stream->transport);
}

/* ---- the beginning */

static const struct transport_handlers transport_handlers = {
    .on_data = on_data,
    .on_secured = on_secured,
    .on_end = on_end,
};

static const struct xml_reader_handlers reader_handlers = {
    .on_header = on_header,
    .on_element = on_element,
    .on_close = on_close,
};

static void set_user_timeout(int fd, int64_t timeout_ms)
{
    unsigned value = (unsigned)timeout_ms;
    /* Fails only on what is no TCP socket. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, sizeof(value));
}

static void open_transport(struct stream *stream, int fd)
{
    struct edge *edge = stream->edge;
    const struct transport_options options = {
        .max_write_bytes = (size_t)stream_limits(stream)->max_write_bytes,
        .read_bytes_per_turn = (size_t)stream_limits(stream)->read_bytes_per_turn,
    };
    set_user_timeout(fd, stream_limits(stream)->user_timeout_ms);
    stream->transport = transport_create(edge->loop,
            fd,
            is_direct_tls(stream) ? edge->tls : NULL,
            &options,
            &transport_handlers,
            stream);
}

void stream_open(
        struct edge *edge, int fd, const struct peer_address *address, enum listener_kind kind)
{
    struct xml_limits limits;
    settings_preauth_limits(edge->settings, &limits);
    struct stream *stream = MEM_NEW(struct stream);
    stream->edge = edge;
    stream->address = *address;
    stream->kind = kind;
    stream->connected_ms = loop_now_ms(edge->loop);
    stream->connected_wall_us = loop_wall_us(edge->loop);
    stream->last_in_ms = stream->connected_ms;
    stream->last_out_ms = stream->connected_ms;
    stream->reap_task = (struct loop_task){ .run = reap, .context = stream };
    stream->negotiation = negotiation_create();
    stream->reader = xml_reader_create(&limits, &reader_handlers, stream);
    timer_init(&stream->timer, on_timer, stream);
    struct rate_limit limit = rate_limit_of(stream);
    rate_init(&stream->rate, &limit, stream->connected_ms);
    DL_APPEND(edge->streams, stream);
    edge->stream_count++;
    edge->preauth_count++;
    stream_metrics_preauth(edge->preauth_count);
    open_transport(stream, fd);
    stream_set_state(stream, is_direct_tls(stream) ? STREAM_TLS_HANDSHAKE : STREAM_HEADER_PLAIN);
}

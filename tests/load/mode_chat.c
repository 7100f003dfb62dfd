/* Messages from the first to the second of each pair, and nothing back.
 *
 * chat (closed loop): each sender keeps --window messages under way; one that arrived makes room
 * for the next. Says what a server can carry and what a message costs.
 *
 * rate (open loop): a message has its time, whether the server keeps up or not, and its latency
 * counts from that time, not from when we came to send it (no coordinated omission). */
#include <stdlib.h>

#include "chassis/base/mem.h"
#include "tests/load/message_id.h"
#include "tests/load/modes.h"
#include "tests/load/tracker.h"
#include "tests/load/window.h"

struct pair {
    struct client *sender;
    struct client *receiver;
    struct tracker tracker;
    char *to; /* the receiver's bare JID */
};

struct chat_run {
    const struct settings *settings;
    struct fleet fleet;
    struct pair *pairs;
    char *body;
    uint32_t run_id;
    bool is_sending;
    uint64_t budget; /* messages that may still be sent */
    uint64_t sent, arrived, strangers, errors, arrivals;
    int64_t measured_from_us, measured_to_us; /* intended times whose latency counts */
    struct histogram latency_us;
    struct histogram lag_us; /* rate: how much later than intended we sent */
};

static void send_message(struct chat_run *run, struct pair *pair, int64_t intended_us)
{
    if (pair->sender->state != CLIENT_READY || run->budget == 0) {
        return;
    }
    struct message_id id = {
        .run = run->run_id,
        .stream = (uint32_t)(pair - run->pairs),
        .number = tracker_send(&pair->tracker),
        .time_us = (uint64_t)intended_us,
    };
    char text[MESSAGE_ID_MAX_BYTES];
    struct buf *out = client_begin_stanza(pair->sender);
    buf_append_literal(out, "<message type='chat' to='");
    buf_append_str(out, str_from_cstr(pair->to));
    buf_append_literal(out, "' id='");
    buf_append(out, text, message_id_format(&id, text));
    buf_append_literal(out, "'><body>");
    buf_append(out, run->body, run->settings->body_bytes);
    buf_append_literal(out, "</body></message>");
    client_end_stanza(pair->sender);
    run->sent++;
    run->budget--;
}

static void take_message(struct chat_run *run, struct client *client, const struct message_id *id)
{
    struct pair *pair = client->mode_data;
    run->arrivals++;
    if (run->settings->self_test_drop > 0 && run->arrivals % run->settings->self_test_drop == 0) {
        return;
    }
    enum track track = tracker_receive(&pair->tracker, id->number);
    if (track != TRACK_EXPECTED && track != TRACK_DISORDERED) {
        return;
    }
    int64_t now = now_us();
    int64_t intended = (int64_t)id->time_us;
    run->arrived++;
    if (intended >= run->measured_from_us && intended < run->measured_to_us) {
        histogram_add(&run->latency_us, (uint64_t)(now - intended));
    }
    if (run->is_sending && run->settings->mode == MODE_CHAT) {
        send_message(run, pair, now);
    }
}

static void on_stanza(struct client *client, struct str stanza)
{
    struct chat_run *run = client->fleet->mode_data;
    struct message_id id;
    if (!scan_is_named(stanza, STR("message"))) {
        return;
    }
    struct pair *pair = client->mode_data;
    bool is_error = str_equal(scan_attribute(stanza, STR("type")), STR("error"));
    bool is_ours = message_id_parse(scan_attribute(stanza, STR("id")), &id) && id.run == run->run_id
            && id.stream == (uint32_t)(pair - run->pairs);
    if (is_error) {
        run->errors++;
    } else if (is_ours && client == pair->receiver) {
        take_message(run, client, &id);
    } else {
        run->strangers++;
    }
}

/* ---------------------------------------------------------------- the two loops */

static void run_closed_until(struct chat_run *run, int64_t until_us)
{
    fleet_run_until(&run->fleet, until_us);
}

static void fill_windows(struct chat_run *run)
{
    run->is_sending = true;
    int64_t now = now_us();
    for (unsigned i = 0; i < run->settings->pairs; i++) {
        for (unsigned k = 0; k < run->settings->window; k++) {
            send_message(run, &run->pairs[i], now);
        }
    }
}

/* Sends what is due until `until_us`; `*next` counts messages since `origin_us`. */
static void run_open_until(
        struct chat_run *run, int64_t origin_us, uint64_t *next, int64_t until_us)
{
    double gap_us = 1e6 / run->settings->rate;
    for (;;) {
        int64_t now = now_us();
        int64_t due = origin_us + (int64_t)((double)*next * gap_us);
        while (due <= now && due < until_us) {
            send_message(run, &run->pairs[*next % run->settings->pairs], due);
            histogram_add(&run->lag_us, (uint64_t)(now - due));
            (*next)++;
            due = origin_us + (int64_t)((double)*next * gap_us);
        }
        if (now >= until_us) {
            return;
        }
        fleet_turn(&run->fleet, due < until_us ? due : until_us);
    }
}

static uint64_t missing(const struct chat_run *run)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < run->settings->pairs; i++) {
        sum += tracker_missing(&run->pairs[i].tracker);
    }
    return sum;
}

/* Until everything has arrived, --drain at most. */
static void drain(struct chat_run *run)
{
    int64_t limit = now_us() + (int64_t)(run->settings->drain_s * 1e6);
    run->is_sending = false;
    while (missing(run) > 0 && now_us() < limit) {
        fleet_turn(&run->fleet, now_us() + 10 * 1000);
    }
}

/* --messages: exactly so many, the window lasts until they have arrived. */
static double measure_messages(struct chat_run *run, struct window *window, json_t *result)
{
    int64_t limit = now_us() + (int64_t)((run->settings->seconds + run->settings->drain_s) * 1e6);
    window_open(window, run->settings, false);
    run->measured_from_us = window->began_us;
    run->measured_to_us = INT64_MAX;
    run->budget = run->settings->messages;
    fill_windows(run);
    while ((run->budget > 0 || missing(run) > 0) && now_us() < limit) {
        fleet_turn(&run->fleet, now_us() + 10 * 1000);
    }
    return window_close(window, result, "message", run->arrived);
}

static double measure_time(struct chat_run *run, struct window *window, json_t *result)
{
    const struct settings *settings = run->settings;
    bool is_open = settings->mode == MODE_RATE;
    int64_t origin = now_us();
    int64_t begin = origin + (int64_t)(settings->warmup_s * 1e6);
    int64_t end = begin + (int64_t)(settings->seconds * 1e6);
    uint64_t next = 0;
    run->budget = UINT64_MAX;
    run->measured_from_us = begin;
    run->measured_to_us = end;
    if (is_open) {
        run_open_until(run, origin, &next, begin);
        run->lag_us = (struct histogram){ .total = 0 };
    } else {
        fill_windows(run);
        run_closed_until(run, begin);
    }
    uint64_t arrived = run->arrived;
    uint64_t sent = run->sent;
    window_open(window, settings, false);
    is_open ? run_open_until(run, origin, &next, end) : run_closed_until(run, end);
    uint64_t in_window = run->arrived - arrived;
    double elapsed_s = window_close(window, result, "message", in_window);
    json_object_set_new(result, "messages", json_integer((json_int_t)in_window));
    json_object_set_new(result, "sent_in_window", json_integer((json_int_t)(run->sent - sent)));
    json_object_set_new(result, "messages_per_s", json_real((double)in_window / elapsed_s));
    return elapsed_s;
}

/* ---------------------------------------------------------------- begin and end */

static void make_pairs(struct chat_run *run)
{
    const struct settings *settings = run->settings;
    run->pairs = mem_calloc(settings->pairs, sizeof(*run->pairs));
    run->body = mem_alloc(settings->body_bytes + 1);
    memset(run->body, 'x', settings->body_bytes);
    for (unsigned i = 0; i < settings->pairs; i++) {
        struct pair *pair = &run->pairs[i];
        struct buf to;
        pair->sender = &run->fleet.clients[2 * i];
        pair->receiver = &run->fleet.clients[2 * i + 1];
        pair->sender->mode_data = pair->receiver->mode_data = pair;
        buf_init(&to, 0);
        buf_printf(&to,
                "%s%u@%s",
                settings->user_prefix,
                client_number(pair->receiver),
                settings->host);
        pair->to = str_to_cstr(buf_view(&to));
        buf_fini(&to);
    }
}

static void free_pairs(struct chat_run *run)
{
    for (unsigned i = 0; i < run->settings->pairs; i++) {
        tracker_fini(&run->pairs[i].tracker);
        free(run->pairs[i].to);
    }
    free(run->pairs);
    free(run->body);
}

static void describe(struct chat_run *run, json_t *result)
{
    uint64_t lost = 0;
    uint64_t disordered = 0;
    uint64_t duplicates = 0;
    uint64_t unacked = 0;
    for (unsigned i = 0; i < run->settings->pairs; i++) {
        const struct tracker *tracker = &run->pairs[i].tracker;
        lost += tracker_missing(tracker);
        disordered += tracker->disordered;
        duplicates += tracker->duplicates;
        run->strangers += tracker->strange;
        unacked += run->pairs[i].sender->sent - run->pairs[i].sender->acked;
    }
    json_object_set_new(result, "sent", json_integer((json_int_t)run->sent));
    json_object_set_new(result, "arrived", json_integer((json_int_t)run->arrived));
    json_object_set_new(result, "lost", json_integer((json_int_t)lost));
    json_object_set_new(result, "duplicates", json_integer((json_int_t)duplicates));
    json_object_set_new(result, "disordered", json_integer((json_int_t)disordered));
    json_object_set_new(result, "errors", json_integer((json_int_t)run->errors));
    json_object_set_new(result, "strangers", json_integer((json_int_t)run->strangers));
    json_object_set_new(result, "unacked_at_end", json_integer((json_int_t)unacked));
    window_add_latency(result, "latency_ms", &run->latency_us);
    if (run->settings->mode == MODE_RATE) {
        window_add_latency(result, "own_lag_ms", &run->lag_us);
    }
    mode_finish(result,
            &run->fleet,
            lost == 0 && duplicates == 0 && disordered == 0 && run->errors == 0
                    && run->arrived > 0);
}

json_t *mode_chat_run(const struct settings *settings)
{
    static struct chat_run run;
    struct window window;
    json_t *result = json_object();
    run = (struct chat_run){ .settings = settings, .run_id = (uint32_t)random_u64() };
    fleet_init(&run.fleet, settings, 2 * settings->pairs, 2 * settings->pairs);
    run.fleet.events = (struct fleet_events){ .on_stanza = on_stanza };
    run.fleet.mode_data = &run;
    make_pairs(&run);
    fleet_log_in(&run.fleet, 0, run.fleet.count);
    fleet_run_until(&run.fleet, now_us() + (int64_t)(settings->settle_s * 1e6));
    mode_tell_ready(settings);
    if (settings->messages > 0) {
        double elapsed_s = measure_messages(&run, &window, result);
        json_object_set_new(result, "messages_per_s", json_real((double)run.arrived / elapsed_s));
    } else {
        measure_time(&run, &window, result);
    }
    drain(&run);
    describe(&run, result);
    fleet_stop_all(&run.fleet);
    free_pairs(&run);
    fleet_fini(&run.fleet);
    return result;
}

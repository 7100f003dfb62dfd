/* See fanout.h. */
#include "tests/load/fanout.h"

#include <stdlib.h>

#include "chassis/base/mem.h"
#include "tests/load/modes.h"
#include "tests/load/window.h"

void fanout_init(struct fanout *fanout,
        const struct settings *settings,
        unsigned sources,
        unsigned receivers)
{
    fanout->settings = settings;
    fanout->source_count = sources;
    fanout->receivers = receivers;
    fanout->run_id = (uint32_t)random_u64();
    fanout->sources = mem_calloc(sources, sizeof(*fanout->sources));
    for (unsigned i = 0; i < sources; i++) {
        fanout->sources[i].trackers = mem_calloc(receivers, sizeof(struct tracker));
    }
}

void fanout_fini(struct fanout *fanout)
{
    for (unsigned i = 0; i < fanout->source_count; i++) {
        for (unsigned k = 0; k < fanout->receivers; k++) {
            tracker_fini(&fanout->sources[i].trackers[k]);
        }
        free(fanout->sources[i].trackers);
    }
    free(fanout->sources);
}

static void send_rounds(struct fanout *fanout, unsigned index)
{
    struct fanout_source *source = &fanout->sources[index];
    uint64_t room = (uint64_t)fanout->settings->window * fanout->receivers;
    while (fanout->is_sending && source->sender->state == CLIENT_READY
            && (source->rounds + 1) * fanout->receivers - source->arrivals <= room) {
        char text[MESSAGE_ID_MAX_BYTES];
        struct message_id id = {
            .run = fanout->run_id,
            .stream = index,
            .number = ++source->rounds,
            .time_us = (uint64_t)now_us(),
        };
        for (unsigned k = 0; k < fanout->receivers; k++) {
            tracker_send(&source->trackers[k]);
        }
        fanout->send(fanout, index, str_from(text, message_id_format(&id, text)));
    }
}

void fanout_take(struct fanout *fanout, struct str id, unsigned receiver)
{
    struct message_id parsed;
    if (!message_id_parse(id, &parsed) || parsed.run != fanout->run_id
            || parsed.stream >= fanout->source_count || receiver >= fanout->receivers) {
        return;
    }
    fanout->seen++;
    uint64_t drop = fanout->settings->self_test_drop;
    if (drop > 0 && fanout->seen % drop == 0) {
        return;
    }
    struct fanout_source *source = &fanout->sources[parsed.stream];
    enum track track = tracker_receive(&source->trackers[receiver], parsed.number);
    if (track != TRACK_EXPECTED && track != TRACK_DISORDERED) {
        return;
    }
    fanout->arrived++;
    source->arrivals++;
    if ((int64_t)parsed.time_us >= fanout->measured_from_us) {
        histogram_add(&fanout->latency_us, (uint64_t)(now_us() - (int64_t)parsed.time_us));
    }
    send_rounds(fanout, parsed.stream);
}

static uint64_t missing(const struct fanout *fanout)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < fanout->source_count; i++) {
        sum += fanout->sources[i].rounds * fanout->receivers - fanout->sources[i].arrivals;
    }
    return sum;
}

static void describe(struct fanout *fanout, json_t *result)
{
    uint64_t rounds = 0;
    uint64_t disordered = 0;
    uint64_t duplicates = 0;
    for (unsigned i = 0; i < fanout->source_count; i++) {
        rounds += fanout->sources[i].rounds;
        for (unsigned k = 0; k < fanout->receivers; k++) {
            disordered += fanout->sources[i].trackers[k].disordered;
            duplicates += fanout->sources[i].trackers[k].duplicates;
        }
    }
    json_object_set_new(result, "rounds", json_integer((json_int_t)rounds));
    json_object_set_new(result, "arrived", json_integer((json_int_t)fanout->arrived));
    json_object_set_new(result, "lost", json_integer((json_int_t)missing(fanout)));
    json_object_set_new(result, "duplicates", json_integer((json_int_t)duplicates));
    json_object_set_new(result, "disordered", json_integer((json_int_t)disordered));
    json_object_set_new(result, "errors", json_integer((json_int_t)fanout->errors));
    window_add_latency(result, "latency_ms", &fanout->latency_us);
    mode_finish(result,
            &fanout->fleet,
            missing(fanout) == 0 && duplicates == 0 && disordered == 0 && fanout->errors == 0
                    && fanout->arrived > 0);
}

void fanout_measure(struct fanout *fanout, json_t *result)
{
    const struct settings *settings = fanout->settings;
    struct window window;
    fanout->is_sending = true;
    fanout->measured_from_us = INT64_MAX;
    for (unsigned i = 0; i < fanout->source_count; i++) {
        send_rounds(fanout, i);
    }
    fleet_run_until(&fanout->fleet, now_us() + (int64_t)(settings->warmup_s * 1e6));
    uint64_t arrived = fanout->arrived;
    window_open(&window, settings, false);
    fanout->measured_from_us = window.began_us;
    fleet_run_until(&fanout->fleet, now_us() + (int64_t)(settings->seconds * 1e6));
    uint64_t in_window = fanout->arrived - arrived;
    double elapsed_s = window_close(&window, result, "delivery", in_window);
    json_object_set_new(result, "deliveries", json_integer((json_int_t)in_window));
    json_object_set_new(result, "deliveries_per_s", json_real((double)in_window / elapsed_s));
    fanout->is_sending = false;
    int64_t limit = now_us() + (int64_t)(settings->drain_s * 1e6);
    while (missing(fanout) > 0 && now_us() < limit) {
        fleet_turn(&fanout->fleet, now_us() + 10 * 1000);
    }
    describe(fanout, result);
}

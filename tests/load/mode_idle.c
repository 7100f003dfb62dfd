/* Connections that stay and do nothing: what each costs in memory, and what all of them cost in
 * processor time. */
#include "tests/load/modes.h"
#include "tests/load/window.h"

static void release_buffers(struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->count; i++) {
        buf_shrink(&fleet->clients[i].out);
    }
}

static void add_memory_each(const struct settings *settings, json_t *result, unsigned connections)
{
    const char *name;
    json_t *watch;
    json_t *watches = json_object_get(result, "watch");
    (void)settings;
    json_object_foreach(watches, name, watch)
    {
        json_int_t before = json_integer_value(json_object_get(watch, "pss_kib_before"));
        json_int_t after = json_integer_value(json_object_get(watch, "pss_kib"));
        double each = (double)(after - before) / (double)connections;
        json_object_set_new(watch, "pss_kib_per_connection", json_real(each));
    }
}

json_t *mode_idle_run(const struct settings *settings)
{
    struct fleet fleet;
    struct window ramp;
    struct window hold;
    json_t *result = json_object();
    json_t *holding = json_object();
    fleet_init(&fleet, settings, settings->count, settings->count);
    window_open(&ramp, settings, true);
    fleet_log_in(&fleet, 0, settings->count);
    double ramp_s = (double)(now_us() - ramp.began_us) / 1e6;
    unsigned connections = fleet.ready;
    mode_tell_ready(settings);
    release_buffers(&fleet);
    fleet_run_until(&fleet, now_us() + (int64_t)(settings->settle_s * 1e6));
    window_open(&hold, settings, false);
    fleet_run_until(&fleet, now_us() + (int64_t)(settings->seconds * 1e6));
    window_close(&hold, holding, NULL, 0);
    window_close(&ramp, result, "connection", connections);
    add_memory_each(settings, result, connections > 0 ? connections : 1);
    json_object_set_new(result, "connections", json_integer((json_int_t)connections));
    json_object_set_new(result, "still_connected", json_integer((json_int_t)fleet.ready));
    json_object_set_new(result, "ramp_s", json_real(ramp_s));
    json_object_set_new(result, "holding", holding);
    mode_finish(result, &fleet, fleet.ready == settings->count);
    fleet_stop_all(&fleet);
    fleet_fini(&fleet);
    return result;
}

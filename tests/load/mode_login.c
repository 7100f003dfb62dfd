/* Logins one after another on each of --concurrency connections: TCP, TLS, SASL, binding, stream
 * management, presence, and the end of the stream. Each account logs in once before the window
 * opens, so that nobody's PBKDF2 (ours is cached from then on) and no cold cache is measured. */
#include <stdlib.h>

#include "chassis/base/mem.h"
#include "tests/load/modes.h"
#include "tests/load/window.h"

/* How many connections may still be closing for each that logs in: a server that takes its time to
 * close must not hold up logins. */
enum {
    SLOTS_EACH = 16
};

struct login_run {
    uint64_t begun, wanted, done;
    struct client **free; /* slots without connection */
    unsigned free_count;
    struct histogram times_us;
};

static void begin_logins(struct fleet *fleet)
{
    struct login_run *run = fleet->mode_data;
    while (run->begun < run->wanted && run->free_count > 0
            && fleet->logging_in < fleet->settings->concurrency) {
        struct client *client = run->free[--run->free_count];
        client->user = (unsigned)(run->begun++ % fleet->account_count);
        client_start(client);
    }
}

static void on_ready(struct client *client)
{
    struct login_run *run = client->fleet->mode_data;
    run->done++;
    histogram_add(&run->times_us, (uint64_t)(now_us() - client->started_us));
    client_stop(client);
}

static void on_gone(struct client *client, bool is_failure)
{
    struct login_run *run = client->fleet->mode_data;
    (void)is_failure;
    run->free[run->free_count++] = client;
}

/* Returns the seconds from the first login begun to the last one done; the last streams are ended
 * then, too. */
static double log_in_and_out(struct fleet *fleet, uint64_t logins)
{
    struct login_run *run = fleet->mode_data;
    run->begun = run->done = 0;
    run->wanted = logins;
    run->times_us = (struct histogram){ .total = 0 };
    int64_t began = now_us();
    int64_t ended = began;
    while (run->begun < run->wanted || run->free_count < fleet->count) {
        begin_logins(fleet);
        fleet_turn(fleet, now_us() + 100 * 1000);
        if (run->begun < run->wanted || fleet->logging_in > 0) {
            ended = now_us();
        }
    }
    return (double)(ended - began) / 1e6;
}

json_t *mode_login_run(const struct settings *settings)
{
    static struct login_run run;
    struct fleet fleet;
    struct window window;
    json_t *result = json_object();
    fleet_init(&fleet, settings, settings->concurrency * SLOTS_EACH, settings->users);
    run = (struct login_run){ .free = mem_calloc(fleet.count, sizeof(struct client *)) };
    for (unsigned i = 0; i < fleet.count; i++) {
        run.free[run.free_count++] = &fleet.clients[i];
    }
    fleet.events = (struct fleet_events){ .on_ready = on_ready, .on_gone = on_gone };
    fleet.mode_data = &run;
    log_in_and_out(&fleet, settings->users);
    fleet.resumed = 0;
    mode_tell_ready(settings);

    window_open(&window, settings, false);
    double busy_s = log_in_and_out(&fleet, settings->count);
    fleet_run_until(&fleet,
            now_us() + (int64_t)(settings->settle_s * 1e6)); /* what servers do behind a logout */
    window_close(&window, result, "login", run.done);
    json_object_set_new(result, "logins", json_integer((json_int_t)run.done));
    json_object_set_new(result, "logins_per_s", json_real((double)run.done / busy_s));
    json_object_set_new(result, "busy_s", json_real(busy_s));
    json_object_set_new(result, "tls_resumed", json_integer((json_int_t)fleet.resumed));
    window_add_latency(result, "login_ms", &run.times_us);
    mode_finish(result, &fleet, run.done == settings->count);
    fleet.events = (struct fleet_events){ NULL, NULL, NULL };
    fleet_stop_all(&fleet);
    fleet_fini(&fleet);
    free(run.free);
    return result;
}

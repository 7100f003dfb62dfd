/* Logins one after another on each of --concurrency connections: TCP, TLS, SASL, binding, stream
 * management, presence, and the end of the stream. Each account logs in once before the window
 * opens, so that nobody's PBKDF2 (ours is cached from then on) and no cold cache is measured. */
#include "tests/load/modes.h"
#include "tests/load/window.h"

struct login_run {
    uint64_t begun, wanted, done;
    struct histogram times_us;
};

static void begin_next(struct client *client)
{
    struct login_run *run = client->fleet->mode_data;
    if (run->begun == run->wanted) {
        return;
    }
    client->user = (unsigned)(run->begun++ % client->fleet->account_count);
    client_start(client);
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
    (void)is_failure;
    begin_next(client);
}

static bool is_anybody_there(const struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->count; i++) {
        if (fleet->clients[i].state != CLIENT_ABSENT) {
            return true;
        }
    }
    return false;
}

static void log_in_and_out(struct fleet *fleet, struct login_run *run, uint64_t logins)
{
    *run = (struct login_run){ .wanted = logins };
    for (unsigned i = 0; i < fleet->count; i++) {
        begin_next(&fleet->clients[i]);
    }
    while (is_anybody_there(fleet)) {
        fleet_turn(fleet, now_us() + 100 * 1000);
    }
}

json_t *mode_login_run(const struct settings *settings)
{
    static struct login_run run;
    struct fleet fleet;
    struct window window;
    json_t *result = json_object();
    fleet_init(&fleet, settings, settings->concurrency, settings->users);
    fleet.events = (struct fleet_events){ .on_ready = on_ready, .on_gone = on_gone };
    fleet.mode_data = &run;
    log_in_and_out(&fleet, &run, settings->users);
    fleet.resumed = 0;
    mode_tell_ready(settings);

    window_open(&window, settings, false);
    log_in_and_out(&fleet, &run, settings->count);
    double busy_s = (double)(now_us() - window.began_us) / 1e6;
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
    return result;
}

/* --rooms rooms (XEP-0045) with --fan-out occupants each; the first speaks, everybody hears it, the
 * speaker too. */
#include "tests/load/fanout.h"
#include "tests/load/modes.h"

enum {
    JOIN_LIMIT_US = 20 * 1000 * 1000
};

struct muc_run {
    struct fanout fanout;
    unsigned joined, configured, refused;
};

static unsigned room_of(const struct client *client)
{
    return client->index / client->fleet->settings->fan_out;
}

static void append_room(struct buf *out, const struct client *client)
{
    const struct muc_run *run = client->fleet->mode_data;
    const struct settings *settings = client->fleet->settings;
    buf_printf(out, "load-%u-%u@", run->fanout.run_id, room_of(client));
    if (settings->room_service) {
        buf_printf(out, "%s", settings->room_service);
    } else {
        buf_printf(out, "conference.%s", settings->host);
    }
}

static void join(struct client *client)
{
    struct buf *out = client_begin_stanza(client);
    buf_append_literal(out, "<presence to='");
    append_room(out, client);
    buf_printf(out,
            "/n%u'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>",
            client->index);
    client_end_stanza(client);
}

/* A new room is locked until its owner accepts a configuration (XEP-0045 §10.1.2). */
static void accept_configuration(struct client *owner)
{
    struct buf *out = client_begin_stanza(owner);
    buf_append_literal(out, "<iq type='set' id='unlock' to='");
    append_room(out, owner);
    buf_append_literal(out,
            "'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>");
    client_end_stanza(owner);
}

static void send_round(struct fanout *fanout, unsigned source, struct str id)
{
    struct client *sender = fanout->sources[source].sender;
    struct buf *out = client_begin_stanza(sender);
    buf_append_literal(out, "<message type='groupchat' to='");
    append_room(out, sender);
    buf_printf(out, "' id='" STR_FMT "'><body>", STR_ARG(id));
    char *body = buf_reserve(out, fanout->settings->body_bytes);
    memset(body, 'x', fanout->settings->body_bytes);
    buf_commit(out, fanout->settings->body_bytes);
    buf_append_literal(out, "</body></message>");
    client_end_stanza(sender);
}

static bool is_own_join(struct str presence)
{
    return scan_contains(presence, STR("code='110'"))
            || scan_contains(presence, STR("code=\"110\""));
}

static void on_stanza(struct client *client, struct str stanza)
{
    struct muc_run *run = client->fleet->mode_data;
    bool is_error = str_equal(scan_attribute(stanza, STR("type")), STR("error"));
    if (scan_is_named(stanza, STR("presence"))) {
        run->refused += is_error;
        run->joined += !is_error && is_own_join(stanza);
    } else if (scan_is_named(stanza, STR("iq"))) {
        run->configured += str_equal(scan_attribute(stanza, STR("id")), STR("unlock"));
    } else if (is_error) {
        run->fanout.errors++;
    } else {
        fanout_take(&run->fanout,
                scan_attribute(stanza, STR("id")),
                client->index % client->fleet->settings->fan_out);
    }
}

static void wait_for(struct muc_run *run, const unsigned *count, unsigned wanted)
{
    int64_t limit = now_us() + JOIN_LIMIT_US;
    while (*count < wanted && run->refused == 0 && now_us() < limit) {
        fleet_turn(&run->fanout.fleet, now_us() + 50 * 1000);
    }
}

/* Owners first, since they make the rooms. False: the server has no rooms for us. */
static bool enter_rooms(struct muc_run *run)
{
    struct fleet *fleet = &run->fanout.fleet;
    const struct settings *settings = fleet->settings;
    for (unsigned i = 0; i < settings->rooms; i++) {
        join(&fleet->clients[i * settings->fan_out]);
    }
    wait_for(run, &run->joined, settings->rooms);
    for (unsigned i = 0; i < settings->rooms && run->refused == 0; i++) {
        accept_configuration(&fleet->clients[i * settings->fan_out]);
    }
    wait_for(run, &run->configured, settings->rooms);
    for (unsigned i = 0; i < fleet->count && run->refused == 0; i++) {
        if (i % settings->fan_out != 0) {
            join(&fleet->clients[i]);
        }
    }
    wait_for(run, &run->joined, fleet->count);
    return run->joined == fleet->count;
}

json_t *mode_muc_run(const struct settings *settings)
{
    static struct muc_run run;
    json_t *result = NULL;
    unsigned clients = settings->rooms * settings->fan_out;
    fanout_init(&run.fanout, settings, settings->rooms, settings->fan_out);
    run.fanout.send = send_round;
    fleet_init(&run.fanout.fleet, settings, clients, clients);
    run.fanout.fleet.mode_data = &run;
    run.fanout.fleet.events = (struct fleet_events){ .on_stanza = on_stanza };
    for (unsigned i = 0; i < settings->rooms; i++) {
        run.fanout.sources[i].sender = &run.fanout.fleet.clients[i * settings->fan_out];
    }
    fleet_log_in(&run.fanout.fleet, 0, clients);
    if (enter_rooms(&run)) {
        fleet_run_until(&run.fanout.fleet, now_us() + (int64_t)(settings->settle_s * 1e6));
        mode_tell_ready(settings);
        result = json_object();
        fanout_measure(&run.fanout, result);
    } else {
        fprintf(stderr,
                "starling-load: %u of %u occupants came into their rooms, %u were refused: no rooms here?\n",
                run.joined,
                clients,
                run.refused);
    }
    fleet_stop_all(&run.fanout.fleet);
    fleet_fini(&run.fanout.fleet);
    fanout_fini(&run.fanout);
    return result;
}

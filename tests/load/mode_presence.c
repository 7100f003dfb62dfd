/* --pairs clients, each with the --fan-out next ones as contacts (around the ring): one presence of
 * a client is seen by each of its contacts. Directed (RFC 6121 §4.6): the client sends each its
 * own. Subscribed (§3, §4.4): contacts subscribe first, then the client broadcasts and the server
 * does the rest. */
#include "tests/load/fanout.h"
#include "tests/load/modes.h"

enum {
    SUBSCRIBE_LIMIT_US = 20 * 1000 * 1000
};

static uint64_t subscribed; /* answers that came */

static unsigned contact_of(const struct fanout *fanout, unsigned client, unsigned k)
{
    return (client + 1 + k) % fanout->fleet.count;
}

static void append_jid(struct buf *out, const struct client *client)
{
    const struct settings *settings = client->fleet->settings;
    buf_printf(out, "%s%u@%s", settings->user_prefix, client_number(client), settings->host);
}

static void send_presence(struct client *from, const struct client *to, const char *type)
{
    struct buf *out = client_begin_stanza(from);
    buf_append_literal(out, "<presence to='");
    append_jid(out, to);
    buf_printf(out, "' type='%s'/>", type);
    client_end_stanza(from);
}

static void send_round(struct fanout *fanout, unsigned source, struct str id)
{
    struct client *sender = fanout->sources[source].sender;
    bool is_directed = !fanout->settings->is_subscribed;
    for (unsigned k = 0; k < (is_directed ? fanout->receivers : 1); k++) {
        struct buf *out = client_begin_stanza(sender);
        buf_append_literal(out, "<presence");
        if (is_directed) {
            buf_append_literal(out, " to='");
            append_jid(out, &fanout->fleet.clients[contact_of(fanout, source, k)]);
            buf_append_char(out, '\'');
        }
        buf_printf(out, "><status>" STR_FMT "</status></presence>", STR_ARG(id));
        client_end_stanza(sender);
    }
}

/* "PREFIX12@host/...": 12; accounts are numbered. */
static bool number_of_sender(const struct fleet *fleet, struct str from, unsigned *index_out)
{
    size_t skip = strlen(fleet->settings->user_prefix);
    struct str digits = str_cut(&from, '@');
    uint64_t number;
    if (digits.len <= skip || !str_to_u64(str_from(digits.ptr + skip, digits.len - skip), &number)
            || number < fleet->settings->first_user
            || number - fleet->settings->first_user >= fleet->count) {
        return false;
    }
    *index_out = (unsigned)(number - fleet->settings->first_user);
    return true;
}

static struct str status_of(struct str presence)
{
    const char *found = memmem(presence.ptr, presence.len, "<status>", 8);
    return found ? scan_text(str_from(found, presence.len - (size_t)(found - presence.ptr)))
                 : STR_NULL;
}

static void on_stanza(struct client *client, struct str stanza)
{
    struct fanout *fanout = client->fleet->mode_data;
    unsigned source;
    if (!scan_is_named(stanza, STR("presence"))
            || !number_of_sender(client->fleet, scan_attribute(stanza, STR("from")), &source)) {
        return;
    }
    struct str type = scan_attribute(stanza, STR("type"));
    if (str_equal(type, STR("subscribe"))) {
        send_presence(client, &client->fleet->clients[source], "subscribed");
    } else if (str_equal(type, STR("subscribed"))) {
        subscribed++;
    } else if (str_equal(type, STR("error"))) {
        fanout->errors++;
    } else if (type.len == 0) {
        unsigned receiver =
                (client->index + client->fleet->count - source - 1) % client->fleet->count;
        fanout_take(fanout, status_of(stanza), receiver);
    }
}

/* Every contact asks, every client agrees. Who was subscribed before may get no answer, so this
 * ends in time, too. */
static void subscribe_all(struct fanout *fanout)
{
    uint64_t wanted = (uint64_t)fanout->source_count * fanout->receivers;
    int64_t limit = now_us() + SUBSCRIBE_LIMIT_US;
    subscribed = 0;
    for (unsigned i = 0; i < fanout->source_count; i++) {
        for (unsigned k = 0; k < fanout->receivers; k++) {
            struct client *contact = &fanout->fleet.clients[contact_of(fanout, i, k)];
            send_presence(contact, &fanout->fleet.clients[i], "subscribe");
        }
        fleet_turn(&fanout->fleet, 0);
    }
    int64_t last_change = now_us();
    for (uint64_t known = 0;
            subscribed < wanted && now_us() < limit && now_us() - last_change < 3000000;) {
        fleet_turn(&fanout->fleet, now_us() + 50 * 1000);
        last_change = subscribed != known ? now_us() : last_change;
        known = subscribed;
    }
}

json_t *mode_presence_run(const struct settings *settings)
{
    static struct fanout fanout;
    json_t *result = json_object();
    unsigned clients =
            settings->pairs > settings->fan_out ? settings->pairs : settings->fan_out + 1;
    fanout_init(&fanout, settings, settings->pairs, settings->fan_out);
    fanout.send = send_round;
    fleet_init(&fanout.fleet, settings, clients, clients);
    fanout.fleet.mode_data = &fanout;
    fanout.fleet.events = (struct fleet_events){ .on_stanza = on_stanza };
    for (unsigned i = 0; i < settings->pairs; i++) {
        fanout.sources[i].sender = &fanout.fleet.clients[i];
    }
    fleet_log_in(&fanout.fleet, 0, clients);
    if (settings->is_subscribed) {
        subscribe_all(&fanout);
    }
    fleet_run_until(&fanout.fleet, now_us() + (int64_t)(settings->settle_s * 1e6));
    mode_tell_ready(settings);
    fanout_measure(&fanout, result);
    bool is_possible = fanout.arrived > 0;
    if (!is_possible) {
        fprintf(stderr,
                "starling-load: no presence arrived: the server does not deliver %s presence\n",
                settings->is_subscribed ? "subscribed" : "directed");
        json_decref(result);
    }
    fleet_stop_all(&fanout.fleet);
    fleet_fini(&fanout.fleet);
    fanout_fini(&fanout);
    return is_possible ? result : NULL;
}

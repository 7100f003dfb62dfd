/* RFC 6120 §5 to §7, XEP-0198 §3, XEP-0280 §4 from the client's side; see login.h. */
#include "tests/load/login.h"

#include <stdlib.h>

#include "chassis/base/encoding.h"
#include "chassis/base/mem.h"

#define NS_SASL "urn:ietf:params:xml:ns:xmpp-sasl"

void login_send_header(struct client *client)
{
    scanner_restart(&client->in);
    buf_printf(&client->out,
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
            "xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='%s'>",
            client->fleet->settings->host);
    client_mark_dirty(client);
}

void login_forget(struct client *client)
{
    if (client->scram) {
        scram_client_fini(client->scram);
        free(client->scram);
        client->scram = NULL;
    }
}

static void send_literal(struct client *client, const char *text, enum client_state next)
{
    buf_append_str(&client->out, str_from_cstr(text));
    client_mark_dirty(client);
    client->state = next;
}

static void take_plain_features(struct client *client, struct str features)
{
    if (!scan_contains(features, STR("urn:ietf:params:xml:ns:xmpp-tls"))) {
        client_fail(client, "no STARTTLS");
        return;
    }
    send_literal(client, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", CLIENT_PROCEED);
}

static void send_plain(struct client *client)
{
    const struct settings *settings = client->fleet->settings;
    struct buf text;
    buf_init(&text, 0);
    buf_append_char(&text, '\0');
    buf_printf(&text, "%s%u", settings->user_prefix, client_number(client));
    buf_append_char(&text, '\0');
    buf_append_str(&text, str_from_cstr(settings->password));
    buf_printf(&client->out, "<auth xmlns='" NS_SASL "' mechanism='PLAIN'>");
    base64_encode(&client->out, buf_view(&text));
    buf_fini(&text);
    send_literal(client, "</auth>", CLIENT_SUCCESS);
}

static void send_scram(struct client *client, enum digest digest, const char *name)
{
    char user[256];
    int len = snprintf(user,
            sizeof(user),
            "%s%u",
            client->fleet->settings->user_prefix,
            client_number(client));
    login_forget(client);
    client->scram = MEM_NEW(struct scram_client);
    scram_client_init(client->scram, digest);
    buf_printf(&client->out, "<auth xmlns='" NS_SASL "' mechanism='%s'>", name);
    scram_client_first(client->scram, str_from(user, (size_t)len), &client->out);
    send_literal(client, "</auth>", CLIENT_CHALLENGE);
}

static void take_sasl_features(struct client *client, struct str features)
{
    bool is_offered = false;
    switch (client->fleet->settings->mechanism) {
    case MECHANISM_SCRAM_SHA_1: is_offered = scan_contains(features, STR(">SCRAM-SHA-1<")); break;
    case MECHANISM_SCRAM_SHA_256:
        is_offered = scan_contains(features, STR(">SCRAM-SHA-256<"));
        break;
    case MECHANISM_PLAIN: is_offered = scan_contains(features, STR(">PLAIN<")); break;
    }
    if (!is_offered) {
        client_fail(client, "the mechanism is not offered");
        return;
    }
    switch (client->fleet->settings->mechanism) {
    case MECHANISM_SCRAM_SHA_1: send_scram(client, DIGEST_SHA1, "SCRAM-SHA-1"); break;
    case MECHANISM_SCRAM_SHA_256: send_scram(client, DIGEST_SHA256, "SCRAM-SHA-256"); break;
    case MECHANISM_PLAIN: send_plain(client); break;
    }
}

static void take_challenge(struct client *client, struct str element)
{
    struct fleet *fleet = client->fleet;
    struct scram_cache cache = { &fleet->accounts[client->user].keys, &fleet->shared_keys };
    if (!scan_is_named(element, STR("challenge"))) {
        client_fail(client, "the password was refused");
        return;
    }
    buf_printf(&client->out, "<response xmlns='" NS_SASL "'>");
    if (scram_client_answer(client->scram,
                scan_text(element),
                str_from_cstr(fleet->settings->password),
                cache,
                &client->out)
            != ERR_OK) {
        client_fail(client, "a SCRAM challenge that is none");
        return;
    }
    send_literal(client, "</response>", CLIENT_SUCCESS);
}

static void take_success(struct client *client, struct str element)
{
    if (!scan_is_named(element, STR("success"))) {
        client_fail(client, "the password was refused");
        return;
    }
    if (client->scram && !scram_client_is_server_genuine(client->scram, scan_text(element))) {
        client_fail(client, "the server's signature is wrong");
        return;
    }
    login_forget(client);
    client->state = CLIENT_BIND_HEADER;
    login_send_header(client);
}

static void take_bind_features(struct client *client, struct str features)
{
    if (client->fleet->settings->has_sm && !scan_contains(features, STR("urn:xmpp:sm:3"))) {
        client_fail(client, "no stream management (--no-sm does without)");
        return;
    }
    buf_printf(&client->out,
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            "<resource>load</resource></bind></iq>");
    client_mark_dirty(client);
    client->state = CLIENT_BIND;
}

static void enter(struct client *client)
{
    struct fleet *fleet = client->fleet;
    client->state = CLIENT_READY;
    fleet->ready++;
    fleet->logging_in--;
    buf_append_str(client_begin_stanza(client), STR("<presence/>"));
    client_end_stanza(client);
    if (fleet->events.on_ready) {
        fleet->events.on_ready(client);
    }
}

static void ask_for_carbons(struct client *client)
{
    if (!client->fleet->settings->has_carbons) {
        enter(client);
        return;
    }
    buf_append_str(client_begin_stanza(client),
            STR("<iq type='set' id='carbons'><enable xmlns='urn:xmpp:carbons:2'/></iq>"));
    client_end_stanza(client);
    client->state = CLIENT_CARBONS;
}

static void take_bind(struct client *client, struct str element)
{
    const struct settings *settings = client->fleet->settings;
    if (!scan_is_named(element, STR("iq"))
            || !str_equal(scan_attribute(element, STR("type")), STR("result"))) {
        client_fail(client, "no resource was bound");
        return;
    }
    if (!settings->has_sm) {
        ask_for_carbons(client);
        return;
    }
    send_literal(client,
            settings->is_resumable ? "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"
                                   : "<enable xmlns='urn:xmpp:sm:3'/>",
            CLIENT_ENABLED);
}

static void take_enabled(struct client *client, struct str element)
{
    if (scan_is_named(element, STR("enabled"))) {
        client->counts_handled = true;
        ask_for_carbons(client);
    } else if (scan_is_named(element, STR("failed"))) {
        client_fail(client, "stream management was refused");
    }
}

static void take_carbons(struct client *client, struct str element)
{
    if (!scan_is_named(element, STR("iq"))
            || !str_equal(scan_attribute(element, STR("id")), STR("carbons"))) {
        return;
    }
    client->fleet->carbons += str_equal(scan_attribute(element, STR("type")), STR("result"));
    enter(client);
}

static void take_features(struct client *client, struct str element)
{
    if (!scan_is_named(element, STR("stream:features"))) {
        return;
    }
    if (client->state == CLIENT_PLAIN_HEADER) {
        take_plain_features(client, element);
    } else if (client->state == CLIENT_TLS_HEADER) {
        take_sasl_features(client, element);
    } else {
        take_bind_features(client, element);
    }
}

void login_take(struct client *client, struct str element)
{
    switch (client->state) {
    case CLIENT_PLAIN_HEADER:
    case CLIENT_TLS_HEADER:
    case CLIENT_BIND_HEADER: take_features(client, element); break;
    case CLIENT_PROCEED:
        if (scan_is_named(element, STR("proceed"))) {
            client->state = CLIENT_HANDSHAKE; /* the fleet sees it and begins */
        } else {
            client_fail(client, "STARTTLS was refused");
        }
        break;
    case CLIENT_CHALLENGE: take_challenge(client, element); break;
    case CLIENT_SUCCESS: take_success(client, element); break;
    case CLIENT_BIND: take_bind(client, element); break;
    case CLIENT_ENABLED: take_enabled(client, element); break;
    case CLIENT_CARBONS: take_carbons(client, element); break;
    case CLIENT_ABSENT:
    case CLIENT_CONNECTING:
    case CLIENT_HANDSHAKE:
    case CLIENT_READY:
    case CLIENT_CLOSING: break;
    }
}

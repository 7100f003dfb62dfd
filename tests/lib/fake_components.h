/* For tests of components: a router with comp.example.org, whose secrets are "first" and "second",
 * and gate.example. Included by one _test.c of an executable. */
#pragma once

#include <unistd.h>

#include "chassis/base/attr.h"
#include "chassis/base/digest.h"
#include "router/entity/component.h"
#include "tests/lib/fake_router.h"

#define COMP  "comp.example.org"
#define GATE  "gate.example"
#define ALICE "alice@example.org/phone"
#define BOB   "bob@example.org/desk"
#define WAIT  5000
#define STUCK 30000

static char comp_secret_file[] = "/tmp/starling-component.XXXXXX";
static struct component_setting comp_settings[] = {
    { .domain = { COMP, sizeof(COMP) - 1 }, .disco = true },
    { .domain = { GATE, sizeof(GATE) - 1 } },
};

UNUSED static int comp_start(void **state)
{
    static const char secrets[] = "first\n\nsecond\n";
    int result = fake_start(state);
    (void)snprintf(comp_secret_file, sizeof(comp_secret_file), "/tmp/starling-component.XXXXXX");
    int fd = mkstemp(comp_secret_file);
    if (fd < 0 || write(fd, secrets, sizeof(secrets) - 1) != sizeof(secrets) - 1) {
        return -1;
    }
    close(fd);
    comp_settings[0].secret_file = str_from_cstr(comp_secret_file);
    comp_settings[1].secret_file = str_from_cstr(comp_secret_file);
    fake.settings.components = comp_settings;
    fake.settings.component_count = 2;
    fake.settings.component_wait_ms = WAIT;
    fake.settings.component_timeout_ms = STUCK;
    bool is_made = components_create(&fake.router, &fake.router.components) == ERR_OK;
    return is_made ? result : -1;
}

UNUSED static int comp_stop(void **state)
{
    components_destroy(fake.router.components);
    unlink(comp_secret_file);
    return fake_stop(state);
}

UNUSED static struct component *comp_of(const char *domain)
{
    return component_find(fake.router.components, str_from_cstr(domain));
}

UNUSED static void comp_bind_with(const char *edge, const char *domain, const char *handshake)
{
    Wire__ComponentBind bind = WIRE__COMPONENT_BIND__INIT;
    bind.domain = wire_bytes(str_from_cstr(domain));
    bind.stream_id = wire_bytes(STR("stream1"));
    bind.handshake = wire_bytes(str_from_cstr(handshake));
    components_on_bind(fake.router.components, edge, &bind);
    fake_run();
}

UNUSED static const char *comp_handshake(const char *secret)
{
    static char hex[41];
    char text[64];
    uint8_t hash[20];
    (void)snprintf(text, sizeof(text), "stream1%s", secret);
    digest_hash(DIGEST_SHA1, str_from_cstr(text), hash);
    for (size_t i = 0; i < sizeof(hash); i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    }
    return hex;
}

/* Its session is called `name` in what the fake router writes. */
UNUSED static struct id128 comp_connect(const char *edge, const char *domain, const char *name)
{
    fake.time.wall_us++;
    comp_bind_with(edge, domain, comp_handshake("first"));
    struct id128 session = component_connection(comp_of(domain))->session;
    (void)snprintf(fake.sessions[fake.session_count - 1].name, 64, "%s", name);
    return session;
}

UNUSED static void comp_close(const char *edge, const char *domain, struct id128 session)
{
    Wire__Id id = WIRE_ID_INIT(session);
    Wire__Close close_message = WIRE__CLOSE__INIT;
    close_message.session = &id;
    close_message.bare = wire_bytes(str_from_cstr(domain));
    components_on_close(fake.router.components, edge, &close_message);
    fake_run();
}

UNUSED static void comp_announce(
        const char *edge, const char *full, struct id128 session, uint32_t handled)
{
    Wire__Id id = WIRE_ID_INIT(session);
    Wire__Announce announce = WIRE__ANNOUNCE__INIT;
    announce.session = &id;
    announce.full = wire_bytes(str_from_cstr(full));
    announce.handled = handled;
    components_on_announce(fake.router.components, edge, &announce);
    fake_run();
}

UNUSED static void comp_input(
        const char *edge, struct id128 session, uint32_t counter, const struct stanza *stanza)
{
    struct jid from;
    assert_int_equal(jid_split(stanza->from, &from), ERR_OK);
    Wire__Id id = WIRE_ID_INIT(session);
    Wire__Input input = WIRE__INPUT__INIT;
    input.session = &id;
    input.counter = counter;
    input.bare = wire_bytes(from.domain);
    components_on_input(fake.router.components, edge, &input, stanza);
    fake_run();
}

UNUSED static void comp_delivered(
        const char *edge, const char *domain, struct id128 session, int64_t log_id)
{
    Wire__Id id = WIRE_ID_INIT(session);
    Wire__Delivered delivered = WIRE__DELIVERED__INIT;
    delivered.session = &id;
    delivered.bare = wire_bytes(str_from_cstr(domain));
    delivered.ids = &log_id;
    delivered.n_ids = 1;
    components_on_delivered(fake.router.components, edge, &delivered);
    fake_run();
}

/* Look whether the name is free, derive verifiers on the thread pool, insert: the insert decides.
 */
#include "router/registrar.h"

#include <utlist.h>

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/metrics.h"
#include "proto/xmpp/jid.h"
#include "proto/xmpp/precis.h"
#include "proto/xmpp/precis_look_alike.h"
#include "router/cluster.h"
#include "router/egress.h"
#include "router/host_message.h"
#include "router/password_work.h"
#include "router/router.h"

#define HOUR_MS             (INT64_C(3600) * 1000)
#define MAX_NOTICES_AN_HOUR 20

static struct metric metric_registered =
        METRIC_COUNTER_INIT("registrations_total", "Accounts registered in-band.", NULL);

struct registration {
    struct registrar *registrar;
    struct peer *edge;
    uint64_t edge_boot;
    uint64_t request;
    char *bare;
    char *password; /* prepared */
    struct registration *prev;
    struct registration *next;
};

struct hour {
    int64_t began_ms;
    int64_t count;
};

struct registrar {
    struct router *router;
    struct registration *running;
    struct hour notices;
    int64_t untold; /* registrations since the last notice */
};

/* False: as many as `max` were in this hour. */
static bool hour_take(struct hour *hour, int64_t now_ms, int64_t max)
{
    if (hour->began_ms == 0 || now_ms - hour->began_ms >= HOUR_MS) {
        *hour = (struct hour){ .began_ms = now_ms };
    }
    if (hour->count >= max) {
        return false;
    }

    hour->count++;
    return true;
}

static void send_reply(
        struct registrar *registrar, struct peer *edge, uint64_t request, Wire__Status status)
{
    Wire__RegisterReply reply = WIRE__REGISTER_REPLY__INIT;
    reply.request = request;
    reply.status = status;
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_REGISTER_REPLY;
    envelope.register_reply = &reply;
    egress_envelope(registrar->router->egress, edge->link, &envelope);
}

static void registration_free(struct registration *registration)
{
    DL_DELETE(registration->registrar->running, registration);
    secret_wipe(registration->password, strlen(registration->password));
    free(registration->password);
    free(registration->bare);
    free(registration);
}

static void finish(struct registration *registration, Wire__Status status)
{
    if (!registration->edge->is_dead && registration->edge->boot_epoch == registration->edge_boot) {
        send_reply(registration->registrar, registration->edge, registration->request, status);
    }
    registration_free(registration);
}

static void on_told(void *context, enum err err)
{
    (void)context;
    (void)err; /* the account is there with or without a notice */
}

/* Never more than an administrator reads: the next one says how many were left out. */
static void tell_admins(struct registrar *registrar, struct str bare)
{
    struct router *router = registrar->router;
    struct jid jid;
    if (jid_split(bare, &jid) != ERR_OK
            || !settings_find_policy(router->settings, jid.domain)->tells_admins) {
        return;
    }
    if (!hour_take(&registrar->notices, loop_now_ms(router->loop), MAX_NOTICES_AN_HOUR)) {
        registrar->untold++;
        return;
    }

    struct buf text;
    buf_init(&text, 0);
    buf_printf(&text, STR_FMT " was registered", STR_ARG(bare));
    if (registrar->untold > 0) {
        buf_printf(&text, ", and %lld before it", (long long)registrar->untold);
        registrar->untold = 0;
    }
    for (size_t i = 0; i < router->settings->admins.count; i++) {
        struct jid admin;
        const struct host_message message = {
            .host = jid.domain,
            .to = router->settings->admins.items[i],
            .body = buf_view(&text),
            .type = STANZA_TYPE_NORMAL,
            .origin = { .session = id128_random(), .counter = 1 },
        };
        if (jid_split(message.to, &admin) == ERR_OK
                && settings_find_host(router->settings, admin.domain)) {
            host_message_send(router, &message, on_told, NULL);
        }
    }
    buf_fini(&text);
}

static void on_created(void *context, enum err err, int64_t id)
{
    struct registration *registration = context;
    if (err == ERR_CLOSED) {
        return; /* registrar_destroy frees it */
    }
    if (err == ERR_OK) {
        metric_add(&metric_registered, 1);
        cluster_tell_account_changed(
                registration->registrar->router, str_from_cstr(registration->bare), false);
        log_info("register",
                "an account was registered",
                log_jid("account", str_from_cstr(registration->bare)),
                log_int("id", id));
        struct str bare = str_from_cstr(registration->bare);
        cluster_tell_account_changed(registration->registrar->router, bare, false);
        tell_admins(registration->registrar, bare);
    }
    finish(registration,
            err == ERR_OK               ? WIRE__STATUS__STATUS_OK
                    : err == ERR_EXISTS ? WIRE__STATUS__STATUS_CONFLICT
                                        : WIRE__STATUS__STATUS_TEMPORARY);
}

static void on_derived(void *context, const struct verifier *verifiers)
{
    struct registration *registration = context;
    if (verifiers == NULL) {
        finish(registration, WIRE__STATUS__STATUS_TEMPORARY);
        return;
    }

    account_register(registration->registrar->router->accounts,
            str_from_cstr(registration->bare),
            verifiers,
            on_created,
            registration);
}

static void on_looked(void *context, enum err err, const struct account_row *row)
{
    (void)row;
    struct registration *registration = context;
    if (err == ERR_CLOSED) {
        return;
    }
    if (err != ERR_NOT_FOUND) {
        finish(registration,
                err == ERR_OK ? WIRE__STATUS__STATUS_CONFLICT : WIRE__STATUS__STATUS_TEMPORARY);
        return;
    }

    struct router *router = registration->registrar->router;
    err = password_derive_all(router->passwords,
            str_from_cstr(registration->password),
            (uint32_t)router->settings->scram_iterations,
            on_derived,
            registration);
    if (err != ERR_OK) {
        finish(registration, WIRE__STATUS__STATUS_TEMPORARY);
    }
}

/* Tries count, not accounts: else names could be asked for without end. The address first, so that
 * one of them cannot use up what the host has for all. */
static bool take_from_hour(
        struct registrar *registrar, const struct host *host, const Wire__Register *message)
{
    const struct router *router = registrar->router;
    struct quota_spend spend = {
        .kind = QUOTA_ADDRESS_REGISTRATIONS,
        .limit = router->settings->quotas[QUOTA_ADDRESS_REGISTRATIONS],
        .identity = wire_str(message->address),
        .tokens = 1,
        .now_ns = loop_wall_us(router->loop) * 1000,
    };
    if (spend.identity.len > 0 && !quota_take_shared(router->quota, &spend)) {
        return false;
    }
    spend.kind = QUOTA_HOST_REGISTRATIONS;
    spend.limit = host->registrations;
    spend.identity = host->domain;
    return quota_take_shared(router->quota, &spend);
}

/* OK: the name is one that could have been typed and borrows no letters (C33), the password one
 * that can be typed again. */
static Wire__Status check(struct registrar *registrar,
        struct arena *arena,
        const Wire__Register *message,
        struct str *password_out)
{
    struct jid jid;
    struct str local;
    if (jid_split(wire_str(message->bare), &jid) != ERR_OK || !jid_is_bare(&jid)) {
        return WIRE__STATUS__STATUS_INVALID;
    }

    const struct host *host = settings_find_host(registrar->router->settings, jid.domain);
    if (host == NULL || !host->registration) {
        return WIRE__STATUS__STATUS_NOT_AUTHORIZED;
    }
    if (jid_prepare_local(arena, jid.local, &local) != ERR_OK || !str_equal(local, jid.local)
            || precis_opaque_string(arena, wire_str(message->password), password_out) != ERR_OK) {
        return WIRE__STATUS__STATUS_INVALID;
    }

    if (precis_is_look_alike(local)) {
        return WIRE__STATUS__STATUS_INVALID; /* C33 */
    }

    return take_from_hour(registrar, host, message) ? WIRE__STATUS__STATUS_OK
                                                    : WIRE__STATUS__STATUS_LIMIT;
}

void registrar_on_register(
        struct registrar *registrar, struct peer *edge, const Wire__Register *message)
{
    struct arena arena;
    arena_init(&arena, 0);
    struct str password;
    Wire__Status status = check(registrar, &arena, message, &password);
    if (status != WIRE__STATUS__STATUS_OK) {
        send_reply(registrar, edge, message->request, status);
        arena_fini(&arena);
        return;
    }

    struct registration *registration = MEM_NEW(struct registration);
    registration->registrar = registrar;
    registration->edge = edge;
    registration->edge_boot = edge->boot_epoch;
    registration->request = message->request;
    registration->bare = str_to_cstr(wire_str(message->bare));
    registration->password = str_to_cstr(password);
    DL_APPEND(registrar->running, registration);
    secret_wipe((void *)(uintptr_t)password.ptr, password.len);
    arena_fini(&arena);
    account_load(registrar->router->accounts,
            str_from_cstr(registration->bare),
            on_looked,
            registration);
}

struct registrar *registrar_create(struct router *router)
{
    struct registrar *registrar = MEM_NEW(struct registrar);
    registrar->router = router;
    metric_register(&metric_registered);
    return registrar;
}

void registrar_destroy(struct registrar *registrar)
{
    if (registrar == NULL) {
        return;
    }

    while (registrar->running != NULL) {
        registration_free(registrar->running);
    }
    free(registrar);
}

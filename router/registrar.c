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
#include "router/password_work.h"
#include "router/router.h"

#define HOUR_MS (INT64_C(3600) * 1000)

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

struct registrar {
    struct router *router;
    struct registration *running;
    int64_t hour_began_ms;
    int64_t this_hour;
};

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

    account_create(registration->registrar->router->accounts,
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

static bool take_from_hour(struct registrar *registrar)
{
    int64_t now = loop_now_ms(registrar->router->loop);
    if (registrar->hour_began_ms == 0 || now - registrar->hour_began_ms >= HOUR_MS) {
        registrar->hour_began_ms = now;
        registrar->this_hour = 0;
    }
    if (registrar->this_hour >= registrar->router->settings->registrations_per_hour) {
        return false;
    }

    registrar->this_hour++;
    return true;
}

/* OK: the name is one that could have been typed, the password one that can be typed again. */
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

    return take_from_hour(registrar) ? WIRE__STATUS__STATUS_OK : WIRE__STATUS__STATUS_LIMIT;
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

/* Inside of ingress: what ingress.c (peers, sessions, routers, the log), ingress_announce.c and
 * ingress_login.c (logins and registrations) share. Nobody else includes this. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/arena.h"
#include "chassis/base/str.h"
#include "chassis/loop.h"
#include "proto/wire/wire.h"
#include "router/peers.h"
#include "router/router.h"

#define INGRESS_MAX_NOT_OWNER 256 /* remembered within a turn */

struct not_owner {
    const struct peer *peer;
    unsigned shard;
};

struct ingress {
    struct router *router;
    struct arena arena; /* of one record */
    struct not_owner told[INGRESS_MAX_NOT_OWNER];
    size_t told_count;
    struct loop_task forget;
};

/* ---- ingress.c */
/* Counts what the peer must not do, and logs it now and then. */
void ingress_violation(struct ingress *ingress, struct peer *peer, const char *reason);
/* OK: `bare` is a bare JID and at home here. */
Wire__Status ingress_work_status(struct ingress *ingress, struct peer *peer, struct str bare);
/* `bare` is the domain of a component (XEP-0114). */
bool ingress_is_component(const struct ingress *ingress, struct str bare);
/* New work for an account or a component: false after having said that its home is elsewhere. */
bool ingress_accept_work(struct ingress *ingress, struct peer *peer, struct str bare);
/* A client of this edge has proved to be `bare` (F04). */
bool ingress_has_grant(
        const struct ingress *ingress, const struct peer *peer, struct str bare, struct str grant);

/* ---- ingress_announce.c: handler of a verb */
void ingress_on_announce(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope);

/* ---- ingress_login.c: handlers of verbs; each is answered in any case */
void ingress_on_auth_lookup(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope);
void ingress_on_auth_verify(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope);
void ingress_on_auth_plain(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope);
void ingress_on_auth_token(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope);
void ingress_on_auth_upgrade(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope);
void ingress_on_register(
        struct ingress *ingress, struct peer *peer, const Wire__Envelope *envelope);

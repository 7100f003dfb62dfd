/* What an account tells its own devices and its contacts about its roster and its presence: effects
 * of a turn that several features ask for. */
#pragma once

#include "router/turn.h"

struct resource;
struct roster_item;

/* A roster push to every interested session (RFC 6121 §2.1.6); nothing for an item clients have
 * never seen. */
void notices_push(struct turn *turn, const struct roster_item *item);

/* One that is due to a session that was away: what changed, and the version it made. */
struct roster_delta;
void notices_push_delta(
        struct turn *turn, const struct resource *to, const struct roster_delta *delta);

/* <presence type=... from=(bare)> to a contact, kept until its home has worked it off. */
void notices_subscription(struct turn *turn, enum stanza_type type, struct str to);

/* Subscription requests that wait for an answer, to a session that has just become available
 * (§3.1.3). */
void notices_requests(struct turn *turn, const struct resource *to);
/* A stanza as it waits in an item, in the turn's arena. */
struct str notices_pack(struct turn *turn, const struct stanza *stanza);

/* The presence of `from` as its client last said it. */
struct stanza notices_presence_of(const struct resource *from, struct str to);
/* Each available session's presence to `to`; or that each is unavailable. Kept likewise, in the
 * order of the subscription stanzas around them. */
void notices_show(struct turn *turn, struct str to);
void notices_hide(struct turn *turn, struct str to);

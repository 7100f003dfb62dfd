/* What hosts announce in <stream:features/> (XEP-0115, XEP-0390), as routers tell: they answer
 * disco#info, so they know its hashes. For each host the newest counts. Loop thread only. */
#pragma once

#include "proto/wire/wire.h"
#include "proto/xmpp/caps.h"

#define HOST_CAPS_MAX 100000 /* hosts; routers are trusted, memory is not endless */

struct host_caps;

struct host_caps *host_caps_create(void);
void host_caps_destroy(struct host_caps *caps); /* accepts NULL */
/* Hosts with hashes of a wrong size are left out. */
void host_caps_take(struct host_caps *caps, const Wire__HostCaps *message);
/* NULL: no router has told yet. `caps` may be NULL. */
const struct caps_hashes *host_caps_find(const struct host_caps *caps, struct str domain);

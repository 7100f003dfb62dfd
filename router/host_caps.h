/* HostCaps: edges learn what the hosts announce in <stream:features/> (XEP-0115, XEP-0390). */
#pragma once

struct peer;
struct router;

/* Nothing unless it is an edge. What finds no room is told again when there is some. */
void host_caps_tell(const struct router *router, const struct peer *peer);
void host_caps_tell_all(const struct router *router);

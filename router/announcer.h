/* Announcements to everybody of a host who is at home here and has a session (XEP-0133 §4.23): a
 * few accounts at a time, so that nobody else has to wait. */
#pragma once

#include "chassis/base/str.h"

struct announcer;
struct router;

struct announcer *announcer_create(struct router *router);
void announcer_destroy(struct announcer *announcer); /* accepts NULL */

/* Texts are copied. One after the other; of more than ANNOUNCER_MAX that wait the newest is
 * dropped, and the log says so. */
#define ANNOUNCER_MAX 16
void announcer_begin(
        struct announcer *announcer, struct str host, struct str subject, struct str text);

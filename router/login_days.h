/* On which day an account was used last: gathered here, written in groups, never waited for. A
 * router that dies forgets what it has heard in the last seconds. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct login_days;
struct router;

struct login_days *login_days_create(struct router *router);
void login_days_destroy(struct login_days *days); /* accepts NULL */

/* `is_login`: somebody has just logged in; else a session is there. */
void login_days_note(struct login_days *days, int64_t owner, bool is_login);

/* One function for each mode: runs it and returns its result, or NULL when the server cannot do it
 * (it has said so on standard error). "ok" is false when something was lost, came twice or out of
 * order, or a connection failed. */
#pragma once

#include <jansson.h>

#include "tests/load/fleet.h"
#include "tests/load/settings.h"

json_t *mode_login_run(const struct settings *settings);
json_t *mode_idle_run(const struct settings *settings);
json_t *mode_chat_run(const struct settings *settings); /* chat and rate */
json_t *mode_presence_run(const struct settings *settings);
json_t *mode_muc_run(const struct settings *settings);

/* What all results end with: failures of connections, acknowledgements, "ok" (also `is_fine`). */
void mode_finish(json_t *result, const struct fleet *fleet, bool is_fine);
/* Makes --ready-file. */
void mode_tell_ready(const struct settings *settings);

/* The section "limits": what accounts and addresses may do. Defaults let every person pass and stop
 * programs; 0 lifts a limit. */
#pragma once

#include "router/settings.h"

extern const struct config_section section_limits;

void settings_fill_limits(struct settings *settings, const struct config *config);

/* Section "accounts": what becomes of accounts over time, for each host. */
#pragma once

#include "router/settings.h"

struct arena;

extern const struct config_section section_accounts;

/* Texts are copied into `arena`. */
void settings_fill_accounts(
        struct settings *settings, struct arena *arena, const struct config *config);

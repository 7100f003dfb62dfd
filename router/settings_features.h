/* The sections of single features: their field tables and how they get into the settings. */
#pragma once

#include "router/settings.h"

struct arena;

extern const struct config_section section_admin;
extern const struct config_section section_blocking;
extern const struct config_section section_contact_addresses;
extern const struct config_section section_external_services;
extern const struct config_section section_private_xml;
extern const struct config_section section_vcard;

/* Texts are copied into `arena`. */
void settings_fill_features(
        struct settings *settings, struct arena *arena, const struct config *config);
/* Secrets among them, before their memory is freed. */
void settings_wipe_features(struct settings *settings);

/* settings_components.c */
extern const struct config_section section_components;
void settings_fill_components(
        struct settings *settings, struct arena *arena, const struct config *config);
/* Those of `old` instead. */
void settings_copy_components(
        struct settings *settings, struct arena *arena, const struct settings *old);

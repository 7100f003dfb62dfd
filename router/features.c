/* The features of the router, in the order their hooks see a stanza. */
#include "router/feature.h"

extern const struct feature feature_adhoc;
extern const struct feature feature_admin;
extern const struct feature feature_blocking;
extern const struct feature feature_carbons;
extern const struct feature feature_contact_addresses;
extern const struct feature feature_disco;
extern const struct feature feature_external_services;
extern const struct feature feature_last;
extern const struct feature feature_limits;
extern const struct feature feature_offline;
extern const struct feature feature_outage_status;
extern const struct feature feature_ping;
extern const struct feature feature_presence;
extern const struct feature feature_private_xml;
extern const struct feature feature_register;
extern const struct feature feature_reporting;
extern const struct feature feature_roster;
extern const struct feature feature_stanza_id;
extern const struct feature feature_subscription;
extern const struct feature feature_time;
extern const struct feature feature_vcard;
extern const struct feature feature_version;

const struct feature *const features[] = {
    &feature_limits,       /* what is too much costs nothing more */
    &feature_blocking,     /* first of all others: what is blocked reaches no other feature */
    &feature_subscription, /* before presence, which answers for all other types */
    &feature_presence,     /* early: later features look at who is available */
    &feature_register,     /* may end the account; nothing after it needs to see that stanza */
    &feature_roster,       /* before what answers for the account: a stranger gets forbidden */
    &feature_carbons,      /* copies what will go out: after whatever may refuse it */
    &feature_disco, /* the rest only answers IQs or speaks for the message log: order is free */
    &feature_adhoc,
    &feature_admin,
    &feature_reporting,
    &feature_private_xml,
    &feature_vcard,
    &feature_last,
    &feature_contact_addresses,
    &feature_outage_status,
    &feature_external_services,
    &feature_ping,
    &feature_time,
    &feature_version,
    &feature_stanza_id,
    &feature_offline,
    NULL,
};

const struct feature_command *feature_find_command(struct str node)
{
    for (const struct feature *const *item = features; *item; item++) {
        const struct feature_command *command = (*item)->commands;
        for (; command && command->node; command++) {
            if (str_equal(node, str_from_cstr(command->node))) {
                return command;
            }
        }
    }
    return NULL;
}

void feature_tell_block_changed(
        struct turn *turn, struct str jid, bool is_blocked, const struct element *item)
{
    for (const struct feature *const *at = features; *at; at++) {
        if ((*at)->on_block_changed) {
            (*at)->on_block_changed(turn, jid, is_blocked, item);
        }
    }
}

bool feature_is_enabled(const struct feature *feature, const struct turn *turn)
{
    return !feature->is_enabled || (turn->host && feature->is_enabled(turn->settings, turn->host));
}

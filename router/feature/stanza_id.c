/* Unique and Stable Stanza IDs, XEP-0359 0.7.0. The ids are those of the message log: the entity
 * strips forged ones and adds its own with each entry (router/entity/routes.c); here it is only
 * said. */
#include "router/feature.h"

const struct feature feature_stanza_id = {
    .name = "stanza_id",
    .specs = { { "XEP-0359", "0.7.0" } },
    .advertises = { NS_STANZA_ID },
    .advertises_account = { NS_STANZA_ID },
};

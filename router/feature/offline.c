/* Offline messages, XEP-0160 1.0.1, with the stamps of XEP-0203 2.0. They are a cursor over the
 * message log (router/entity/account_log.h); here it is only said. */
#include "router/feature.h"

const struct feature feature_offline = {
    .name = "offline",
    .specs = { { "XEP-0160", "1.0.1" }, { "XEP-0203", "2.0" } },
    .advertises = { "msgoffline" },
};

/* The field table of the section "limits". */
#include "router/settings_limits.h"

#include <stddef.h>

#define HOUR_MS INT64_C(3600000)
#define MANY    INT64_C(1000000000)
#define GIB     (INT64_C(1) << 30)

struct limits_config {
    int64_t stanzas_per_second;
    int64_t stanzas_burst;
    int64_t bytes_per_second;
    int64_t burst_bytes;
    int64_t strangers_per_hour;
    int64_t offline_max_messages;
    int64_t offline_max_bytes;
    int64_t registrations_per_address;
    int64_t failed_logins_per_address;
    int64_t failed_logins_per_account;
    int64_t failed_logins_per_pair;
};

/* clang-format off */
#define LIMIT(field) offsetof(struct limits_config, field)

static const struct config_field limits_fields[] = {
    { "stanzas_per_second", CONFIG_INT, LIMIT(stanzas_per_second), "6000", 0, MANY, NULL,
      "Stanzas one account sends in the long run, all of its sessions together; what is more comes back with policy-violation. A little more than "
      "c2s.bytes_per_second lets one connection send, which is read slower instead; 0: no limit." },
    { "stanzas_burst", CONFIG_INT, LIMIT(stanzas_burst), "12000", 1, MANY, NULL,
      "Stanzas one account sends at once." },
    { "bytes_per_second", CONFIG_SIZE, LIMIT(bytes_per_second), "2MiB", 0, GIB, NULL,
      "Bytes of stanzas one account sends in the long run, all of its sessions together; 0: no limit." },
    { "burst_bytes", CONFIG_SIZE, LIMIT(burst_bytes), "16MiB", 1, GIB, NULL,
      "Bytes of stanzas one account sends at once." },
    { "strangers_per_hour", CONFIG_INT, LIMIT(strangers_per_hour), "120", 0, MANY, NULL,
      "People who are no contacts and have not written themselves that one account writes to in an hour; further messages to the same ones "
      "are free; 0: no limit." },
    { "offline_max_messages", CONFIG_INT, LIMIT(offline_max_messages), "10000", 0, MANY, NULL,
      "Messages that wait for one account; whoever sends more gets service-unavailable; 0: no limit." },
    { "offline_max_bytes", CONFIG_SIZE, LIMIT(offline_max_bytes), "64MiB", 0, 1024 * GIB, NULL,
      "The same in bytes." },
    { "registrations_per_address", CONFIG_INT, LIMIT(registrations_per_address), "10", 0, MANY, NULL,
      "In-band registrations tried from one address (IPv6: /64) in an hour, over all edges and routers; 0: no limit." },
    { "failed_logins_per_address", CONFIG_INT, LIMIT(failed_logins_per_address), "600", 0, MANY, NULL,
      "Wrong passwords from one address (IPv6: /64) in an hour, over all edges and routers; then every login with a password from there gets "
      "temporary-auth-failure; 0: no limit." },
    { "failed_logins_per_account", CONFIG_INT, LIMIT(failed_logins_per_account), "120", 0, MANY, NULL,
      "Wrong passwords for one account in an hour from all addresses together; then each address has its own few tries left "
      "(failed_logins_per_pair), so that nobody locks out a user; 0: no limit." },
    { "failed_logins_per_pair", CONFIG_INT, LIMIT(failed_logins_per_pair), "60", 0, MANY, NULL,
      "Wrong passwords from one address for one account in an hour after that; 0: no limit." },
    { .name = NULL },
};
/* clang-format on */

const struct config_section section_limits = {
    .name = "limits",
    .help = "What accounts and addresses may do, whichever routers they meet.",
    .fields = limits_fields,
    .size = sizeof(struct limits_config),
    .may_reload = true,
};

void settings_fill_limits(struct settings *settings, const struct config *config)
{
    const struct limits_config *limits = config_get(config, &section_limits);
    struct quota_limit *quotas = settings->quotas;
    quotas[QUOTA_STANZAS] = quota_limit_rate(limits->stanzas_per_second, limits->stanzas_burst);
    quotas[QUOTA_BYTES] = quota_limit_rate(limits->bytes_per_second, limits->burst_bytes);
    quotas[QUOTA_STRANGERS] = quota_limit_in(limits->strangers_per_hour, HOUR_MS);
    quotas[QUOTA_ADDRESS_REGISTRATIONS] =
            quota_limit_in(limits->registrations_per_address, HOUR_MS);
    quotas[QUOTA_ADDRESS_FAILURES] = quota_limit_in(limits->failed_logins_per_address, HOUR_MS);
    quotas[QUOTA_ACCOUNT_FAILURES] = quota_limit_in(limits->failed_logins_per_account, HOUR_MS);
    quotas[QUOTA_PAIR_FAILURES] = quota_limit_in(limits->failed_logins_per_pair, HOUR_MS);
    settings->offline_max_messages = limits->offline_max_messages;
    settings->offline_max_bytes = limits->offline_max_bytes;
}

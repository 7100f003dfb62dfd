/* Section redis. */
#include "chassis/redis.h"

/* clang-format off */
static const struct config_field fields[] = {
    { "address", CONFIG_STRING, offsetof(struct redis_config, address), "", 0, 0, NULL,
        "unix:/path or tcp:host:port (an address; names are resolved blocking); empty without sentinels: no Redis" },
    { "user", CONFIG_STRING, offsetof(struct redis_config, user), "", 0, 0, NULL,
        "ACL user for AUTH; empty: the default user" },
    { "password_file", CONFIG_PATH, offsetof(struct redis_config, password_file), "", 0, 0, NULL,
        "file with the password for AUTH, read at each connect; empty: no AUTH" },
    { "sentinels", CONFIG_LIST, offsetof(struct redis_config, sentinels), "", 0, 0, NULL,
        "host:port of each Sentinel; with sentinel_master, the address of the primary comes from them" },
    { "sentinel_master", CONFIG_STRING, offsetof(struct redis_config, sentinel_master), "", 0, 0, NULL,
        "name of the primary as the Sentinels know it" },
    { "connect_timeout", CONFIG_DURATION, offsetof(struct redis_config, connect_timeout_ms), "2s", 50, 60000, NULL,
        "time for one attempt to connect, Sentinel and AUTH included" },
    { "command_timeout", CONFIG_DURATION, offsetof(struct redis_config, command_timeout_ms), "2s", 50, 60000, NULL,
        "time for the reply to a command; then the connection is dropped" },
    { "reconnect_min", CONFIG_DURATION, offsetof(struct redis_config, reconnect_min_ms), "100ms", 10, 60000, NULL,
        "first wait after a loss; doubles with each failure, with jitter" },
    { "reconnect_max", CONFIG_DURATION, offsetof(struct redis_config, reconnect_max_ms), "3s", 10, 600000, NULL,
        "longest wait between two attempts" },
    { "max_pending", CONFIG_INT, offsetof(struct redis_config, max_pending), "100000", 1, 10000000, NULL,
        "commands without a reply; more are refused at once" },
    { .name = NULL },
};
/* clang-format on */

static enum err check(const void *section, struct buf *why)
{
    const struct redis_config *redis = section;
    struct str address = str_from_cstr(redis->address);
    bool is_known = str_is_empty(address) || str_starts_with(address, STR("unix:"))
            || str_starts_with(address, STR("tcp:"));
    if (!is_known) {
        buf_append_literal(why, "address must begin with unix: or tcp:");
        return ERR_INVALID;
    }
    if ((redis->sentinels.count > 0) != (redis->sentinel_master[0] != '\0')) {
        buf_append_literal(why, "sentinels and sentinel_master must be given together");
        return ERR_INVALID;
    }
    return ERR_OK;
}

const struct config_section config_section_redis = {
    .name = "redis",
    .help = "Redis: sessions and the node registry; everything durable is elsewhere",
    .fields = fields,
    .size = sizeof(struct redis_config),
    .check = check,
};

bool redis_is_configured(const struct redis_config *config)
{
    return config->address[0] != '\0' || config->sentinels.count > 0;
}

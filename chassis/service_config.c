/* Sections process, log and http: tables and checks. */
#include "chassis/service_config.h"

#include <stddef.h>
#include <string.h>

#include "chassis/base/digest.h"
#include "chassis/service.h"

bool service_is_node_name(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= SERVICE_NODE_NAME_MAX
            && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
            == len;
}

static enum err check_process(const void *section, struct buf *why)
{
    const struct process_config *process = section;
    if (process->node[0] != '\0' && !service_is_node_name(process->node)) {
        buf_append_literal(why, "node: 1 to 63 letters, digits, dots, dashes or underscores");
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* An unusable token must be seen at --check-config, not at the first request. */
static enum err check_http(const void *section, struct buf *why)
{
    const struct http_config *http = section;
    if (http->token_file[0] == '\0') {
        return ERR_OK;
    }
    struct buf token;
    buf_init(&token, 0);
    enum err err = config_read_secret(http->token_file, &token, why);
    buf_fini_secret(&token);
    return err;
}

/* clang-format off */
static const struct config_field process_fields[] = {
    { "node", CONFIG_STRING, offsetof(struct process_config, node), "", 0, 0, NULL,
      "Name of this process, unique in the cluster; empty: program and host name." },
    { "drain_timeout", CONFIG_DURATION, offsetof(struct process_config, drain_timeout_ms), "30s", 100, 3600000, NULL,
      "How long an orderly stop may take." },
    { "pid_file", CONFIG_PATH, offsetof(struct process_config, pid_file), "", 0, 0, NULL,
      "Where to write the process id; empty: nowhere." },
    { .name = NULL },
};
const struct config_section config_section_process = {
    .name = "process", .help = "The process itself.", .fields = process_fields,
    .size = sizeof(struct process_config), .check = check_process,
};

static const char *const log_levels[] = { "error", "warn", "info", "debug", NULL };
static const char *const log_formats[] = { "key-value", "json", NULL };
static const char *const log_jid_modes[] = { "hashed", "plain", "none", NULL };
static const struct config_field log_fields[] = {
    { "level", CONFIG_ENUM, offsetof(struct log_config, level), "info", 0, 0, log_levels,
      "The least important records that are written." },
    { "format", CONFIG_ENUM, offsetof(struct log_config, format), "key-value", 0, 0, log_formats,
      "Form of a record." },
    { "jids", CONFIG_ENUM, offsetof(struct log_config, jids), "hashed", 0, 0, log_jid_modes,
      "How addresses of users appear; hashes hold for one life of the process." },
    { "path", CONFIG_PATH, offsetof(struct log_config, path), "", 0, 0, NULL,
      "Log file, opened again on SIGHUP; empty: standard error." },
    { .name = NULL },
};
const struct config_section config_section_log = {
    .name = "log", .help = "Logs.", .fields = log_fields,
    .size = sizeof(struct log_config), .may_reload = true,
};

static const struct config_field http_fields[] = {
    { "address", CONFIG_STRING, offsetof(struct http_config, address), "127.0.0.1", 0, 0, NULL,
      "Numeric address of the inner port; never a public one." },
    { "port", CONFIG_INT, offsetof(struct http_config, port), "0", 0, 65535, NULL,
      "Port for metrics, health and starlingctl; 0: chosen by the system and logged." },
    { "token_file", CONFIG_PATH, offsetof(struct http_config, token_file), "", 0, 0, NULL,
      "File with the token starlingctl must show; empty: its requests are refused." },
    { .name = NULL },
};
const struct config_section config_section_http = {
    .name = "http", .help = "The inner HTTP port: /metrics, /healthz, /readyz, administration.",
    .fields = http_fields, .size = sizeof(struct http_config), .check = check_http,
};
/* clang-format on */

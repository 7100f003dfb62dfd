/* starlingctl nodes, shards, streams, sessions, storage, drain: what runs, where, and how it is
 * encrypted. */
#include <stdio.h>

#include "starlingctl/ctl.h"

static bool has_role(const json_t *node, const char *role)
{
    return strcmp(json_string_value(json_object_get(node, "role")), role) == 0;
}

static const char *http_of(const json_t *node)
{
    return json_string_value(json_object_get(node, "http"));
}

static enum ctl_exit nodes(struct ctl *ctl, int argc, char **argv)
{
    static const char *const columns[] = { "node", "role", "ready", "bus", "http", NULL };
    size_t index;
    json_t *node;

    (void)argv;
    if (argc != 0) {
        return ctl_error(CTL_USAGE, "nodes takes no arguments");
    }
    json_t *rows = ctl_nodes(ctl);
    if (!rows) {
        return CTL_UNREACHABLE;
    }
    json_array_foreach(rows, index, node)
    {
        json_t *answer = ctl_http(ctl, http_of(node), "/readyz", NULL, true);
        json_object_set_new(node, "ready", json_boolean(answer != NULL));
        json_decref(answer);
    }
    ctl_print_rows(ctl, rows, columns);
    return CTL_OK;
}

static enum ctl_exit shards(struct ctl *ctl, int argc, char **argv)
{
    static const char *const columns[] = { "router", "shards", "lease_ms", NULL };
    static const char *const columns_all[] = { "shard", "router", "epoch", "lease_ms", NULL };
    bool is_long = argc == 1 && strcmp(argv[0], "--all") == 0;
    struct ctl_result *result;

    if (argc != 0 && !is_long) {
        return ctl_error(CTL_USAGE, "shards [--all]");
    }
    enum ctl_exit code = ctl_query(ctl,
            is_long ? "SELECT shard, coalesce(owner, '-'), epoch, (extract(epoch FROM expires - now()) * 1000)::int"
                      " FROM router.shard ORDER BY shard"
                    : "SELECT coalesce(owner, '-'), count(*), (extract(epoch FROM min(expires) - now()) * 1000)::int"
                      " FROM router.shard GROUP BY 1 ORDER BY 1",
            NULL,
            0,
            &result);
    if (code != CTL_OK) {
        return code;
    }
    json_t *rows = json_array();
    for (int i = 0; i < ctl_result_rows(result); i++) {
        const char *const *names = is_long ? columns_all : columns;
        json_t *row = json_object();
        for (int c = 0; names[c]; c++) {
            int64_t number;
            const char *text = ctl_result_text(result, i, c);
            json_object_set_new(row,
                    names[c],
                    str_to_i64(str_from_cstr(text), &number) ? json_integer(number)
                                                             : json_string(text));
        }
        json_array_append_new(rows, row);
    }
    ctl_result_free(result);
    ctl_print_rows(ctl, rows, is_long ? columns_all : columns);
    return CTL_OK;
}

/* The rows that every node of `role` answers at `path`. Nodes that do not answer are left out, and
 * the exit code tells. */
static enum ctl_exit rows_of_role(
        struct ctl *ctl, const char *role, const char *path, const char *const *columns)
{
    enum ctl_exit code = CTL_OK;
    size_t index;
    json_t *node;

    json_t *known = ctl_nodes(ctl);
    if (!known) {
        return CTL_UNREACHABLE;
    }
    json_t *rows = json_array();
    json_array_foreach(known, index, node)
    {
        if (!has_role(node, role)) {
            continue;
        }
        json_t *answer = ctl_http(ctl, http_of(node), path, NULL, false);
        if (answer) {
            json_array_extend(rows, answer);
        } else {
            code = CTL_UNREACHABLE;
        }
        json_decref(answer);
    }
    json_decref(known);
    ctl_print_rows(ctl, rows, columns);
    return code;
}

static enum ctl_exit streams(struct ctl *ctl, int argc, char **argv)
{
    static const char *const columns[] = { "jid",
        "kind",
        "state",
        "peer",
        "tls",
        "cipher",
        "certificate",
        "mechanism",
        "channel_binding",
        "node",
        NULL };

    (void)argv;
    if (argc != 0) {
        return ctl_error(CTL_USAGE, "streams takes no arguments");
    }
    return rows_of_role(ctl, "edge", "/v1/streams", columns);
}

static enum ctl_exit sessions(struct ctl *ctl, int argc, char **argv)
{
    static const char *const columns[] = {
        "jid", "state", "edge", "sm", "queued", "queued_bytes", "h_in", "h_out", NULL
    };

    (void)argv;
    if (argc != 0) {
        return ctl_error(CTL_USAGE, "sessions takes no arguments");
    }
    return rows_of_role(ctl, "router", "/v1/sessions", columns);
}

static enum ctl_exit storage(struct ctl *ctl, int argc, char **argv)
{
    static const char *const columns[] = {
        "node", "key", "others", "keys_left", "rows_left", "unreadable", NULL
    };

    (void)argv;
    if (argc != 0) {
        return ctl_error(CTL_USAGE, "storage takes no arguments");
    }
    return rows_of_role(ctl, "router", "/v1/storage", columns);
}

static enum ctl_exit drain(struct ctl *ctl, int argc, char **argv)
{
    size_t index;
    json_t *node;
    enum ctl_exit code = CTL_NOT_FOUND;

    if (argc != 1) {
        return ctl_error(CTL_USAGE, "drain NODE");
    }
    json_t *known = ctl_nodes(ctl);
    if (!known) {
        return CTL_UNREACHABLE;
    }
    json_array_foreach(known, index, node)
    {
        if (strcmp(json_string_value(json_object_get(node, "node")), argv[0]) != 0) {
            continue;
        }
        json_t *answer = ctl_http(ctl, http_of(node), "/v1/drain", "", false);
        code = answer ? CTL_OK : CTL_UNREACHABLE;
        if (answer) {
            ctl_print_object(ctl, json_pack("{s:s, s:s}", "node", argv[0], "state", "draining"));
        }
        json_decref(answer);
    }
    json_decref(known);
    return code == CTL_NOT_FOUND ? ctl_error(code, "%s: no such node", argv[0]) : code;
}

/* clang-format off */
const struct ctl_command commands_cluster[] = {
    { "nodes", "", "every process that is registered, and whether it is ready", nodes },
    { "shards", "[--all]", "which router owns how many shards", shards },
    { "streams", "", "every stream with its TLS and authentication", streams },
    { "sessions", "", "every session, attached or waiting to be resumed, and what it has not acknowledged", sessions },
    { "storage", "", "storage keys of every router, and what is not under the newest one yet", storage },
    { "drain", "NODE", "the node hands over its work and ends", drain },
    { NULL, NULL, NULL, NULL },
};
/* clang-format on */

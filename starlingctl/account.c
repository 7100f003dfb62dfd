/* starlingctl account ...: passwords come from standard input or a file, never as an argument, and
 * leave as SCRAM verifiers. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "chassis/base/arena.h"
#include "chassis/base/encoding.h"
#include "proto/xmpp/jid.h"
#include "proto/xmpp/precis.h"
#include "proto/xmpp/precis_look_alike.h"
#include "proto/xmpp/scram.h"
#include "starlingctl/ctl.h"

#define SALT_BYTES         16
#define MAX_PASSWORD_BYTES 1023
#define RANDOM_PASSWORD    18 /* bytes: 24 characters of base64 */

static const enum digest digests[] = { DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA512 };

static enum ctl_exit read_jid(struct arena *arena, const char *text, struct jid *jid_out)
{
    if (jid_parse(arena, str_from_cstr(text), jid_out) != ERR_OK || !jid_is_bare(jid_out)
            || jid_out->local.len == 0) {
        return ctl_error(CTL_USAGE, "%s: not an account (user@host)", text);
    }
    return CTL_OK;
}

/* From `path` ("-": standard input, first line); without a path a random one, which
 * `*is_random_out` tells. */
static enum ctl_exit read_password(
        const char *path, char out[MAX_PASSWORD_BYTES + 2], bool *is_random_out)
{
    *is_random_out = path == NULL;
    if (!path) {
        uint8_t bytes[RANDOM_PASSWORD];
        struct buf text;
        buf_init(&text, 0);
        random_bytes(bytes, sizeof(bytes));
        base64_encode(&text, str_from(bytes, sizeof(bytes)));
        snprintf(out, MAX_PASSWORD_BYTES + 2, STR_FMT, STR_ARG(buf_view(&text)));
        buf_fini(&text);
        return CTL_OK;
    }
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!file) {
        return ctl_error(CTL_FAILED, "%s: cannot be read", path);
    }
    char *line = fgets(out, MAX_PASSWORD_BYTES + 2, file);
    if (file != stdin) {
        fclose(file);
    }
    if (!line || str_trim(str_from_cstr(line)).len == 0) {
        return ctl_error(
                CTL_USAGE, "no password on %s", strcmp(path, "-") == 0 ? "standard input" : path);
    }
    out[strcspn(out, "\r\n")] = '\0';
    return CTL_OK;
}

/* Writes the three verifiers in the transaction that is open. */
static enum ctl_exit store_verifiers(struct ctl *ctl, struct str owner, struct str password)
{
    const struct starlingctl_config *config = config_get(ctl->config, &config_section_starlingctl);
    char iterations[16];
    snprintf(iterations, sizeof(iterations), "%d", (int)config->scram_iterations);
    enum ctl_exit code = CTL_OK;
    for (size_t i = 0; i < sizeof(digests) / sizeof(digests[0]) && code == CTL_OK; i++) {
        uint8_t salt[SALT_BYTES];
        uint8_t stored_key[DIGEST_MAX_BYTES];
        uint8_t server_key[DIGEST_MAX_BYTES];
        char digest[4];
        struct ctl_result *result;

        random_bytes(salt, sizeof(salt));
        scram_derive(digests[i],
                password,
                str_from(salt, sizeof(salt)),
                (uint32_t)config->scram_iterations,
                stored_key,
                server_key);
        snprintf(digest, sizeof(digest), "%d", (int)digests[i]);
        struct ctl_parameter parameters[] = {
            ctl_text(owner),
            ctl_text(str_from_cstr(digest)),
            ctl_text(str_from_cstr(iterations)),
            ctl_binary(salt, sizeof(salt)),
            ctl_binary(stored_key, digest_size(digests[i])),
            ctl_binary(server_key, digest_size(digests[i])),
        };
        code = ctl_query(ctl,
                "INSERT INTO router.credential (owner, digest, iterations, salt, stored_key, server_key)"
                " VALUES ($1::bigint, $2::smallint, $3::int, $4, $5, $6)"
                " ON CONFLICT (owner, digest) DO UPDATE SET iterations = excluded.iterations,"
                " salt = excluded.salt, stored_key = excluded.stored_key, server_key = excluded.server_key",
                parameters,
                6,
                &result);
        if (code == CTL_OK) {
            ctl_result_free(result);
        }
        secret_wipe(stored_key, sizeof(stored_key));
        secret_wipe(server_key, sizeof(server_key));
    }
    return code;
}

/* What a command with a password does to the account's row. */
struct account_change {
    const char *sql;
    struct ctl_parameter parameters[3]; /* the bare JID first */
    int count;
    enum ctl_exit when_empty;
    const char *empty_text;
};

/* Runs `sql`, which returns the account's id, then stores verifiers: one transaction. */
static enum ctl_exit change_with_password(
        struct ctl *ctl, const struct account_change *change, struct str bare, struct str password)
{
    struct ctl_result *result = NULL;
    enum ctl_exit code = ctl_script(ctl, "BEGIN");
    if (code == CTL_OK) {
        code = ctl_query(ctl, change->sql, change->parameters, change->count, &result);
    }
    if (code == CTL_OK && ctl_result_rows(result) == 0) {
        code = ctl_error(change->when_empty, STR_FMT ": %s", STR_ARG(bare), change->empty_text);
    }
    if (code == CTL_OK) {
        code = store_verifiers(ctl, str_from_cstr(ctl_result_text(result, 0, 0)), password);
    }
    if (result) {
        ctl_result_free(result);
    }
    enum ctl_exit end = ctl_script(ctl, code == CTL_OK ? "COMMIT" : "ROLLBACK");
    return code == CTL_OK ? end : code;
}

/* Tells the routers, so that running sessions and caches follow. */
static void announce_change(struct ctl *ctl, struct str bare)
{
    json_t *nodes = ctl_nodes(ctl);
    char body[JID_PART_MAX_BYTES * 2 + 2];
    size_t index;
    json_t *node;

    snprintf(body, sizeof(body), STR_FMT, STR_ARG(bare));
    json_array_foreach(nodes, index, node)
    {
        if (strcmp(json_string_value(json_object_get(node, "role")), "router") == 0) {
            json_decref(ctl_http(ctl,
                    json_string_value(json_object_get(node, "http")),
                    "/v1/account-changed",
                    body,
                    false));
        }
    }
    json_decref(nodes);
}

/* One for each storage key of the router; one from before knows of "hash" only. */
static void append_hashes(struct buf *out, const json_t *answer)
{
    const json_t *hashes = json_object_get(answer, "hashes");
    size_t index;
    const json_t *hash;
    if (!hashes) {
        const char *only = json_string_value(json_object_get(answer, "hash"));
        buf_append_str(out, str_from_cstr(only ? only : ""));
    }
    json_array_foreach(hashes, index, hash)
    {
        const char *text = json_string_value(hash);
        buf_append_str(out, out->len > 0 ? STR(" ") : STR_NULL);
        buf_append_str(out, str_from_cstr(text ? text : ""));
    }
}

/* Only routers know under which hashes a name is blocked; without tombstones nobody has to be
 * asked. `hashes_out`: with spaces between them; "": there are no tombstones. */
static enum ctl_exit ask_name_hashes(struct ctl *ctl, struct str bare, struct buf *hashes_out)
{
    struct ctl_result *result;
    enum ctl_exit code = ctl_query(ctl,
            "SELECT FROM router.tombstone WHERE until > current_date LIMIT 1",
            NULL,
            0,
            &result);
    if (code != CTL_OK) {
        return code;
    }
    bool is_needed = ctl_result_rows(result) > 0;
    ctl_result_free(result);
    if (!is_needed) {
        return CTL_OK;
    }
    char body[JID_PART_MAX_BYTES * 2 + 2];
    snprintf(body, sizeof(body), STR_FMT, STR_ARG(bare));
    json_t *nodes = ctl_nodes(ctl);
    size_t index;
    json_t *node;
    json_array_foreach(nodes, index, node)
    {
        if (hashes_out->len == 0
                && strcmp(json_string_value(json_object_get(node, "role")), "router") == 0) {
            const char *http = json_string_value(json_object_get(node, "http"));
            json_t *answer = ctl_http(ctl, http, "/v1/name-hash", body, true);
            append_hashes(hashes_out, answer);
            json_decref(answer);
        }
    }
    json_decref(nodes);
    return hashes_out->len > 0
            ? CTL_OK
            : ctl_error(CTL_UNREACHABLE, "no router says whether the name is blocked");
}

static enum ctl_exit insert_account(
        struct ctl *ctl, struct str bare, struct str hashes, struct str password)
{
    uint8_t bytes[LOOK_ALIKE_MARK_BYTES];
    struct buf mark;
    precis_look_alike_mark(bare, bytes);
    buf_init(&mark, 0);
    hex_encode(&mark, str_from(bytes, sizeof(bytes)));
    /* The notice brings the welcome message of the host. */
    const struct account_change change = {
        .sql = "WITH made AS (INSERT INTO router.account (bare, look_alike)"
               " SELECT $1::text, decode($3, 'hex') WHERE NOT EXISTS"
               " (SELECT FROM router.tombstone WHERE until > current_date AND name = ANY"
               " (SELECT decode(hash, 'hex') FROM unnest(string_to_array($2::text, ' ')) AS hash))"
               " ON CONFLICT (bare) DO NOTHING RETURNING id),"
               " notice AS (INSERT INTO router.account_notice (owner, kind) SELECT id, 1 FROM made)"
               " SELECT id FROM made",
        .parameters = { ctl_text(bare), ctl_text(hashes), ctl_text(buf_view(&mark)) },
        .count = 3,
        .when_empty = CTL_EXISTS,
        .empty_text = "exists already, or did (the name is blocked)",
    };
    enum ctl_exit code = change_with_password(ctl, &change, bare, password);
    buf_fini(&mark);
    return code;
}

static enum ctl_exit make_account(struct ctl *ctl, struct str bare, struct str password)
{
    struct buf hashes;
    buf_init(&hashes, 0);
    enum ctl_exit code = ask_name_hashes(ctl, bare, &hashes);
    if (code == CTL_OK) {
        code = insert_account(ctl, bare, buf_view(&hashes), password);
    }
    buf_fini(&hashes);
    return code;
}

static enum ctl_exit renew_password(struct ctl *ctl, struct str bare, struct str password)
{
    const struct account_change change = {
        .sql = "SELECT id FROM router.account WHERE bare = $1 AND state <> 2 FOR UPDATE",
        .parameters = { ctl_text(bare) },
        .count = 1,
        .when_empty = CTL_NOT_FOUND,
        .empty_text = "no such account",
    };
    return change_with_password(ctl, &change, bare, password);
}

static enum ctl_exit set_password(struct ctl *ctl, int argc, char **argv, bool is_new)
{
    struct arena arena;
    struct jid jid;
    struct str prepared;
    char password[MAX_PASSWORD_BYTES + 2];
    bool is_random = false;

    if (argc != 1 && !(argc == 3 && strcmp(argv[1], "--password-file") == 0)) {
        return ctl_error(
                CTL_USAGE, "account %s JID [--password-file FILE|-]", is_new ? "add" : "passwd");
    }
    arena_init(&arena, 0);
    enum ctl_exit code = read_jid(&arena, argv[0], &jid);
    if (code == CTL_OK) {
        code = read_password(argc == 3 ? argv[2] : NULL, password, &is_random);
    }
    if (code == CTL_OK
            && precis_opaque_string(&arena, str_from_cstr(password), &prepared) != ERR_OK) {
        code = ctl_error(CTL_USAGE, "the password has characters that RFC 8265 does not allow");
    }
    if (code == CTL_OK) {
        code = is_new ? make_account(ctl, jid.bare, prepared)
                      : renew_password(ctl, jid.bare, prepared);
    }
    if (code == CTL_OK) {
        announce_change(ctl, jid.bare);
        json_t *object = json_pack("{s:s%}", "account", jid.bare.ptr, jid.bare.len);
        if (is_random) {
            json_object_set_new(object, "password", json_string(password));
        }
        ctl_print_object(ctl, object);
    }
    secret_wipe(password, sizeof(password));
    arena_fini(&arena);
    return code;
}

static enum ctl_exit account_add(struct ctl *ctl, int argc, char **argv)
{
    return set_password(ctl, argc, argv, true);
}

static enum ctl_exit account_passwd(struct ctl *ctl, int argc, char **argv)
{
    return set_password(ctl, argc, argv, false);
}

/* `sql` ($1 = bare JID) returns a row when it changed something. */
static enum ctl_exit change_state(
        struct ctl *ctl, int argc, char **argv, const char *verb, const char *sql)
{
    struct arena arena;
    struct jid jid;
    struct ctl_result *result;

    if (argc != 1) {
        return ctl_error(CTL_USAGE, "account %s JID", verb);
    }
    arena_init(&arena, 0);
    enum ctl_exit code = read_jid(&arena, argv[0], &jid);
    if (code == CTL_OK) {
        struct ctl_parameter parameters[] = { ctl_text(jid.bare) };
        code = ctl_query(ctl, sql, parameters, 1, &result);
    }
    if (code == CTL_OK) {
        if (ctl_result_rows(result) == 0) {
            code = ctl_error(CTL_NOT_FOUND, "%s: no such account", argv[0]);
        } else {
            announce_change(ctl, jid.bare);
        }
        ctl_result_free(result);
    }
    arena_fini(&arena);
    return code;
}

static enum ctl_exit account_disable(struct ctl *ctl, int argc, char **argv)
{
    return change_state(ctl,
            argc,
            argv,
            "disable",
            "UPDATE router.account SET state = 1, inactive_stage = 0, stage_day = NULL"
            " WHERE bare = $1 AND state IN (0, 1) RETURNING id");
}

static enum ctl_exit account_enable(struct ctl *ctl, int argc, char **argv)
{
    return change_state(ctl,
            argc,
            argv,
            "enable",
            "UPDATE router.account SET state = 0, inactive_stage = 0, stage_day = NULL,"
            " counted_from = current_date WHERE bare = $1 AND state IN (0, 1) RETURNING id");
}

/* Nobody can log in from now on. The account's home erases the rest and leaves a tombstone (C30).
 */
static enum ctl_exit account_delete(struct ctl *ctl, int argc, char **argv)
{
    return change_state(ctl,
            argc,
            argv,
            "delete",
            "WITH gone AS (UPDATE router.account SET state = 2, deleted = current_date"
            " WHERE bare = $1 AND state <> 2 RETURNING id),"
            " keys AS (DELETE FROM router.credential WHERE owner IN (SELECT id FROM gone))"
            " SELECT id FROM gone");
}

static enum ctl_exit account_list(struct ctl *ctl, int argc, char **argv)
{
    static const char *const columns[] = { "account", "state", "created", "last_login", NULL };
    struct ctl_result *result;

    if (argc > 1) {
        return ctl_error(CTL_USAGE, "account list [HOST]");
    }
    struct ctl_parameter parameters[] = { ctl_text(str_from_cstr(argc == 1 ? argv[0] : "")) };
    enum ctl_exit code = ctl_query(ctl,
            "SELECT bare, CASE state WHEN 0 THEN 'active' ELSE 'disabled' END, created,"
            " coalesce(last_login::text, '') FROM router.account"
            " WHERE state <> 2 AND ($1 = '' OR split_part(bare, '@', 2) = $1) ORDER BY bare",
            parameters,
            1,
            &result);
    if (code != CTL_OK) {
        return code;
    }
    json_t *rows = json_array();
    for (int i = 0; i < ctl_result_rows(result); i++) {
        json_array_append_new(rows,
                json_pack("{s:s, s:s, s:s, s:s}",
                        "account",
                        ctl_result_text(result, i, 0),
                        "state",
                        ctl_result_text(result, i, 1),
                        "created",
                        ctl_result_text(result, i, 2),
                        "last_login",
                        ctl_result_text(result, i, 3)));
    }
    ctl_result_free(result);
    ctl_print_rows(ctl, rows, columns);
    return CTL_OK;
}

/* clang-format off */
const struct ctl_command commands_account[] = {
    { "account add", "JID [--password-file FILE|-]", "make an account; without a file the password is random and printed", account_add },
    { "account passwd", "JID [--password-file FILE|-]", "set a new password", account_passwd },
    { "account disable", "JID", "no login any more; sessions end", account_disable },
    { "account enable", "JID", "undo disable", account_enable },
    { "account delete", "JID", "erase the account; routers do it within seconds, and block the name for a while", account_delete },
    { "account list", "[HOST]", "all accounts", account_list },
    { NULL, NULL, NULL, NULL },
};
/* clang-format on */

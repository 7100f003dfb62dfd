/* HMAC-SHA-256 over length-prefixed fields, so that no two different inputs look alike. */
#include "router/signer.h"

#include "chassis/base/encoding.h"
#include "chassis/base/mem.h"
#include "router/token_family.h"

#define MAC_BYTES         32
#define SHORT_MAC_BYTES   16
#define RANDOM_BYTES      12
#define EXPIRY_BYTES      8
#define GRANT_TIMES_BYTES (EXPIRY_BYTES + 8)      /* and when it was given, in us */
#define GRANT_HEAD_BYTES  (GRANT_TIMES_BYTES + 1) /* and for what */
#define GRANT_BY_PASSWORD 1

enum purpose {
    PURPOSE_NONCE,
    PURPOSE_GRANT,
    PURPOSE_TOKEN,
    PURPOSE_SALT,
    PURPOSE_RESUME,
    PURPOSE_FAST,
    PURPOSE_RESOURCE,
    PURPOSE_QUOTA,
    PURPOSES,
};

static const char *const purpose_labels[PURPOSES] = {
    "starling nonce 1",
    "starling grant 1",
    "starling token 1",
    "starling salt 1",
    "starling resume 1",
    "starling fast 1",
    "starling resource 1",
    "starling quota 1",
};

struct signer {
    uint8_t keys[PURPOSES][MAC_BYTES];
};

enum err signer_create(struct str secret, struct signer **signer_out)
{
    if (secret.len < SIGNER_KEY_MIN_BYTES) {
        return ERR_INVALID;
    }

    struct signer *signer = MEM_NEW(struct signer);
    for (int i = 0; i < PURPOSES; i++) {
        digest_hmac(DIGEST_SHA256, secret, str_from_cstr(purpose_labels[i]), signer->keys[i]);
    }
    *signer_out = signer;
    return ERR_OK;
}

void signer_destroy(struct signer *signer)
{
    if (signer == NULL) {
        return;
    }

    secret_wipe(signer, sizeof(*signer));
    free(signer);
}

void signer_quota_secret(const struct signer *signer, uint8_t secret_out[32])
{
    memcpy(secret_out, signer->keys[PURPOSE_QUOTA], MAC_BYTES);
}

static void mac_of(const struct signer *signer,
        enum purpose purpose,
        const struct str *fields,
        size_t count,
        uint8_t out[MAC_BYTES])
{
    struct buf text;
    buf_init(&text, 0);
    for (size_t i = 0; i < count; i++) {
        buf_append_u32be(&text, (uint32_t)fields[i].len);
        buf_append_str(&text, fields[i]);
    }
    digest_hmac(DIGEST_SHA256, str_from(signer->keys[purpose], MAC_BYTES), buf_view(&text), out);
    buf_fini(&text);
}

static void put_u64(uint8_t *out, uint64_t value)
{
    for (int i = 7; i >= 0; i--) {
        out[i] = (uint8_t)value;
        value >>= 8;
    }
}

static int64_t get_u64(struct str bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < EXPIRY_BYTES; i++) {
        value = value << 8 | (uint8_t)bytes.ptr[i];
    }

    return (int64_t)value;
}

/* ---- nonces: base64 of expiry, random bytes and a short MAC */

static void nonce_mac(const struct signer *signer,
        const struct signer_login *login,
        struct str head,
        uint8_t out[MAC_BYTES])
{
    uint8_t digest = (uint8_t)login->digest;
    struct str fields[] = {
        head,
        login->bare,
        login->edge,
        login->client_nonce,
        str_from(&digest, 1),
    };
    mac_of(signer, PURPOSE_NONCE, fields, sizeof(fields) / sizeof(fields[0]), out);
}

void signer_nonce(const struct signer *signer,
        const struct signer_login *login,
        int64_t now_s,
        struct buf *out)
{
    uint8_t raw[EXPIRY_BYTES + RANDOM_BYTES + MAC_BYTES];
    put_u64(raw, (uint64_t)(now_s + SIGNER_NONCE_VALID_S));
    random_bytes(raw + EXPIRY_BYTES, RANDOM_BYTES);
    nonce_mac(signer,
            login,
            str_from(raw, EXPIRY_BYTES + RANDOM_BYTES),
            raw + EXPIRY_BYTES + RANDOM_BYTES);
    base64_encode(out, str_from(raw, EXPIRY_BYTES + RANDOM_BYTES + SHORT_MAC_BYTES));
}

bool signer_nonce_is_valid(const struct signer *signer,
        const struct signer_login *login,
        struct str server_nonce,
        int64_t now_s)
{
    if (server_nonce.len != SIGNER_NONCE_TEXT_BYTES) {
        return false;
    }

    struct buf raw;
    buf_init(&raw, 0);
    bool is_valid = false;
    if (base64_decode(&raw, server_nonce) == ERR_OK) {
        struct str view = buf_view(&raw);
        uint8_t mac[MAC_BYTES];
        nonce_mac(signer, login, str_from(view.ptr, EXPIRY_BYTES + RANDOM_BYTES), mac);
        struct str given = str_from(view.ptr + EXPIRY_BYTES + RANDOM_BYTES, SHORT_MAC_BYTES);
        is_valid =
                str_equal_secret(given, str_from(mac, SHORT_MAC_BYTES)) && now_s <= get_u64(view);
    }
    buf_fini(&raw);
    return is_valid;
}

/* ---- grants: expiry, time of issue, for what, and MAC */

static void grant_mac(const struct signer *signer,
        struct str bare,
        struct str edge,
        struct str head,
        uint8_t out[MAC_BYTES])
{
    struct str fields[] = { head, bare, edge };
    mac_of(signer, PURPOSE_GRANT, fields, sizeof(fields) / sizeof(fields[0]), out);
}

void signer_make_grant(
        const struct signer *signer, const struct signer_grant *grant, struct buf *out)
{
    uint8_t raw[GRANT_HEAD_BYTES + MAC_BYTES];
    put_u64(raw, (uint64_t)(grant->now_us / 1000000 + SIGNER_GRANT_VALID_S));
    put_u64(raw + EXPIRY_BYTES, (uint64_t)grant->now_us);
    raw[GRANT_TIMES_BYTES] = grant->is_by_password ? GRANT_BY_PASSWORD : 0;
    grant_mac(signer,
            grant->bare,
            grant->edge,
            str_from(raw, GRANT_HEAD_BYTES),
            raw + GRANT_HEAD_BYTES);
    buf_append(out, raw, sizeof(raw));
}

static bool is_whole(struct str grant)
{
    return grant.len == GRANT_HEAD_BYTES + MAC_BYTES;
}

/* Of the version before: it does not say for what. */
static bool is_timed(struct str grant)
{
    return is_whole(grant) || grant.len == GRANT_TIMES_BYTES + MAC_BYTES;
}

bool signer_grant_is_valid(const struct signer *signer,
        struct str bare,
        struct str edge,
        struct str grant,
        int64_t now_s)
{
    if (!is_timed(grant)) {
        return false;
    }

    struct str head = str_from(grant.ptr, grant.len - MAC_BYTES);
    uint8_t mac[MAC_BYTES];
    grant_mac(signer, bare, edge, head, mac);
    return str_equal_secret(str_from(grant.ptr + head.len, MAC_BYTES), str_from(mac, MAC_BYTES))
            && now_s <= get_u64(grant);
}

int64_t signer_grant_issued_us(struct str grant)
{
    return is_timed(grant) ? get_u64(str_from(grant.ptr + EXPIRY_BYTES, EXPIRY_BYTES)) : 0;
}

bool signer_grant_is_by_password(struct str grant)
{
    return is_whole(grant) && grant.ptr[GRANT_TIMES_BYTES] == GRANT_BY_PASSWORD;
}

/* ---- session tokens: MAC alone */

static void put_u32(uint8_t *out, uint32_t value)
{
    for (int i = 3; i >= 0; i--) {
        out[i] = (uint8_t)value;
        value >>= 8;
    }
}

#define FIRST_ATTACH 1

static void token_mac(
        const struct signer *signer, const struct signer_session *session, uint8_t out[MAC_BYTES])
{
    uint8_t id[16];
    uint8_t attach[4];
    put_u64(id, session->session.hi);
    put_u64(id + 8, session->session.lo);
    put_u32(attach, session->attach);
    struct str fields[] = {
        str_from(id, sizeof(id)),
        session->full,
        session->edge,
        str_from(attach, sizeof(attach)),
    };
    size_t count = sizeof(fields) / sizeof(fields[0]);
    mac_of(signer, PURPOSE_TOKEN, fields, session->attach == FIRST_ATTACH ? count - 1 : count, out);
}

void signer_token(
        const struct signer *signer, const struct signer_session *session, struct buf *out)
{
    uint8_t mac[MAC_BYTES];
    token_mac(signer, session, mac);
    buf_append(out, mac, sizeof(mac));
}

bool signer_token_is_valid(
        const struct signer *signer, const struct signer_session *session, struct str token)
{
    uint8_t mac[MAC_BYTES];
    token_mac(signer, session, mac);
    return str_equal_secret(token, str_from(mac, MAC_BYTES));
}

/* ---- resumption: hex of session, bases and a short MAC */

#define RESUME_HEAD_BYTES 24

static uint64_t get_number(const uint8_t *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value = value << 8 | at[i];
    }

    return value;
}

void signer_resume_id(const struct signer *signer,
        struct str bare,
        const struct signer_resume *resume,
        struct buf *out)
{
    uint8_t raw[RESUME_HEAD_BYTES + MAC_BYTES];
    put_u64(raw, resume->session.hi);
    put_u64(raw + 8, resume->session.lo);
    put_u32(raw + 16, resume->sequence);
    put_u32(raw + 20, resume->counter);
    struct str fields[] = { str_from(raw, RESUME_HEAD_BYTES), bare };
    mac_of(signer, PURPOSE_RESUME, fields, 2, raw + RESUME_HEAD_BYTES);
    hex_encode(out, str_from(raw, RESUME_HEAD_BYTES + SHORT_MAC_BYTES));
}

enum err signer_open_resume_id(const struct signer *signer,
        struct str bare,
        struct str resume_id,
        struct signer_resume *resume_out)
{
    uint8_t raw[RESUME_HEAD_BYTES + SHORT_MAC_BYTES];
    uint8_t mac[MAC_BYTES];
    if (hex_decode(resume_id, raw, sizeof(raw)) != ERR_OK) {
        return ERR_DENIED;
    }

    struct str fields[] = { str_from(raw, RESUME_HEAD_BYTES), bare };
    mac_of(signer, PURPOSE_RESUME, fields, 2, mac);
    if (!str_equal_secret(str_from(raw + RESUME_HEAD_BYTES, SHORT_MAC_BYTES),
                str_from(mac, SHORT_MAC_BYTES))) {
        return ERR_DENIED;
    }

    resume_out->session = (struct id128){ get_number(raw, 8), get_number(raw + 8, 8) };
    resume_out->sequence = (uint32_t)get_number(raw + 16, 4);
    resume_out->counter = (uint32_t)get_number(raw + 20, 4);
    return ERR_OK;
}

/* ---- clients */

static struct str client_bytes(struct id128 client, uint8_t out[16])
{
    put_u64(out, client.hi);
    put_u64(out + 8, client.lo);
    return str_from(out, 16);
}

void signer_fast_token(const struct signer *signer,
        struct str bare,
        struct id128 client,
        const struct token_slot *slot,
        struct buf *out)
{
    uint8_t id[16];
    uint8_t expires[EXPIRY_BYTES];
    uint8_t mechanism = (uint8_t)slot->mechanism;
    uint8_t mac[MAC_BYTES];
    put_u64(expires, (uint64_t)slot->expires_s);
    struct str fields[] = {
        str_from(slot->seed, sizeof(slot->seed)),
        bare,
        client_bytes(client, id),
        str_from(&mechanism, 1),
        str_from(expires, sizeof(expires)),
    };
    mac_of(signer, PURPOSE_FAST, fields, sizeof(fields) / sizeof(fields[0]), mac);
    base64_encode(out, str_from(mac, sizeof(mac)));
    secret_wipe(mac, sizeof(mac));
}

void signer_resource(const struct signer *signer,
        struct str bare,
        struct id128 client,
        char out[SIGNER_RESOURCE_BYTES])
{
    uint8_t id[16];
    uint8_t mac[MAC_BYTES];
    struct str fields[] = { bare, client_bytes(client, id) };
    mac_of(signer, PURPOSE_RESOURCE, fields, sizeof(fields) / sizeof(fields[0]), mac);
    struct buf text;
    buf_init(&text, 0);
    hex_encode(&text, str_from(mac, SIGNER_RESOURCE_BYTES / 2));
    memcpy(out, text.data, SIGNER_RESOURCE_BYTES);
    buf_fini(&text);
}

void signer_fake_salt(
        const struct signer *signer, struct str bare, enum digest digest, uint8_t salt_out[16])
{
    uint8_t number = (uint8_t)digest;
    uint8_t mac[MAC_BYTES];
    struct str fields[] = { bare, str_from(&number, 1) };
    mac_of(signer, PURPOSE_SALT, fields, sizeof(fields) / sizeof(fields[0]), mac);
    memcpy(salt_out, mac, 16);
}

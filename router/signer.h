/* What a router signs so that any other router can go on: SCRAM nonces, login grants and session
 * tokens. Each purpose has its own key, derived from router.token_key_file; edges have none of
 * them. Pure but for random bytes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/digest.h"
#include "chassis/base/err.h"
#include "chassis/base/id128.h"
#include "chassis/base/str.h"

#define SIGNER_KEY_MIN_BYTES    32
#define SIGNER_NONCE_VALID_S    60
#define SIGNER_GRANT_VALID_S    60
#define SIGNER_NONCE_TEXT_BYTES 48 /* printable, no comma (RFC 5802 §7) */

struct signer;

/* ERR_INVALID: the secret is too short. */
MUST_USE enum err signer_create(struct str secret, struct signer **signer_out);
void signer_destroy(struct signer *signer); /* accepts NULL; wipes */

/* Makes keys of accounts and addresses in Redis (router/quota.h). */
void signer_quota_secret(const struct signer *signer, uint8_t secret_out[32]);

/* Who tries to log in, where, and what the client has chosen. */
struct signer_login {
    struct str bare;
    struct str edge;
    struct str client_nonce;
    enum digest digest;
};

/* The server's half of a SCRAM nonce. Unpredictable, and valid only for this login. */
void signer_nonce(const struct signer *signer,
        const struct signer_login *login,
        int64_t now_s,
        struct buf *out);
bool signer_nonce_is_valid(const struct signer *signer,
        const struct signer_login *login,
        struct str server_nonce,
        int64_t now_s);

/* "This edge has proved to us that its client is `bare`": what Bind presents. */
struct signer_grant {
    struct str bare;
    struct str edge;
    int64_t now_us;
    bool is_by_password; /* not by a token (XEP-0484) */
};
void signer_make_grant(
        const struct signer *signer, const struct signer_grant *grant, struct buf *out);
bool signer_grant_is_valid(const struct signer *signer,
        struct str bare,
        struct str edge,
        struct str grant,
        int64_t now_s);
/* When a valid one was given, on the wall clock of who gave it; 0: it does not say. */
int64_t signer_grant_issued_us(struct str grant);
/* Of a valid one: the client has shown that it knows the password. */
bool signer_grant_is_by_password(struct str grant);

/* "This edge holds this attachment of this session": what Announce presents (P9). Every holder has
 * that of the first attachment, which names none, as tokens did before there were others. */
struct signer_session {
    struct id128 session;
    struct str full;
    struct str edge;
    uint32_t attach; /* the first is 1 */
};
void signer_token(
        const struct signer *signer, const struct signer_session *session, struct buf *out);
bool signer_token_is_valid(
        const struct signer *signer, const struct signer_session *session, struct str token);

/* What a resumable session is known by (XEP-0198 §3): printable, and worth nothing without having
 * authenticated as `bare`. */
struct signer_resume {
    struct id128 session;
    uint32_t sequence; /* where the client's h counts from */
    uint32_t counter;  /* where our h counts from */
};
void signer_resume_id(const struct signer *signer,
        struct str bare,
        const struct signer_resume *resume,
        struct buf *out);
/* ERR_DENIED: not made by us for `bare`. */
MUST_USE enum err signer_open_resume_id(const struct signer *signer,
        struct str bare,
        struct str resume_id,
        struct signer_resume *resume_out);

/* A token to log in with (XEP-0484), out of its slot's seed. Printable. */
struct token_slot;
void signer_fast_token(const struct signer *signer,
        struct str bare,
        struct id128 client,
        const struct token_slot *slot,
        struct buf *out);

/* The end of a client's resource (XEP-0386 §3.2.1): always the same, and tells nothing of the
 * client's id. */
#define SIGNER_RESOURCE_BYTES 16
void signer_resource(const struct signer *signer,
        struct str bare,
        struct id128 client,
        char out[SIGNER_RESOURCE_BYTES]);

/* Salt of a user who does not exist: always the same one, so that nobody learns it (B13). */
void signer_fake_salt(
        const struct signer *signer, struct str bare, enum digest digest, uint8_t salt_out[16]);

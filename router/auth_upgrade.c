/* New verifiers (XEP-0480): an account that was brought from elsewhere with some of them only gets
 * the others from its own clients. One that is there is never replaced, so that nobody who borrows
 * a session changes a password by this way. */
#include "chassis/base/digest.h"
#include "proto/xmpp/scram.h"
#include "router/auth.h"
#include "router/auth_attempt.h"
#include "router/router.h"

static void on_added(void *context, enum err err, int64_t id)
{
    (void)id;
    struct attempt *attempt = context;
    if (err == ERR_CLOSED) {
        return; /* auth_destroy frees it */
    }
    bool is_there = err == ERR_OK || err == ERR_EXISTS;
    attempt_answer(attempt, is_there ? WIRE__STATUS__STATUS_OK : WIRE__STATUS__STATUS_TEMPORARY);
}

void auth_on_upgrade(struct auth *auth, struct peer *edge, const Wire__AuthUpgrade *message)
{
    struct attempt *attempt = attempt_create(auth, edge, message->request, wire_str(message->bare));
    struct str salt = wire_str(message->salt);
    struct str salted = wire_str(message->salted_password);
    bool is_good = message->digest < VERIFIERS
            && message->iterations == (uint32_t)auth->router->settings->scram_iterations
            && salt.len == sizeof(attempt->verifier.salt)
            && salted.len == digest_size((enum digest)message->digest);
    if (!is_good) {
        attempt_answer(attempt, WIRE__STATUS__STATUS_INVALID);
        return;
    }
    attempt->digest = (enum digest)message->digest;
    attempt->verifier.iterations = message->iterations;
    attempt->verifier.salt_len = salt.len;
    memcpy(attempt->verifier.salt, salt.ptr, salt.len);
    scram_derive_salted(
            attempt->digest, salted, attempt->verifier.stored_key, attempt->verifier.server_key);
    account_add_verifier(auth->router->accounts,
            attempt->bare,
            attempt->digest,
            &attempt->verifier,
            on_added,
            attempt);
}

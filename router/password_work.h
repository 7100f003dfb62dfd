/* PBKDF2 on the thread pool, bounded: so many at a time, so many waiting. A flood of logins costs
 * its own senders time, not the loop, and not without end. Loop thread only. */
#pragma once

#include <stddef.h>

#include "chassis/base/digest.h"
#include "chassis/base/err.h"
#include "router/store/account_store.h"

struct loop;
struct password_work;

struct password_work *password_work_create(struct loop *loop);
/* Accepts NULL. The loop has ended; work that runs is left to finish on its own. */
void password_work_destroy(struct password_work *work);

/* `verifier` has the keys that salt and iterations give; valid during the call. */
typedef void (*password_derived)(void *context, const struct verifier *verifier);
/* Copies the password (prepared), salt and iterations. ERR_LIMIT: too many wait; no callback. */
MUST_USE enum err password_derive(struct password_work *work,
        enum digest digest,
        struct str password,
        const struct verifier *parameters,
        password_derived done,
        void *context);

/* New verifiers with fresh salts for all digests: registration, change of password. NULL in the
 * callback: too many waited in between. */
typedef void (*password_derived_all)(void *context, const struct verifier *verifiers);
MUST_USE enum err password_derive_all(struct password_work *work,
        struct str password,
        uint32_t iterations,
        password_derived_all done,
        void *context);

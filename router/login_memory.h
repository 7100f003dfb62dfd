/* Verifiers between the two steps of SCRAM logins, so that the last step does not ask the database
 * again. Only a saving: an entry serves once and for seconds, few are kept, and a router that has
 * none asks (the steps stay without state as far as anybody can tell). Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "router/store/account_store.h"

#define LOGIN_MEMORY_MS  10000
#define LOGIN_MEMORY_MAX 1000

struct login_memory;

struct remembered_login {
    struct account_row row;
    struct verifier verifier; /* the user's, or the fake one */
    bool is_known;
};

struct login_memory *login_memory_create(void);
void login_memory_destroy(struct login_memory *memory); /* accepts NULL; wipes */

/* `nonce` is the server's, which is valid for one bare JID, edge and client only. The oldest makes
 * room. */
void login_memory_put(struct login_memory *memory,
        struct str nonce,
        struct str bare,
        const struct remembered_login *login,
        int64_t now_ms);
/* Moves it out; false: it is not there, or too old. */
bool login_memory_take(struct login_memory *memory,
        struct str nonce,
        int64_t now_ms,
        struct remembered_login *login_out);
/* The account has changed. */
void login_memory_forget(struct login_memory *memory, struct str bare);

/* How a row of account data is sealed (router/store/account_data_store.h): its value is bound to
 * account, kind and key, so that no row can stand for another; its key is a keyed hash of the same
 * length, so that quotas count alike. Pure. */
#pragma once

#include "router/store/account_data_store.h"
#include "router/vault.h"

/* Where a row belongs. */
struct data_place {
    enum account_data_kind kind;
    size_t key_len;
    uint8_t lookup[VAULT_LOOKUP_BYTES];
};

/* `key`: at most VAULT_LOOKUP_BYTES; an empty one stays empty, as there is one row of its kind. */
struct data_place data_place_of(
        const struct vault_key *account, enum account_data_kind kind, struct str key);
/* The row's key; a view into `place`. */
struct str data_place_key(const struct data_place *place);

/* Appends. */
void data_seal(const struct vault_key *account,
        const struct data_place *place,
        struct str value,
        struct buf *sealed_out);
/* ERR_DENIED: not sealed there, or touched. */
MUST_USE enum err data_open(const struct vault_key *account,
        const struct data_place *place,
        struct str sealed,
        struct buf *value_out);

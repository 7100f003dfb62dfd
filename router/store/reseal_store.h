/* What is not yet sealed as it should be: account keys under another service key, rows of account
 * data from before there were seals. Every change names what it replaces, so that it needs no
 * fence: whoever wrote meanwhile has won. For router/reseal.c. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/base/str.h"
#include "router/store/account_data_store.h"

struct pg_pool;
struct reseal_store;

#define RESEAL_MAX_KEYS 200 /* of one batch */
#define RESEAL_MAX_ROWS 20  /* likewise; each has up to the limits of its kind */
#define RESEAL_MAX_TAGS 64

struct reseal_store *reseal_store_create(struct pg_pool *pool);
void reseal_store_destroy(struct reseal_store *store); /* accepts NULL */

struct reseal_key {
    int64_t owner;
    struct str wrapped;
    struct str anew; /* in a change */
};

/* Whose keys there are: the tags (router/vault.h) of all service keys that have wrapped one, at
 * most RESEAL_MAX_TAGS, and a key of those without id, if any is left. Valid during the call. */
typedef void (*reseal_tags_loaded)(void *context,
        enum err err,
        const struct str *tags,
        size_t count,
        const struct reseal_key *any); /* NULL: none */
void reseal_load_tags(struct reseal_store *store, reseal_tags_loaded done, void *context);

/* What is left to do. */
typedef void (*reseal_counted)(void *context, enum err err, int64_t keys, int64_t rows);
void reseal_count(
        struct reseal_store *store, struct str newest, reseal_counted done, void *context);

/* Keys under another tag than `newest`, of owners behind `after`, in their order. */
typedef void (*reseal_keys_loaded)(
        void *context, enum err err, const struct reseal_key *keys, size_t count);
void reseal_load_keys(struct reseal_store *store,
        struct str newest,
        int64_t after,
        reseal_keys_loaded done,
        void *context);

typedef void (*reseal_done)(void *context, enum err err);
void reseal_put_keys(struct reseal_store *store,
        const struct reseal_key *keys,
        size_t count,
        reseal_done done,
        void *context);

/* Rows in the clear of accounts that are not deleted, behind that owner. */
struct reseal_row {
    int64_t owner;
    struct str bare;
    enum account_data_kind kind;
    struct str key;
    struct str value;
    struct str wrapped_key; /* "": the account has none */
    struct str sealed_key;  /* in a change, with `sealed`; `wrapped_key` then is a new one or "" */
    struct str sealed;
};
typedef void (*reseal_rows_loaded)(
        void *context, enum err err, const struct reseal_row *rows, size_t count);
void reseal_load_rows(
        struct reseal_store *store, int64_t after, reseal_rows_loaded done, void *context);
/* ERR_CONFLICT: it is another one by now. ERR_UNAVAILABLE also: the account has a key by now. */
void reseal_put_row(
        struct reseal_store *store, const struct reseal_row *row, reseal_done done, void *context);

/* Places of account data as tables of the vault. */
#include "router/data_seal.h"

/* Part of every seal: never changed. */
static const char *table_of(enum account_data_kind kind)
{
    switch (kind) {
    case ACCOUNT_DATA_PRIVATE_XML: return "private xml";
    case ACCOUNT_DATA_VCARD: return "vcard";
    case ACCOUNT_DATA_BLOCKLIST: return "block list";
    }
    ASSERT(false);
}

struct data_place data_place_of(
        const struct vault_key *account, enum account_data_kind kind, struct str key)
{
    ASSERT(key.len <= VAULT_LOOKUP_BYTES);
    struct data_place place = { .kind = kind, .key_len = key.len };
    vault_lookup(account, table_of(kind), key, place.lookup);
    return place;
}

struct str data_place_key(const struct data_place *place)
{
    return str_from(place->lookup, place->key_len);
}

void data_seal(const struct vault_key *account,
        const struct data_place *place,
        struct str value,
        struct buf *sealed_out)
{
    vault_seal(account, table_of(place->kind), place->lookup, value, sealed_out);
}

enum err data_open(const struct vault_key *account,
        const struct data_place *place,
        struct str sealed,
        struct buf *value_out)
{
    return vault_open(account, table_of(place->kind), place->lookup, sealed, value_out);
}

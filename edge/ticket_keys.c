/* Reading and finding ticket keys; the sealing itself is OpenSSL's. */
#include "edge/ticket_keys.h"

#include <string.h>

#include "chassis/base/digest.h"
#include "chassis/base/encoding.h"
#include "chassis/config.h"

enum {
    TICKET_KEY_BYTES = 80,
};

static enum err add_key(struct ticket_keys *keys, struct str line, struct buf *why)
{
    if (keys->count == TICKET_KEYS_MAX) {
        buf_printf(why, "more than %d ticket keys\n", TICKET_KEYS_MAX);
        return ERR_LIMIT;
    }
    uint8_t bytes[TICKET_KEY_BYTES];
    if (line.len != sizeof(bytes) * 2 || hex_decode(line, bytes, sizeof(bytes)) != ERR_OK) {
        /* Never the line itself: it is a secret, nearly right. */
        buf_printf(why,
                "ticket key %zu is not %d hex digits\n",
                keys->count + 1,
                TICKET_KEY_BYTES * 2);
        return ERR_INVALID;
    }
    struct ticket_key *key = &keys->items[keys->count++];
    memcpy(key->name, bytes, sizeof(key->name));
    memcpy(key->aes, bytes + sizeof(key->name), sizeof(key->aes));
    memcpy(key->hmac, bytes + sizeof(key->name) + sizeof(key->aes), sizeof(key->hmac));
    secret_wipe(bytes, sizeof(bytes));
    return ERR_OK;
}

enum err ticket_keys_parse(struct str text, struct ticket_keys *keys_out, struct buf *why)
{
    struct ticket_keys keys = { .count = 0 };
    enum err err = ERR_OK;
    while (!str_is_empty(text) && err == ERR_OK) {
        struct str line = str_trim(str_cut(&text, '\n'));
        if (!str_is_empty(line) && line.ptr[0] != '#') {
            err = add_key(&keys, line, why);
        }
    }
    if (err == ERR_OK && keys.count == 0) {
        buf_append_literal(why, "no ticket key in the file\n");
        err = ERR_INVALID;
    }
    if (err == ERR_OK) {
        *keys_out = keys;
    }
    secret_wipe(&keys, sizeof(keys));
    return err;
}

enum err ticket_keys_load(const char *path, struct ticket_keys *keys_out, struct buf *why)
{
    struct buf secret;
    buf_init(&secret, 0);
    enum err err = config_read_secret(path, &secret, why);
    if (err == ERR_OK) {
        err = ticket_keys_parse(buf_view(&secret), keys_out, why);
    }
    buf_fini_secret(&secret);
    return err;
}

void ticket_keys_of_process(struct ticket_keys *keys_out)
{
    static struct ticket_keys own;
    if (own.count == 0) {
        random_bytes(&own.items[0], sizeof(own.items[0]));
        own.count = 1;
    }
    *keys_out = own;
}

const struct ticket_key *ticket_keys_find(const struct ticket_keys *keys, const uint8_t name[16])
{
    for (size_t i = 0; i < keys->count; i++) {
        if (memcmp(keys->items[i].name, name, sizeof(keys->items[i].name)) == 0) {
            return &keys->items[i];
        }
    }
    return NULL;
}

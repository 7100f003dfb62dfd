/* Attributes are separated by commas, and a nonce holds none: plain searches are exact. */
#include "router/scram_message.h"

#include "chassis/base/buf.h"

/* What is behind `needle`, beginning with its last byte; ptr NULL: it is not there. */
static struct str from_end_of(struct str text, struct str needle)
{
    const char *found = text.ptr ? memmem(text.ptr, text.len, needle.ptr, needle.len) : NULL;
    if (found == NULL) {
        return STR_NULL;
    }

    const char *last = found + needle.len - 1;
    return str_from(last, (size_t)(text.ptr + text.len - last));
}

bool scram_message_has_nonces(
        struct str auth_message, struct str client_nonce, struct str server_nonce)
{
    if (client_nonce.len == 0 || str_find_char(client_nonce, ',') != client_nonce.len) {
        return false;
    }

    struct buf client;
    struct buf both;
    buf_init(&client, 0);
    buf_init(&both, 0);
    buf_printf(&client, ",r=" STR_FMT ",", STR_ARG(client_nonce));
    buf_printf(&both, ",r=" STR_FMT STR_FMT ",", STR_ARG(client_nonce), STR_ARG(server_nonce));

    struct str rest = from_end_of(auth_message, buf_view(&client));
    rest = from_end_of(rest, buf_view(&both));
    struct str at_end = buf_view(&both);
    at_end.len--; /* the last attribute has no comma behind it */
    bool is_final = rest.ptr != NULL
            && (from_end_of(rest, buf_view(&both)).ptr != NULL || str_ends_with(rest, at_end));
    buf_fini(&client);
    buf_fini(&both);
    return is_final;
}

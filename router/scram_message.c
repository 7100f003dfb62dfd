/* Attributes are separated by commas, and a nonce holds none: plain searches are exact. */
#include "router/scram_message.h"

#include "chassis/base/buf.h"

/* What is behind the first `needle`; ptr NULL: it is not there. */
static struct str behind(struct str text, struct str needle)
{
    if (text.ptr == NULL) {
        return STR_NULL;
    }

    const char *found = memmem(text.ptr, text.len, needle.ptr, needle.len);
    if (found == NULL) {
        return STR_NULL;
    }

    size_t skipped = (size_t)(found - text.ptr) + needle.len;
    return str_from(text.ptr + skipped, text.len - skipped);
}

bool scram_message_has_nonces(
        struct str auth_message, struct str client_nonce, struct str server_nonce)
{
    if (client_nonce.len == 0 || str_find_char(client_nonce, ',') != client_nonce.len) {
        return false;
    }

    struct buf first;
    struct buf both;
    buf_init(&first, 0);
    buf_init(&both, 0);
    buf_printf(&first, ",r=" STR_FMT ",", STR_ARG(client_nonce));
    buf_printf(&both, "r=" STR_FMT STR_FMT, STR_ARG(client_nonce), STR_ARG(server_nonce));

    /* The comma behind the client's nonce is the one before the server's attribute. */
    struct str rest = behind(auth_message, buf_view(&first));
    bool has_server = rest.ptr != NULL && str_starts_with(rest, buf_view(&both));
    buf_clear(&first);
    buf_append_char(&first, ',');
    buf_append_str(&first, buf_view(&both));
    struct str tail = has_server ? behind(rest, buf_view(&first)) : STR_NULL;
    bool has_final = tail.ptr != NULL && (tail.len == 0 || tail.ptr[0] == ',');
    buf_fini(&first);
    buf_fini(&both);
    return has_final;
}

/* The transcript that both sides of a bus connection sign. */
#include "chassis/link_auth.h"

#include "chassis/base/digest.h"
#include "chassis/base/encoding.h"

static void add_text(struct buf *out, struct str text)
{
    buf_append_u32be(out, (uint32_t)text.len);
    buf_append_str(out, text);
}

static void add_hello(struct buf *out, const struct link_hello *hello)
{
    buf_append_u32be(out, hello->version_min);
    buf_append_u32be(out, hello->version_max);
    add_text(out, hello->node);
    buf_append_u32be(out, hello->role);
    buf_append_u64be(out, hello->boot_epoch);
    add_text(out, hello->nonce);
    add_text(out, hello->address);
    buf_append_u64be(out, hello->max_frame_bytes);
}

void link_auth_prove(
        struct str secret, const struct link_auth_input *input, uint8_t mac_out[LINK_AUTH_BYTES])
{
    struct buf transcript;
    buf_init(&transcript, 0);
    /* The label keeps a proof from being sent back to its maker. */
    add_text(&transcript,
            input->side == LINK_AUTH_DIALER ? STR("starling bus, dialer")
                                            : STR("starling bus, listener"));
    buf_append_u32be(&transcript, input->version);
    add_hello(&transcript, input->dialer);
    add_hello(&transcript, input->listener);
    buf_append_u64be(&transcript, input->last_seq);
    digest_hmac(DIGEST_SHA256, secret, buf_view(&transcript), mac_out);
    buf_fini(&transcript);
}

bool link_auth_verify(struct str secret, const struct link_auth_input *input, struct str mac)
{
    if (str_is_empty(secret)) {
        return false;
    }
    uint8_t expected[LINK_AUTH_BYTES];
    link_auth_prove(secret, input, expected);
    return str_equal_secret(str_from(expected, sizeof(expected)), mac);
}

/* Transcripts begin with a length, so no proof with the core secret is ever an edge's secret. */
void link_auth_edge_secret(
        struct str core_secret, struct str node, char text_out[LINK_EDGE_SECRET_BYTES])
{
    uint8_t mac[LINK_AUTH_BYTES];
    struct buf label, text;
    buf_init(&label, 0);
    buf_init(&text, 0);
    buf_append_str(&label, STR("edge:"));
    buf_append_str(&label, node);
    digest_hmac(DIGEST_SHA256, core_secret, buf_view(&label), mac);
    hex_encode(&text, str_from(mac, sizeof(mac)));
    memcpy(text_out, text.data, LINK_EDGE_SECRET_BYTES);
    secret_wipe(mac, sizeof(mac));
    buf_fini(&label);
    buf_fini_secret(&text);
}

struct str link_auth_secret(const struct link_auth_self *self,
        uint32_t role,
        struct str node,
        char room[LINK_EDGE_SECRET_BYTES])
{
    if (self->role == LINK_ROLE_EDGE) {
        return role == LINK_ROLE_ROUTER ? self->edge_secret : STR_NULL;
    }
    if (role != LINK_ROLE_EDGE) {
        return self->core_secret;
    }
    if (self->role != LINK_ROLE_ROUTER || str_is_empty(self->core_secret)) {
        return STR_NULL; /* what is derived from nothing, everybody can derive */
    }
    link_auth_edge_secret(self->core_secret, node, room);
    return str_from(room, LINK_EDGE_SECRET_BYTES);
}

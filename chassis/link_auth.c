/* The transcript that both sides of a bus connection sign. */
#include "chassis/link_auth.h"

#include "chassis/base/digest.h"

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

struct str link_auth_secret(
        struct str edge_secret, struct str core_secret, uint32_t one_role, uint32_t other_role)
{
    bool has_edge = one_role == LINK_ROLE_EDGE || other_role == LINK_ROLE_EDGE;
    return has_edge ? edge_secret : core_secret;
}

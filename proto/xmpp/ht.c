/* Hashed tokens. */
#include "proto/xmpp/ht.h"

#include "chassis/base/buf.h"

const char *ht_binding_name(enum ht_mechanism mechanism)
{
    switch (mechanism) {
    case HT_SHA_256_EXPR: return "tls-exporter";
    case HT_SHA_256_ENDP: return "tls-server-end-point";
    case HT_ABSENT:
    case HT_SHA_256_NONE:
    case HT_MECHANISMS: break;
    }
    return "";
}

static void proof_of(struct str role, struct str token, struct str binding, uint8_t *out)
{
    struct buf text;
    buf_init(&text, 0);
    buf_append_str(&text, role);
    buf_append_str(&text, binding);
    digest_hmac(DIGEST_SHA256, token, buf_view(&text), out);
    buf_fini(&text);
}

void ht_initiator(struct str token, struct str binding, uint8_t out[HT_PROOF_BYTES])
{
    proof_of(STR("Initiator"), token, binding, out);
}

void ht_responder(struct str token, struct str binding, uint8_t out[HT_PROOF_BYTES])
{
    proof_of(STR("Responder"), token, binding, out);
}

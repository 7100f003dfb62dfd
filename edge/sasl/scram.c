/* SCRAM's messages, RFC 5802 §5 and §7, with channel binding after GS2 (RFC 5801 §4). The grammar
 * is taken strictly: attributes in their order, nothing missing, nothing twice (B12). */
#include "chassis/base/encoding.h"
#include "edge/sasl/exchange.h"

/* ---- the grammar's pieces */

/* "<letter>=<value>" at the front, up to the comma or the end. */
static bool take_attribute(struct str *rest, char letter, struct str *value_out)
{
    if (rest->len < 2 || rest->ptr[0] != letter || rest->ptr[1] != '=') {
        return false;
    }
    struct str attribute = str_cut(rest, ',');
    *value_out = str_from(attribute.ptr + 2, attribute.len - 2);
    return true;
}

/* attr-val = ALPHA "=" 1*value-char. Optional extensions are to be ignored (§5.1), "m" is not: it
 * demands to be understood. */
static bool are_extensions(struct str rest)
{
    while (!str_is_empty(rest)) {
        bool ends_in_comma = rest.ptr[rest.len - 1] == ',';
        struct str attribute = str_cut(&rest, ',');
        char letter = attribute.len > 2 ? attribute.ptr[0] : '\0';
        bool is_alpha = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
        if (!is_alpha || letter == 'm' || attribute.ptr[1] != '=' || !str_is_utf8(attribute)
                || memchr(attribute.ptr, 0, attribute.len) != NULL
                || (ends_in_comma && str_is_empty(rest))) {
            return false;
        }
    }
    return true;
}

/* printable = %x21-2B / %x2D-7E: ASCII without comma, space and controls. */
static bool is_nonce(struct str nonce)
{
    for (size_t i = 0; i < nonce.len; i++) {
        if (nonce.ptr[i] < '!' || nonce.ptr[i] > '~' || nonce.ptr[i] == ',') {
            return false;
        }
    }
    return nonce.len > 0 && nonce.len <= SASL_MAX_NONCE_BYTES;
}

/* saslname: "=2C" and "=3D" stand for comma and equals sign, no other use of '=' (§5.1). */
static bool decode_name(struct arena *arena, struct str text, struct str *name_out)
{
    if (text.len == 0 || text.len > SASL_MAX_NAME_BYTES || !str_is_utf8(text)
            || memchr(text.ptr, 0, text.len) != NULL) {
        return false;
    }
    char *name = arena_alloc(arena, text.len);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '=') {
            struct str rest = str_from(text.ptr + i, text.len - i);
            bool is_comma = str_starts_with(rest, STR("=2C"));
            if (!is_comma && !str_starts_with(rest, STR("=3D"))) {
                return false;
            }
            c = is_comma ? ',' : '=';
            i += 2;
        }
        name[len++] = c;
    }
    *name_out = str_from(name, len);
    return true;
}

static struct str decode_base64(struct sasl_exchange *exchange, struct str text, bool *ok_out)
{
    struct buf decoded;
    buf_init(&decoded, 0);
    *ok_out = base64_decode(&decoded, text) == ERR_OK;
    struct str bytes = str_dup(&exchange->arena, buf_view(&decoded));
    if (decoded.data != NULL) {
        secret_wipe(decoded.data, decoded.capacity);
    }
    buf_fini(&decoded);
    return bytes;
}

/* ---- client-first-message = gs2-header client-first-message-bare */

static const struct sasl_binding *find_binding(
        const struct sasl_exchange *exchange, struct str name)
{
    for (size_t i = 0; i < exchange->binding_count; i++) {
        if (str_equal(name, str_from_cstr(exchange->bindings[i].name))) {
            return &exchange->bindings[i];
        }
    }
    return NULL;
}

/* gs2-cbind-flag: "p=name", "n" or "y" (§6). */
static enum sasl_condition take_binding_flag(struct sasl_exchange *exchange, struct str flag)
{
    bool is_plus = exchange->mechanism->is_plus;
    if (str_starts_with(flag, STR("p="))) {
        if (!is_plus) {
            return SASL_MALFORMED_REQUEST;
        }
        exchange->binding = find_binding(exchange, str_from(flag.ptr + 2, flag.len - 2));
        return exchange->binding != NULL ? SASL_OK : SASL_NOT_AUTHORIZED; /* B15 */
    }
    if (str_equal(flag, STR("y"))) {
        /* B16: the client could bind and thinks that we cannot, though we offered it: somebody
         * removed the offer on the way. */
        exchange->is_binding_mismatch = exchange->plus_was_offered;
        if (exchange->plus_was_offered) {
            return SASL_NOT_AUTHORIZED;
        }
    } else if (!str_equal(flag, STR("n"))) {
        return SASL_MALFORMED_REQUEST;
    }
    return is_plus ? SASL_MALFORMED_REQUEST : SASL_OK;
}

struct client_first {
    struct str flag;
    struct str authzid; /* decoded */
    struct str name;    /* decoded */
    struct str nonce;
};

static bool parse_client_first(
        struct sasl_exchange *exchange, struct str data, struct client_first *message_out)
{
    struct str rest = data;
    struct str name = STR_NULL;
    message_out->authzid = STR_NULL;
    message_out->flag = str_cut(&rest, ',');
    if (rest.len == 0) {
        return false;
    }
    struct str authzid = STR_NULL;
    bool has_authzid = take_attribute(&rest, 'a', &authzid);
    if (has_authzid) {
        if (!decode_name(&exchange->arena, authzid, &message_out->authzid)) {
            return false;
        }
    } else if (rest.ptr[0] != ',') {
        return false;
    } else {
        rest = str_from(rest.ptr + 1, rest.len - 1);
    }
    exchange->gs2_header = str_dup(&exchange->arena, str_from(data.ptr, data.len - rest.len));
    exchange->client_first_bare = str_dup(&exchange->arena, rest);
    /* "m=" in front of the name fails here: no mandatory extension exists. */
    return take_attribute(&rest, 'n', &name)
            && decode_name(&exchange->arena, name, &message_out->name)
            && take_attribute(&rest, 'r', &message_out->nonce) && is_nonce(message_out->nonce)
            && are_extensions(rest) && data.ptr[data.len - 1] != ',';
}

enum sasl_next scram_client_first(struct sasl_exchange *exchange, struct str data)
{
    struct client_first message;
    if (!parse_client_first(exchange, data, &message)) {
        return sasl_fail(exchange, SASL_MALFORMED_REQUEST);
    }
    exchange->client_nonce = str_dup(&exchange->arena, message.nonce);
    enum sasl_condition condition = take_binding_flag(exchange, message.flag);
    if (condition == SASL_OK) {
        condition = sasl_take_user(exchange, message.name);
    }
    if (condition == SASL_OK) {
        condition = sasl_check_authzid(exchange, message.authzid);
    }
    if (condition != SASL_OK) {
        return sasl_fail(exchange, condition);
    }
    exchange->state = SASL_STATE_LOOKUP;
    return SASL_NEXT_LOOKUP;
}

/* ---- server-first-message = "r=" nonce ",s=" salt ",i=" count */

/* XEP-0474 §6.1: lets a client see that nobody has changed what was offered. */
static void append_offer_hash(const struct sasl_exchange *exchange, struct buf *out)
{
    uint8_t hash[DIGEST_MAX_BYTES];
    enum digest digest = exchange->mechanism->digest;
    digest_hash(digest, exchange->advertised, hash);
    buf_append_literal(out, ",h=");
    base64_encode(out, str_from(hash, digest_size(digest)));
}

enum sasl_next scram_server_first(struct sasl_exchange *exchange,
        struct str salt,
        uint32_t iterations,
        struct str server_nonce,
        struct buf *out)
{
    struct buf text;
    buf_init(&text, 0);
    buf_append_str(&text, exchange->client_nonce);
    buf_append_str(&text, server_nonce);
    exchange->full_nonce = str_dup(&exchange->arena, buf_view(&text));
    exchange->server_nonce = str_dup(&exchange->arena, server_nonce);

    buf_clear(&text);
    buf_append_literal(&text, "r=");
    buf_append_str(&text, exchange->full_nonce);
    buf_append_literal(&text, ",s=");
    base64_encode(&text, salt);
    buf_printf(&text, ",i=%u", iterations);
    if (!str_is_empty(exchange->advertised)) {
        append_offer_hash(exchange, &text);
    }
    exchange->server_first = str_dup(&exchange->arena, buf_view(&text));
    buf_fini(&text);

    buf_append_str(out, exchange->server_first);
    exchange->state = SASL_STATE_FINAL;
    return SASL_NEXT_CHALLENGE;
}

/* ---- client-final-message = "c=" cbind ",r=" nonce ["," extensions] ",p=" proof */

/* The proof is the last attribute; what is before its comma is authenticated by it. */
static bool split_proof(struct str data, struct str *without_proof_out, struct str *proof_out)
{
    size_t at = data.len;
    while (at > 0 && data.ptr[at - 1] != ',') {
        at--;
    }
    if (at == 0) {
        return false;
    }
    struct str last = str_from(data.ptr + at, data.len - at);
    *without_proof_out = str_from(data.ptr, at - 1);
    return take_attribute(&last, 'p', proof_out);
}

/* cbind-input = gs2-header [cbind-data] */
static bool is_expected_binding(const struct sasl_exchange *exchange, struct str input)
{
    struct str expected = exchange->gs2_header;
    struct str bound = STR_NULL;
    if (exchange->binding != NULL) {
        bound = str_from(exchange->binding->bytes, exchange->binding->len);
    }
    return input.len == expected.len + bound.len
            && str_equal_secret(expected, str_from(input.ptr, expected.len))
            && str_equal_secret(bound, str_from(input.ptr + expected.len, bound.len));
}

static void make_auth_message(struct sasl_exchange *exchange, struct str without_proof)
{
    struct buf text;
    buf_init(&text, 0);
    buf_append_str(&text, exchange->client_first_bare);
    buf_append_char(&text, ',');
    buf_append_str(&text, exchange->server_first);
    buf_append_char(&text, ',');
    buf_append_str(&text, without_proof);
    exchange->auth_message = str_dup(&exchange->arena, buf_view(&text));
    buf_fini(&text);
}

enum sasl_next scram_client_final(struct sasl_exchange *exchange, struct str data)
{
    struct str without_proof = STR_NULL;
    struct str proof_text = STR_NULL;
    struct str binding_text = STR_NULL;
    struct str nonce = STR_NULL;
    bool proof_ok = false;
    bool binding_ok = false;
    if (!split_proof(data, &without_proof, &proof_text)) {
        return sasl_fail(exchange, SASL_MALFORMED_REQUEST);
    }
    struct str rest = without_proof;
    if (!take_attribute(&rest, 'c', &binding_text) || !take_attribute(&rest, 'r', &nonce)
            || !are_extensions(rest) || str_ends_with(without_proof, STR(","))) {
        return sasl_fail(exchange, SASL_MALFORMED_REQUEST);
    }
    struct str binding = decode_base64(exchange, binding_text, &binding_ok);
    exchange->proof = decode_base64(exchange, proof_text, &proof_ok);
    if (!binding_ok || !proof_ok
            || exchange->proof.len != digest_size(exchange->mechanism->digest)) {
        return sasl_fail(exchange, SASL_MALFORMED_REQUEST);
    }
    if (!is_expected_binding(exchange, binding)) {
        exchange->is_binding_mismatch = true;
        return sasl_fail(exchange, SASL_NOT_AUTHORIZED);
    }
    if (!str_equal(nonce, exchange->full_nonce)) {
        return sasl_fail(exchange, SASL_NOT_AUTHORIZED);
    }
    make_auth_message(exchange, without_proof);
    exchange->state = SASL_STATE_VERIFY;
    return SASL_NEXT_VERIFY;
}

/* ---- server-final-message = "v=" signature */

void scram_server_final(struct str server_signature, struct buf *out)
{
    buf_append_literal(out, "v=");
    base64_encode(out, server_signature);
}

/* SASL exchanges: the first byte picks the mechanism, the rest is messages, parted by 0xFF (never
 * part of UTF-8). The router's answers are played by fixed values. */
#include "chassis/base/err.h"
#include "edge/sasl/mechanism.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sasl_binding bindings[] = {
    { .name = "tls-exporter", .bytes = { 1, 2, 3 }, .len = 3 },
};

static void check_failure(const struct sasl_exchange *exchange)
{
    ASSERT(sasl_failure(exchange) > SASL_OK && sasl_failure(exchange) < SASL_CONDITION_COUNT);
}

static void check_verify(const struct sasl_exchange *exchange)
{
    ASSERT(str_ends_with(sasl_bare(exchange), STR("@example.org")));
    ASSERT(str_is_utf8(sasl_bare(exchange)));
}

/* Plays the router until it is the client's turn again; false at the end. */
static bool answer(struct sasl_exchange *exchange, enum sasl_next next, struct buf *out)
{
    switch (next) {
    case SASL_NEXT_CHALLENGE: return true;
    case SASL_NEXT_LOOKUP:
        check_verify(exchange);
        return answer(exchange,
                sasl_exchange_lookup(exchange, STR("salt"), 4096, STR("SERVER"), out),
                out);
    case SASL_NEXT_VERIFY:
    case SASL_NEXT_PLAIN:
    case SASL_NEXT_TOKEN:
        check_verify(exchange);
        next = sasl_exchange_verified(exchange, SASL_OK, STR("signature"), out);
        ASSERT(next == SASL_NEXT_SUCCESS);
        return false;
    case SASL_NEXT_FAILURE: check_failure(exchange); return false;
    case SASL_NEXT_SUCCESS: break;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const struct sasl_environment environment = {
        .host = STR("example.org"),
        .bindings = bindings,
        .binding_count = (data[0] & 128) != 0 ? 1 : 0,
        .advertised = STR("PLAIN"),
        .plus_was_offered = (data[0] & 128) != 0,
    };
    struct sasl_exchange *exchange =
            sasl_exchange_create(&sasl_mechanisms[data[0] % 10], &environment);
    struct str rest = str_from(data + 1, size - 1);
    struct buf out;
    buf_init(&out, 0);
    bool goes_on = true;
    for (int step = 0; goes_on && step < 4; step++) {
        struct str message = str_cut(&rest, (char)0xFF);
        goes_on = answer(exchange,
                sasl_exchange_step(exchange, message, !str_is_empty(message), &out),
                &out);
    }
    sasl_exchange_destroy(exchange);
    buf_fini(&out);
    return 0;
}

/* <authenticate/> with whatever is inside: the bytes are its children as canonical XML. What is
 * accepted keeps its bounds. */
#include "chassis/base/err.h"
#include "edge/sasl2_request.h"
#include "proto/xmpp/jid.h"
#include "proto/xmpp/xml_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct sasl2_request *request)
{
    struct sasl2_wish wish;
    struct arena arena;
    struct str tag;
    arena_init(&arena, 0);
    ASSERT(request->tag.len == 0
            || (jid_prepare_resource(&arena, request->tag, &tag) == ERR_OK
                    && str_equal(tag, request->tag)));
    arena_fini(&arena);
    ASSERT(request->count <= INT64_MAX && request->upgrades < 8);
    ASSERT(request->wanted_token < HT_MECHANISMS);
    Wire__TokenWish *wanted = sasl2_request_wish(request, &wish);
    ASSERT(!wanted || !id128_is_zero(wire_id(wanted->client)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct xml_element element = { .children = str_from(data, size) };
    struct sasl2_request *request = NULL;
    struct str first;
    bool has_first;
    if (sasl2_request_parse(&element, &request, &first, &has_first) == ERR_OK) {
        ASSERT(has_first || first.len == 0);
        check(request);
    }
    sasl2_request_destroy(request);
    return 0;
}

/* PROXY headers: what the parser takes, it takes whole; more bytes behind change nothing. */
#include "chassis/base/err.h"
#include "edge/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header header;
    struct proxy_header again;
    enum err err = proxy_header_parse(str_from(data, size), &header);
    if (err == ERR_OK) {
        ASSERT(header.bytes > 0 && header.bytes <= size);
        ASSERT(header.bytes <= PROXY_HEADER_MAX_BYTES);
        ASSERT(proxy_header_parse(str_from(data, header.bytes), &again) == ERR_OK);
        ASSERT(again.bytes == header.bytes && again.has_address == header.has_address);
        ASSERT(proxy_header_parse(str_from(data, header.bytes - 1), &again) == ERR_AGAIN);
    }
    /* The listener peeks at so many bytes: they must be enough for a verdict. */
    ASSERT(err != ERR_AGAIN || size < PROXY_HEADER_MAX_BYTES);
    return 0;
}

/* Frames of the bus: the header never promises more than allowed (F02), and what was decoded
 * encodes to a frame that decodes and encodes alike. */
#include "chassis/link_frame.h"

#define MAX_BODY_BYTES 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_header(struct str bytes)
{
    size_t length = 0;
    if (link_frame_measure(bytes, MAX_BODY_BYTES, &length) == ERR_OK) {
        ASSERT(length > LINK_FRAME_HEADER_BYTES);
        ASSERT(length <= LINK_FRAME_HEADER_BYTES + MAX_BODY_BYTES);
    }
}

/* The body of the one frame in `encoded`. */
static struct str body_of(const struct buf *encoded)
{
    struct str bytes = buf_view(encoded);
    return str_from(bytes.ptr + LINK_FRAME_HEADER_BYTES, bytes.len - LINK_FRAME_HEADER_BYTES);
}

static void check_frame(struct arena *arena, const struct link_frame *frame)
{
    struct buf once;
    struct buf twice;
    struct link_frame again;
    buf_init(&once, 0);
    buf_init(&twice, 0);
    link_frame_encode(&once, frame);
    size_t length = 0;
    ASSERT(link_frame_measure(buf_view(&once), SIZE_MAX, &length) == ERR_OK);
    ASSERT(length == once.len);
    ASSERT(link_frame_decode(arena, body_of(&once), &again) == ERR_OK);
    ASSERT(again.type == frame->type);
    link_frame_encode(&twice, &again);
    ASSERT(str_equal(buf_view(&once), buf_view(&twice)));
    buf_fini(&once);
    buf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_from(data, size);
    struct link_frame frame;
    struct arena arena;
    arena_init(&arena, 0);
    check_header(bytes);
    if (link_frame_decode(&arena, bytes, &frame) == ERR_OK && frame.type != LINK_FRAME_UNKNOWN) {
        check_frame(&arena, &frame);
    }
    arena_fini(&arena);
    return 0;
}

/* "L-RUN-STREAM-NUMBER-TIME", decimal; see message_id.h. */
#include "tests/load/message_id.h"

#include <stdio.h>

size_t message_id_format(const struct message_id *id, char out[MESSAGE_ID_MAX_BYTES])
{
    int len = snprintf(out,
            MESSAGE_ID_MAX_BYTES,
            "L-%u-%u-%llu-%llu",
            id->run,
            id->stream,
            (unsigned long long)id->number,
            (unsigned long long)id->time_us);
    return (size_t)len;
}

bool message_id_parse(struct str text, struct message_id *id_out)
{
    uint64_t run;
    uint64_t stream;
    struct message_id id;
    if (!str_equal(str_cut(&text, '-'), STR("L")) || !str_to_u64(str_cut(&text, '-'), &run)
            || !str_to_u64(str_cut(&text, '-'), &stream)
            || !str_to_u64(str_cut(&text, '-'), &id.number) || !str_to_u64(text, &id.time_us)
            || run > UINT32_MAX || stream > UINT32_MAX) {
        return false;
    }
    id.run = (uint32_t)run;
    id.stream = (uint32_t)stream;
    *id_out = id;
    return true;
}

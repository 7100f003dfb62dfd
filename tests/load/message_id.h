/* What a message of ours says about itself, in its id: which run, which stream of messages, its
 * number, and when it should have been sent. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/str.h"

#define MESSAGE_ID_MAX_BYTES 80

struct message_id {
    uint32_t run;
    uint32_t stream;
    uint64_t number;
    uint64_t time_us;
};

size_t message_id_format(const struct message_id *id, char out[MESSAGE_ID_MAX_BYTES]);
bool message_id_parse(struct str text, struct message_id *id_out);

/* Delayed delivery, XEP-0203 2.0. */
#pragma once

#include <stdint.h>

#include "chassis/base/buf.h"

/* <delay xmlns='urn:xmpp:delay' from= stamp=/> */
void delay_write(struct buf *out, struct str from, int64_t wall_us);

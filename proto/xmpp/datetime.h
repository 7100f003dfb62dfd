/* Date and time of XEP-0082, UTC. */
#pragma once

#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/base/str.h"

#define DATETIME_SIZE 28 /* 2026-11-23T08:34:00.123456Z and NUL */
void datetime_format(int64_t wall_us, char out[DATETIME_SIZE]); /* milliseconds: ...00.123Z */
MUST_USE enum err datetime_parse(struct str text, int64_t *wall_us_out);

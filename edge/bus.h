/* The edge on the bus: opens the link, checks who says what, hands records to uplink and downlink.
 */
#pragma once

#include "chassis/base/buf.h"
#include "chassis/base/err.h"

struct edge;

/* Fills edge->link, ->redis and ->registry; uplink and downlink are there already. */
MUST_USE enum err bus_open(struct edge *edge, struct buf *why);
void bus_close(struct edge *edge);

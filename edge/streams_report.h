/* GET /v1/streams on the inner port: who is connected, and how (for starlingctl streams). */
#pragma once

struct edge;

void streams_report_route(struct edge *edge);

/* The end of an edge in order: no new streams, those that are there end with system-shutdown spread
 * over a window, then everything they sent and their ends are answered for by routers. */
#pragma once

struct drain;
struct edge;

struct drain *drain_create(struct edge *edge);
void drain_destroy(struct drain *drain); /* accepts NULL */
/* Calls service_drained at the end. */
void drain_start(struct drain *drain);

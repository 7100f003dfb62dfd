/* The hooks of the edge's struct service: puts its parts together and takes them apart. */
#pragma once

#include "chassis/service.h"

enum err process_start(struct service_context *context, void **state_out);
void process_reload(void *state, const struct config *config);
void process_drain(void *state);
void process_stop(void *state);

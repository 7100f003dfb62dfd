/* From a stream header to a session: what a client answers at each step. Part of the fleet. */
#pragma once

#include "tests/load/fleet.h"

void login_send_header(struct client *client);
/* An element while the client is not ready. It may fail the client. */
void login_take(struct client *client, struct str element);
/* Clears what a login alone needs. */
void login_forget(struct client *client);

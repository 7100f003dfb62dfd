/* What a router checks of a stanza from an edge before anybody believes it (F09). Pure. */
#pragma once

#include <stdbool.h>

#include "proto/xmpp/stanza.h"

#define STANZA_CHECK_MAX_DEPTH    100
#define STANZA_CHECK_MAX_ELEMENTS 25000

/* Legal XML characters in all header texts, addresses that split, `from` of the account `bare`,
 * children that are canonical XML. */
bool stanza_check_input(const struct stanza *stanza, struct str bare);
/* The same for a stanza of the component `domain`: of anybody there, to somebody. */
bool stanza_check_component(const struct stanza *stanza, struct str domain);
/* What an edge answers its own client, besides stanza_check_input: an error, or an empty result,
 * from a legal address. */
bool stanza_check_answer(const struct stanza *stanza, struct str answer_from);
/* A bare JID as it may come over the bus: local@domain, legal characters. */
bool stanza_check_bare(struct str bare);
bool stanza_check_full(struct str full);

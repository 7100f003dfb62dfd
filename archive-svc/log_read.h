/* LogOpen, LogRead and LogErase: each is asked and answered on its own, in no order among each
 * other. */
#pragma once

#include "archive-svc/asker.h"

void log_read_open(struct asker *asker, const Wire__LogOpen *request);
void log_read_page(struct asker *asker, const Wire__LogRead *request);
void log_read_erase(struct asker *asker, const Wire__LogErase *request);

/* What modes share; see modes.h. */
#include "tests/load/modes.h"

#include <stdio.h>

void mode_finish(json_t *result, const struct fleet *fleet, bool is_fine)
{
    is_fine = is_fine && fleet->failures == 0 && fleet->ack_errors == 0;
    json_object_set_new(result, "failures", json_integer((json_int_t)fleet->failures));
    if (fleet->failures > 0) {
        json_object_set_new(result, "first_failure", json_string(fleet->first_failure));
    }
    if (fleet->settings->has_carbons) {
        json_object_set_new(result, "carbons", json_integer((json_int_t)fleet->carbons));
    }
    json_object_set_new(result, "ack_errors", json_integer((json_int_t)fleet->ack_errors));
    json_object_set_new(result, "ok", json_boolean(is_fine));
}

void mode_tell_ready(const struct settings *settings)
{
    FILE *file = settings->ready_file ? fopen(settings->ready_file, "we") : NULL;
    if (file) {
        fclose(file);
    }
}

/* Presence fan-out. */
#include "tests/load/modes.h"

json_t *mode_presence_run(const struct settings *settings)
{
    (void)settings;
    fprintf(stderr, "starling-load: presence is not there yet\n");
    return NULL;
}
json_t *mode_muc_run(const struct settings *settings)
{
    (void)settings;
    fprintf(stderr, "starling-load: muc is not there yet\n");
    return NULL;
}

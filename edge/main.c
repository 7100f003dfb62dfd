/* The edge: client streams in front of the routers. */
#include "edge/process.h"
#include "edge/settings.h"

static const struct service service = {
    .name = "edge",
    .sections = settings_sections,
    .start = process_start,
    .reload = process_reload,
    .drain = process_drain,
    .stop = process_stop,
};

int main(int argc, char **argv)
{
    return service_main(&service, argc, argv);
}

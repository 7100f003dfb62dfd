/* The router: home of accounts. */
#include "router/router_service.h"

int main(int argc, char **argv)
{
    static const struct service service = {
        .name = "router",
        .sections = settings_sections,
        .start = router_start,
        .reload = router_reload,
        .drain = router_drain,
        .stop = router_stop,
    };
    return service_main(&service, argc, argv);
}

/* The router: home of accounts. */
#include <stdio.h>

#include "chassis/base/buf.h"
#include "router/features_doap.h"
#include "router/router_service.h"

static int print(void (*write)(struct buf *out))
{
    struct buf out;
    buf_init(&out, 0);
    write(&out);
    size_t written = fwrite(out.data + out.start, 1, out.len, stdout);
    bool is_whole = written == out.len;
    buf_fini(&out);
    return is_whole ? 0 : 1;
}

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
    struct str option = str_from_cstr(argc == 2 ? argv[1] : "");
    if (str_equal(option, STR("--features"))) {
        return print(features_print_specs);
    }
    if (str_equal(option, STR("--doap"))) {
        return print(features_print_doap);
    }
    return service_main(&service, argc, argv);
}

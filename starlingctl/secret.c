/* starlingctl secret edge: what an edge needs to be believed on the bus. */
#include <stdio.h>

#include "chassis/base/digest.h"
#include "chassis/link_address.h"
#include "chassis/link_auth.h"
#include "starlingctl/ctl.h"

static enum ctl_exit read_core_secret(const struct ctl *ctl, struct buf *secret)
{
    const struct link_config *bus = config_get(ctl->config, &config_section_bus);
    if (bus->core_secret_file[0] == '\0') {
        return ctl_error(CTL_USAGE, "bus.core_secret_file is not set");
    }
    struct buf why;
    buf_init(&why, 0);
    enum ctl_exit code = CTL_OK;
    if (config_read_secret(bus->core_secret_file, secret, &why) != ERR_OK) {
        code = ctl_error(CTL_FAILED, STR_FMT, STR_ARG(buf_view(&why)));
    }
    buf_fini(&why);
    return code;
}

/* Alone on its line, so that it can be redirected into the edge's bus.edge_secret_file. */
static void print_secret(const struct ctl *ctl, const char *node, struct str secret)
{
    if (ctl->json) {
        ctl_print_object(
                ctl, json_pack("{s:s, s:s%}", "node", node, "secret", secret.ptr, secret.len));
    } else {
        printf(STR_FMT "\n", STR_ARG(secret));
    }
}

static enum ctl_exit secret_edge(struct ctl *ctl, int argc, char **argv)
{
    if (argc != 1 || !link_node_name_is_valid(str_from_cstr(argv[0]))) {
        return ctl_error(CTL_USAGE, "secret edge NODE");
    }
    struct buf core;
    buf_init(&core, 0);
    enum ctl_exit code = read_core_secret(ctl, &core);
    if (code == CTL_OK) {
        char text[LINK_EDGE_SECRET_BYTES];
        link_auth_edge_secret(buf_view(&core), str_from_cstr(argv[0]), text);
        print_secret(ctl, argv[0], str_from(text, sizeof(text)));
        secret_wipe(text, sizeof(text));
    }
    buf_fini_secret(&core);
    return code;
}

/* clang-format off */
const struct ctl_command commands_secret[] = {
    { "secret edge", "NODE", "the edge's own secret, for its bus.edge_secret_file", secret_edge },
    { NULL, NULL, NULL, NULL },
};
/* clang-format on */

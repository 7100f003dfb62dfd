/* Which secret a process proves itself with. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "chassis/config.h"
#include "chassis/link.h"

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void assert_secret(const struct link_config *config, enum link_role role, const char *wanted)
{
    struct buf secret;
    struct buf why;
    buf_init(&secret, 0);
    buf_init(&why, 0);
    assert_int_equal(link_config_read_secret(config, role, &secret, &why), ERR_OK);
    assert_true(str_equal(buf_view(&secret), str_from_cstr(wanted)));
    buf_fini_secret(&secret);
    buf_fini(&why);
}

static void edges_have_their_own_and_all_others_the_core_secret(void **state)
{
    (void)state;
    char folder[] = "/tmp/starling-secret-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char edge[64];
    char core[64];
    (void)snprintf(edge, sizeof(edge), "%s/edge", folder);
    (void)snprintf(core, sizeof(core), "%s/core", folder);
    write_file(edge, "of the edge\n");
    write_file(core, "of the core\n");
    struct link_config config = { .edge_secret_file = edge, .core_secret_file = core };
    assert_secret(&config, LINK_ROLE_EDGE, "of the edge");
    assert_secret(&config, LINK_ROLE_ROUTER, "of the core");
    assert_secret(&config, LINK_ROLE_ARCHIVE, "of the core");
    unlink(core);
    struct buf secret;
    struct buf why;
    buf_init(&secret, 0);
    buf_init(&why, 0);
    assert_int_equal(
            link_config_read_secret(&config, LINK_ROLE_ROUTER, &secret, &why), ERR_NOT_FOUND);
    assert_true(why.len > 0);
    buf_fini_secret(&secret);
    buf_fini(&why);
    config.core_secret_file = folder + strlen(folder); /* none */
    assert_secret(&config, LINK_ROLE_ROUTER, "");
    unlink(edge);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges_have_their_own_and_all_others_the_core_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

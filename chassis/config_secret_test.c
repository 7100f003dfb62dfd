/* Secret files: private, not empty, bounded. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "chassis/config.h"

static char path[] = "/tmp/config_secret_test.XXXXXX";

static void write_file(const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static enum err read_secret(const char *text, mode_t mode, struct buf *secret)
{
    struct buf why;
    buf_init(&why, 0);
    write_file(text, mode);
    enum err err = config_read_secret(path, secret, &why);
    assert_true((err == ERR_OK) == (why.len == 0));
    buf_fini(&why);
    return err;
}

static void secrets_are_private_and_not_empty(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct buf secret;
    buf_init(&secret, 0);
    assert_int_equal(read_secret("key\n", 0640, &secret), ERR_OK);
    assert_true(str_equal(buf_view(&secret), STR("key")));
    assert_int_equal(read_secret("a\nb", 0600, &secret), ERR_OK);
    assert_true(str_equal(buf_view(&secret), STR("a\nb")));
    assert_int_equal(read_secret("key\n", 0644, &secret), ERR_DENIED);
    assert_int_equal(read_secret("\n", 0600, &secret), ERR_INVALID);
    char *large = calloc(1, 65538);
    memset(large, 'k', 65537);
    assert_int_equal(read_secret(large, 0600, &secret), ERR_LIMIT);
    large[65536] = '\0';
    assert_int_equal(read_secret(large, 0600, &secret), ERR_OK);
    assert_int_equal(secret.len, 65536);
    free(large);
    unlink(path);
    struct buf why;
    buf_init(&why, 0);
    assert_int_equal(config_read_secret(path, &secret, &why), ERR_NOT_FOUND);
    assert_int_equal(config_read_secret("/tmp", &secret, &why), ERR_INVALID);
    buf_fini(&why);
    buf_fini(&secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_are_private_and_not_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Loading certificates: good, broken, expired. */
#include "edge/tls_context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/tls_files.h"

static struct tls_files files;
static struct buf why;

static void assert_why(const char *word)
{
    buf_append_char(&why, '\0');
    if (strstr(buf_view(&why).ptr, word) == NULL) {
        fail_msg("\"%s\" is not in: %s", word, buf_view(&why).ptr);
    }
}

/* A context with one certificate for the default host. */
static enum err load(const char *certificate,
        const char *key,
        bool allow_expired,
        struct tls_context **context_out)
{
    char cert_path[128];
    char key_path[128];
    const struct tls_certificate entry = {
        .host = "",
        .cert_file = tls_files_path(&files, certificate, "pem", cert_path),
        .key_file = tls_files_path(&files, key, "key", key_path),
    };
    const struct tls_options options = {
        .certificates = &entry,
        .certificate_count = 1,
        .tls12 = true,
        .ticket_keys_file = "",
        .alpn = "xmpp-client",
        .allow_expired = allow_expired,
    };
    buf_clear(&why);
    return tls_context_create(&options, &why, context_out);
}

static void a_good_certificate_loads(void **state)
{
    (void)state;
    struct tls_context *context = NULL;
    assert_int_equal(load("ec", "ec", false, &context), ERR_OK);
    assert_int_equal(why.len, 0);
    assert_in_range(tls_context_days_remaining(context), 89, 90);
    assert_ptr_equal(tls_context_ref(context), context);
    tls_context_unref(context);
    assert_non_null(tls_context_ssl(context));
    tls_context_unref(context);
    tls_context_unref(NULL);
}

static void broken_files_are_refused_with_a_sentence(void **state)
{
    (void)state;
    /* H06 */
    struct tls_context *context = NULL;
    assert_int_not_equal(load("absent", "ec", false, &context), ERR_OK);
    assert_why("absent.pem of host \"\": cannot be read");
    assert_int_not_equal(load("ec", "absent", false, &context), ERR_OK);
    assert_why("its key cannot be read");
    assert_int_not_equal(load("half", "ec", false, &context), ERR_OK);
    assert_why("cannot be read");
    assert_int_not_equal(load("ec", "half", false, &context), ERR_OK);
    assert_why("its key cannot be read");
    assert_null(context);
}

static void a_key_of_another_certificate_is_refused(void **state)
{
    (void)state;
    /* H06 */
    struct tls_context *context = NULL;
    assert_int_not_equal(load("ec", "ec2", false, &context), ERR_OK);
    assert_why("does not match");
    assert_int_not_equal(load("ec", "rsa", false, &context), ERR_OK);
    assert_why("does not match");
    assert_null(context);
}

static void expired_needs_the_flag(void **state)
{
    (void)state;
    /* H06 */
    struct tls_context *context = NULL;
    assert_int_not_equal(load("expired", "expired", false, &context), ERR_OK);
    assert_why("expired");
    assert_null(context);
    assert_int_equal(load("expired", "expired", true, &context), ERR_OK);
    assert_true(tls_context_days_remaining(context) < 0);
    tls_context_unref(context);
    context = NULL;
    assert_int_not_equal(load("future", "future", true, &context), ERR_OK);
    assert_why("not valid yet");
    assert_null(context);
}

static void every_problem_gets_its_sentence(void **state)
{
    (void)state;
    char ec[2][128];
    char rsa[2][128];
    struct tls_context *context = NULL;
    const struct tls_certificate entries[] = {
        { "a.example", "/nonexistent/a.pem", "/nonexistent/a.key" },
        { "b.example",
                tls_files_path(&files, "ec", "pem", ec[0]),
                tls_files_path(&files, "ec", "key", ec[1]) },
        { "b.example",
                tls_files_path(&files, "rsa", "pem", rsa[0]),
                tls_files_path(&files, "rsa", "key", rsa[1]) },
        { "b.example", ec[0], ec[1] },
    };
    struct tls_options options = {
        .certificates = entries,
        .certificate_count = 4,
        .ticket_keys_file = "/nonexistent/tickets",
        .alpn = "xmpp-client",
    };
    buf_clear(&why);
    assert_int_not_equal(tls_context_create(&options, &why, &context), ERR_OK);
    assert_why("a.pem of host \"a.example\"");
    assert_why("another with a key of this type");
    assert_why("/nonexistent/tickets");
    buf_clear(&why);
    options.certificate_count = 0;
    assert_int_equal(tls_context_create(&options, &why, &context), ERR_NOT_FOUND);
    assert_null(context);
}

static int make_files(void **state)
{
    (void)state;
    static const struct tls_file_spec specs[] = {
        { .name = "ec", .key = "EC", .dns = "example.org" },
        { .name = "ec2", .key = "EC", .dns = "example.org" },
        { .name = "rsa", .key = "RSA", .dns = "example.org" },
        { .name = "expired", .key = "EC", .dns = "x", .from_seconds = -2000, .until_seconds = -9 },
        { .name = "future", .key = "EC", .dns = "x", .from_seconds = 999, .until_seconds = 9999 },
    };
    tls_files_open(&files);
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        tls_files_make(&files, &specs[i]);
    }
    tls_files_write(&files, "half", "pem", "-----BEGIN CERTIFICATE-----\nMIIB");
    tls_files_write(&files, "half", "key", "-----BEGIN PRIVATE KEY-----\nMIIB");
    buf_init(&why, 0);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    tls_files_close(&files);
    buf_fini(&why);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_certificate_loads),
        cmocka_unit_test(broken_files_are_refused_with_a_sentence),
        cmocka_unit_test(a_key_of_another_certificate_is_refused),
        cmocka_unit_test(expired_needs_the_flag),
        cmocka_unit_test(every_problem_gets_its_sentence),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}

/* PBKDF2 away from the loop: right answers, bounded queue. */
#include "router/password_work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/xmpp/scram.h"
#include "tests/lib/scratch_servers.h"

#define WAIT_MS 20000

static struct loop *loop;
static struct password_work *work;

static int begin(void **state)
{
    (void)state;
    loop = loop_create(&clock_system);
    work = password_work_create(loop);
    return 0;
}

static int end(void **state)
{
    (void)state;
    password_work_destroy(work);
    loop_destroy(loop);
    return 0;
}

struct answer {
    bool is_done;
    bool has_verifiers;
    struct verifier verifiers[VERIFIERS];
};

static void on_derived(void *context, const struct verifier *verifier)
{
    struct answer *answer = context;
    answer->verifiers[0] = *verifier;
    answer->is_done = true;
}

static void on_all(void *context, const struct verifier *verifiers)
{
    struct answer *answer = context;
    answer->is_done = true;
    if (verifiers != NULL) {
        answer->has_verifiers = true;
        memcpy(answer->verifiers, verifiers, sizeof(answer->verifiers));
    }
}

static void one_derivation_is_that_of_scram(void **state)
{
    (void)state;
    struct verifier parameters = { .iterations = 4096, .salt_len = 3, .salt = { 1, 2, 3 } };
    struct answer answer = { .is_done = false };
    assert_int_equal(
            password_derive(work, DIGEST_SHA256, STR("pencil"), &parameters, on_derived, &answer),
            ERR_OK);
    assert_true(scratch_run_until(loop, scratch_is_true, &answer.is_done, WAIT_MS));
    uint8_t stored_key[DIGEST_MAX_BYTES];
    uint8_t server_key[DIGEST_MAX_BYTES];
    scram_derive(DIGEST_SHA256,
            STR("pencil"),
            str_from(parameters.salt, 3),
            4096,
            stored_key,
            server_key);
    assert_memory_equal(answer.verifiers[0].stored_key, stored_key, 32);
    assert_memory_equal(answer.verifiers[0].server_key, server_key, 32);
}

static void a_set_has_a_fresh_salt_for_each_digest(void **state)
{
    (void)state;
    struct answer answer = { .is_done = false };
    assert_int_equal(password_derive_all(work, STR("pencil"), 10000, on_all, &answer), ERR_OK);
    assert_true(scratch_run_until(loop, scratch_is_true, &answer.is_done, WAIT_MS));
    assert_true(answer.has_verifiers);
    assert_memory_not_equal(answer.verifiers[0].salt, answer.verifiers[1].salt, 16);
    for (int i = 0; i < VERIFIERS; i++) {
        const struct verifier *verifier = &answer.verifiers[i];
        uint8_t stored_key[DIGEST_MAX_BYTES];
        uint8_t server_key[DIGEST_MAX_BYTES];
        scram_derive((enum digest)i,
                STR("pencil"),
                str_from(verifier->salt, verifier->salt_len),
                10000,
                stored_key,
                server_key);
        assert_memory_equal(verifier->stored_key, stored_key, digest_size((enum digest)i));
    }
}

static void on_counted(void *context, const struct verifier *verifier)
{
    (void)verifier;
    int *left = context;
    if (--*left == 0) {
        loop_stop(loop);
    }
}

/* B17: a flood of logins is refused, not queued without end; what was taken is worked off. */
static void a_flood_is_refused_beyond_the_bound(void **state)
{
    (void)state;
    struct verifier parameters = { .iterations = 1, .salt_len = 1, .salt = { 1 } };
    int left = 0;
    int taken = 0;
    while (password_derive(work, DIGEST_SHA1, STR("x"), &parameters, on_counted, &left) == ERR_OK) {
        taken++;
        left++;
        assert_true(taken < 10000);
    }
    assert_in_range(taken, 1000, 1010);
    loop_run(loop);
    assert_int_equal(left, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(one_derivation_is_that_of_scram),
        CASE(a_set_has_a_fresh_salt_for_each_digest),
        CASE(a_flood_is_refused_beyond_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

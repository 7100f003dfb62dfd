/* Mapping acknowledged raw bytes to plain bytes. */
#include "edge/ack_track.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void acknowledged_raw_bytes_tell_plain_bytes(void **state)
{
    (void)state;
    struct ack_track track = { .count = 0 };
    assert_true(ack_track_is_settled(&track));
    ack_track_push(&track, 100, 1022);
    ack_track_push(&track, 300, 1244);
    ack_track_settle(&track, 1021);
    assert_int_equal(track.acknowledged, 0);
    ack_track_settle(&track, 1022);
    assert_int_equal(track.acknowledged, 100);
    ack_track_settle(&track, 1243);
    assert_int_equal(track.acknowledged, 100);
    ack_track_settle(&track, 1244);
    assert_int_equal(track.acknowledged, 300);
    assert_true(ack_track_is_settled(&track));
}

static void a_full_track_never_claims_too_much_and_ends_exact(void **state)
{
    (void)state;
    struct ack_track track = { .count = 0 };
    for (uint64_t i = 1; i <= 1000; i++) {
        ack_track_push(&track, i * 10, i * 32);
        assert_true(track.count <= ACK_TRACK_POINTS);
    }
    for (uint64_t i = 1; i < 1000; i++) {
        ack_track_settle(&track, i * 32);
        assert_true(track.acknowledged <= i * 10);
    }
    assert_true(track.acknowledged > 5000);
    ack_track_settle(&track, 32000);
    assert_int_equal(track.acknowledged, 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acknowledged_raw_bytes_tell_plain_bytes),
        cmocka_unit_test(a_full_track_never_claims_too_much_and_ends_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

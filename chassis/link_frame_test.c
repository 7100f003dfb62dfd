/* Frames of the bus: what goes in comes out, and garbage does not. */
#include "chassis/link_frame.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "chassis/base/digest.h"

static struct link_frame round_trip(struct arena *arena, const struct link_frame *frame)
{
    struct buf bytes;
    size_t length;
    struct link_frame decoded;

    buf_init(&bytes, 0);
    link_frame_encode(&bytes, frame);
    assert_int_equal(link_frame_measure(buf_view(&bytes), 1 << 20, &length), ERR_OK);
    assert_int_equal(length, bytes.len);
    struct str body = str_from(
            buf_view(&bytes).ptr + LINK_FRAME_HEADER_BYTES, bytes.len - LINK_FRAME_HEADER_BYTES);
    assert_int_equal(link_frame_decode(arena, body, &decoded), ERR_OK);
    buf_fini(&bytes);
    assert_int_equal(decoded.type, frame->type);
    return decoded;
}

static void hello_keeps_every_field(void **state)
{
    struct arena arena;
    (void)state;
    arena_init(&arena, 0);
    const struct link_frame frame = { .type = LINK_FRAME_HELLO,
        .hello = { .version_min = 1,
                .version_max = 7,
                .node = STR("router-1"),
                .role = 2,
                .boot_epoch = UINT64_MAX,
                .nonce = STR("01234567890123456789012345678901"),
                .address = STR("tcp://127.0.0.1:7001"),
                .max_frame_bytes = 1 << 20 } };
    struct link_frame decoded = round_trip(&arena, &frame);
    assert_int_equal(decoded.hello.version_max, 7);
    assert_true(str_equal(decoded.hello.node, frame.hello.node));
    assert_true(str_equal(decoded.hello.nonce, frame.hello.nonce));
    assert_true(str_equal(decoded.hello.address, frame.hello.address));
    assert_true(decoded.hello.boot_epoch == UINT64_MAX);
    assert_int_equal(decoded.hello.max_frame_bytes, 1 << 20);
    arena_fini(&arena);
}

static void data_keeps_records_and_numbers(void **state)
{
    struct arena arena;
    const struct str records[] = { STR("one"), STR(""), STR("three\0with a NUL") };
    const struct link_frame frame = { .type = LINK_FRAME_DATA,
        .data = { .first_seq = 41, .settled_seq = 40, .records = records, .count = 3 } };
    (void)state;
    arena_init(&arena, 0);
    struct link_frame decoded = round_trip(&arena, &frame);
    assert_int_equal(decoded.data.count, 3);
    assert_int_equal(decoded.data.first_seq, 41);
    assert_int_equal(decoded.data.settled_seq, 40);
    for (size_t i = 0; i < 3; i++) {
        assert_true(str_equal(decoded.data.records[i], records[i]));
    }
    arena_fini(&arena);
}

static void proofs_and_signals_survive(void **state)
{
    struct arena arena;
    (void)state;
    arena_init(&arena, 0);
    struct link_frame frame = { .type = LINK_FRAME_AUTH, .auth = { .mac = STR("mac") } };
    assert_true(str_equal(round_trip(&arena, &frame).auth.mac, STR("mac")));

    frame = (struct link_frame){ .type = LINK_FRAME_WELCOME,
        .welcome = { .mac = STR("mac"), .last_seq = 9, .credit_bytes = 100 } };
    struct link_frame decoded = round_trip(&arena, &frame);
    assert_int_equal(decoded.welcome.last_seq, 9);
    assert_int_equal(decoded.welcome.credit_bytes, 100);

    frame = (struct link_frame){ .type = LINK_FRAME_ACK,
        .ack = { .seq = 1ull << 40, .credit_bytes = 5 } };
    assert_true(round_trip(&arena, &frame).ack.seq == 1ull << 40);

    frame = (struct link_frame){ .type = LINK_FRAME_ERROR,
        .error = { .code = LINK_ERROR_STALE, .text = STR("stale") } };
    decoded = round_trip(&arena, &frame);
    assert_int_equal(decoded.error.code, LINK_ERROR_STALE);
    assert_true(str_equal(decoded.error.text, STR("stale")));

    frame = (struct link_frame){ .type = LINK_FRAME_PING };
    (void)round_trip(&arena, &frame);
    frame = (struct link_frame){ .type = LINK_FRAME_PONG };
    (void)round_trip(&arena, &frame);
    arena_fini(&arena);
}

/* F02: garbage, 2 GiB, zero, truncated. */
static void lengths_out_of_bounds_are_refused_before_the_body(void **state)
{
    size_t length = 77;
    (void)state;
    assert_int_equal(link_frame_measure(STR("\0\0\0"), 100, &length), ERR_AGAIN);
    assert_int_equal(link_frame_measure(STR("\0\0\0\0"), 100, &length), ERR_PROTOCOL);
    assert_int_equal(link_frame_measure(STR("\x80\0\0\0"), 100, &length), ERR_LIMIT);
    assert_int_equal(link_frame_measure(STR("\0\0\0\x65"), 100, &length), ERR_LIMIT);
    assert_int_equal(link_frame_measure(STR("GET / HTTP/1.1"), 1 << 20, &length), ERR_LIMIT);
    assert_int_equal(length, 77);
    assert_int_equal(link_frame_measure(STR("\0\0\0\x64"), 100, &length), ERR_OK);
    assert_int_equal(length, 104);
}

/* F03, F09 */
static void unknown_fields_and_bodies_are_ignored(void **state)
{
    struct arena arena;
    struct link_frame frame;
    (void)state;
    arena_init(&arena, 0);
    /* body 99: bytes "x" */
    assert_int_equal(link_frame_decode(&arena, STR("\x9a\x06\x01x"), &frame), ERR_OK);
    assert_int_equal(frame.type, LINK_FRAME_UNKNOWN);
    /* ack { seq = 5, field 50 = 1 } */
    assert_int_equal(
            link_frame_decode(&arena, STR("\x2a\x05\x08\x05\x90\x03\x01"), &frame), ERR_OK);
    assert_int_equal(frame.type, LINK_FRAME_ACK);
    assert_int_equal(frame.ack.seq, 5);
    arena_fini(&arena);
}

/* F09: thousands of mutations; under a sanitizer this is what it is for. */
static void mutated_frames_never_crash(void **state)
{
    struct arena arena;
    struct buf bytes;
    const struct str records[] = { STR("one"), STR("two, somewhat longer"), STR("") };
    const struct link_frame frame = { .type = LINK_FRAME_DATA,
        .data = { .first_seq = 1, .records = records, .count = 3 } };
    (void)state;
    arena_init(&arena, 0);
    buf_init(&bytes, 0);
    link_frame_encode(&bytes, &frame);
    for (int i = 0; i < 20000; i++) {
        char copy[128];
        struct link_frame decoded;
        size_t len = bytes.len - LINK_FRAME_HEADER_BYTES;
        memcpy(copy, bytes.data + bytes.start + LINK_FRAME_HEADER_BYTES, len);
        uint64_t dice = random_u64();
        copy[dice % len] = (char)(dice >> 16);
        copy[(dice >> 32) % len] ^= (char)(1 << (dice >> 40) % 8);
        size_t cut = (dice >> 48) % (len + 1);
        if (link_frame_decode(&arena, str_from(copy, cut), &decoded) == ERR_OK
                && decoded.type == LINK_FRAME_DATA) {
            assert_true(decoded.data.count <= len);
        }
        arena_reset(&arena);
    }
    buf_fini(&bytes);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_keeps_every_field),
        cmocka_unit_test(data_keeps_records_and_numbers),
        cmocka_unit_test(proofs_and_signals_survive),
        cmocka_unit_test(lengths_out_of_bounds_are_refused_before_the_body),
        cmocka_unit_test(unknown_fields_and_bodies_are_ignored),
        cmocka_unit_test(mutated_frames_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

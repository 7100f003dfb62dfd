/* PROXY headers of both versions, complete, in pieces and malformed. */
#include "edge/proxy_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "edge/address.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"

static struct proxy_header header;

static enum err parse(struct str data)
{
    memset(&header, 0, sizeof(header));
    return proxy_header_parse(data, &header);
}

static void assert_source(const char *expected)
{
    char text[64];
    assert_true(header.has_address);
    address_format(&header.source, text, sizeof(text));
    assert_string_equal(text, expected);
}

/* Every proper prefix must ask for more. */
static void assert_grows(struct str data)
{
    for (size_t len = 0; len < data.len; len++) {
        assert_int_equal(parse(str_from(data.ptr, len)), ERR_AGAIN);
    }
    assert_int_equal(parse(data), ERR_OK);
    assert_int_equal(header.bytes, data.len);
}

static void version_1_is_read(void **state)
{
    (void)state;
    assert_grows(STR("PROXY TCP4 192.0.2.1 198.51.100.2 5000 5222\r\n"));
    assert_source("192.0.2.1:5000");
    assert_grows(STR("PROXY TCP6 2001:db8::1 2001:db8::2 65535 1\r\n"));
    assert_source("[2001:db8::1]:65535");
    assert_grows(STR("PROXY UNKNOWN\r\n"));
    assert_false(header.has_address);
    assert_grows(STR("PROXY UNKNOWN whatever ::1 stands here\r\n"));
    assert_false(header.has_address);
}

static void what_follows_belongs_to_the_connection(void **state)
{
    (void)state;
    assert_int_equal(
            parse(STR("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n<?xml version='1.0'?>")), ERR_OK);
    assert_int_equal(header.bytes, strlen("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"));
}

static void malformed_version_1_is_refused(void **state)
{
    (void)state;
    /* E20 */
    static const char *const lines[] = { "<stream:stream>",
        "PROXy TCP4",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n" };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (parse(str_from_cstr(lines[i])) != ERR_INVALID) {
            fail_msg("accepted: %s", lines[i]);
        }
    }
    char endless[200];
    memset(endless, 'x', sizeof(endless));
    memcpy(endless, "PROXY UNKNOWN ", 14);
    assert_int_equal(parse(str_from(endless, 106)), ERR_AGAIN);
    assert_int_equal(parse(str_from(endless, 107)), ERR_INVALID);
    assert_int_equal(parse(str_from(endless, sizeof(endless))), ERR_INVALID);
}

static void version_2_is_read(void **state)
{
    (void)state;
    assert_grows(STR(V2 "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x13\x88\x14\x66"));
    assert_source("192.0.2.1:5000");
    assert_grows(STR(V2 "\x21\x21\x00\x24"
                        "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                        "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
                        "\x13\x88\x14\x66"));
    assert_source("[2001:db8::1]:5000");
    /* LOCAL, with and without a block; UNSPEC */
    assert_grows(STR(V2 "\x20\x00\x00\x00"));
    assert_false(header.has_address);
    assert_grows(STR(V2 "\x20\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x13\x88\x14\x66"));
    assert_false(header.has_address);
    assert_grows(STR(V2 "\x21\x00\x00\x00"));
    assert_false(header.has_address);
}

static void version_2_checks_its_tlvs(void **state)
{
    (void)state;
    /* PP2_TYPE_NOOP of two bytes behind the addresses */
    assert_grows(STR(V2 "\x21\x11\x00\x11\xc0\x00\x02\x01\xc6\x33\x64\x02\x13\x88\x14\x66"
                        "\x04\x00\x02zz"));
    assert_source("192.0.2.1:5000");
    /* PP2_TYPE_CRC32C, right and wrong */
    assert_grows(STR(V2 "\x21\x11\x00\x13\xc0\x00\x02\x01\xc6\x33\x64\x02\x13\x88\x14\x66"
                        "\x03\x00\x04\x32\x7f\xf4\x55"));
    assert_int_equal(parse(STR(V2 "\x21\x11\x00\x13\xc0\x00\x02\x01\xc6\x33\x64\x02\x13\x88\x14\x67"
                                  "\x03\x00\x04\x32\x7f\xf4\x55")),
            ERR_INVALID);
    /* a TLV longer than the header; half a TLV; a checksum of three bytes */
    assert_int_equal(parse(STR(V2 "\x21\x11\x00\x11\xc0\x00\x02\x01\xc6\x33\x64\x02\x13\x88\x14\x66"
                                  "\x04\x00\x03zz")),
            ERR_INVALID);
    assert_int_equal(parse(STR(V2 "\x21\x11\x00\x0e\xc0\x00\x02\x01\xc6\x33\x64\x02\x13\x88\x14\x66"
                                  "\x04\x00")),
            ERR_INVALID);
    assert_int_equal(parse(STR(V2 "\x21\x11\x00\x12\xc0\x00\x02\x01\xc6\x33\x64\x02\x13\x88\x14\x66"
                                  "\x03\x00\x03zzz")),
            ERR_INVALID);
}

static void malformed_version_2_is_refused(void **state)
{
    (void)state;
    /* E20: signature, version, command, family, datagram, block too short, header too long */
    static const struct str headers[] = {
        { "\r\n\r\n\0\r\nQUIX\n\x21\x11\x00\x0c", 16 },
        { V2 "\x11\x11\x00\x0c", 16 },
        { V2 "\x22\x11\x00\x0c", 16 },
        { V2 "\x21\x41\x00\x00", 16 },
        { V2 "\x21\x12\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x13\x88\x14\x66", 28 },
        { V2 "\x21\x11\x00\x0b\xc0\x00\x02\x01\xc6\x33\x64\x02\x13\x88\x14", 27 },
        { V2 "\x21\x11\xff\xff", 16 },
        { V2 "\x21\x11\x02\x09", 16 },
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        assert_int_equal(parse(headers[i]), ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1_is_read),
        cmocka_unit_test(what_follows_belongs_to_the_connection),
        cmocka_unit_test(malformed_version_1_is_refused),
        cmocka_unit_test(version_2_is_read),
        cmocka_unit_test(version_2_checks_its_tlvs),
        cmocka_unit_test(malformed_version_2_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The PROXY protocol, versions 1 (text) and 2 (binary), of haproxy's doc/proxy-protocol.txt. */
#include "edge/proxy_protocol.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum {
    V1_MAX_BYTES = 107, /* §2.1, with CR LF */
    V2_FIXED_BYTES = 16,
    V2_INET_BYTES = 12,  /* two addresses, two ports */
    V2_INET6_BYTES = 36, /* the same */
    V2_UNIX_BYTES = 216,
    V2_TLV_HEAD_BYTES = 3,
    V2_TLV_CRC32C = 0x03,
    V2_COMMAND_LOCAL = 0,
    V2_COMMAND_PROXY = 1,
    V2_FAMILY_UNSPEC = 0,
    V2_FAMILY_INET = 1,
    V2_FAMILY_INET6 = 2,
    V2_FAMILY_UNIX = 3,
    V2_TRANSPORT_STREAM = 1,
};

static const char v2_signature[12] = {
    '\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'
};

static void set_source_v4(
        struct proxy_header *header, const void *address, uint16_t port_network_order)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = port_network_order };
    memcpy(&in.sin_addr, address, sizeof(in.sin_addr));
    memcpy(&header->source, &in, sizeof(in));
    header->has_address = true;
}

static void set_source_v6(
        struct proxy_header *header, const void *address, uint16_t port_network_order)
{
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = port_network_order };
    memcpy(&in6.sin6_addr, address, sizeof(in6.sin6_addr));
    memcpy(&header->source, &in6, sizeof(in6));
    header->has_address = true;
}

/* ---- version 1: PROXY TCP4 SOURCE DESTINATION SPORT DPORT CR LF */

/* §2.1: no leading zeros, 0..65535. */
static bool parse_port(struct str text, uint16_t *port_out)
{
    uint64_t port = 0;
    if (text.len > 5 || (text.len > 1 && text.ptr[0] == '0') || !str_to_u64(text, &port)
            || port > UINT16_MAX) {
        return false;
    }
    *port_out = (uint16_t)port;
    return true;
}

static bool parse_address(int family, struct str text, uint8_t out[16])
{
    char terminated[INET6_ADDRSTRLEN];
    if (text.len >= sizeof(terminated) || text.len == 0 || memchr(text.ptr, 0, text.len) != NULL) {
        return false;
    }
    memcpy(terminated, text.ptr, text.len);
    terminated[text.len] = '\0';
    return inet_pton(family, terminated, out) == 1;
}

static enum err parse_v1_addresses(int family, struct str rest, struct proxy_header *header)
{
    uint8_t source[16];
    uint8_t destination[16];
    uint16_t source_port = 0;
    uint16_t destination_port = 0;
    struct str source_text = str_cut(&rest, ' ');
    struct str destination_text = str_cut(&rest, ' ');
    struct str source_port_text = str_cut(&rest, ' ');
    if (!parse_address(family, source_text, source)
            || !parse_address(family, destination_text, destination)
            || !parse_port(source_port_text, &source_port)
            || !parse_port(rest, &destination_port)) {
        return ERR_INVALID;
    }
    if (family == AF_INET) {
        set_source_v4(header, source, htons(source_port));
    } else {
        set_source_v6(header, source, htons(source_port));
    }
    return ERR_OK;
}

static enum err parse_v1(struct str data, struct proxy_header *header)
{
    size_t len = str_find_char(
            str_from(data.ptr, data.len < V1_MAX_BYTES ? data.len : V1_MAX_BYTES), '\n');
    if (len >= V1_MAX_BYTES) {
        return ERR_INVALID;
    }
    if (len == data.len) {
        return ERR_AGAIN;
    }
    if (data.ptr[len - 1] != '\r') {
        return ERR_INVALID;
    }
    header->bytes = len + 1;
    struct str line = str_from(data.ptr, len - 1);
    (void)str_cut(&line, ' '); /* PROXY */
    struct str protocol = str_cut(&line, ' ');
    if (str_equal(protocol, STR("UNKNOWN"))) {
        return ERR_OK; /* §2.1: whatever follows is ignored */
    }
    if (str_equal(protocol, STR("TCP4"))) {
        return parse_v1_addresses(AF_INET, line, header);
    }
    return str_equal(protocol, STR("TCP6")) ? parse_v1_addresses(AF_INET6, line, header)
                                            : ERR_INVALID;
}

/* ---- version 2: binary */

static uint16_t read_u16(const char *at)
{
    const unsigned char *bytes = (const unsigned char *)at;
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

/* CRC-32C (RFC 3720 B.4), bit by bit: once per connection, some 50 bytes. */
static uint32_t crc32c(uint32_t crc, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned char)data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78U : 0);
        }
    }
    return crc;
}

/* §2.2.3: over the whole header, with the checksum's own bytes as zeros. */
static bool checksum_is_right(struct str header, size_t value_at)
{
    static const char zeros[4];
    uint32_t crc = crc32c(UINT32_MAX, header.ptr, value_at);
    crc = crc32c(crc, zeros, sizeof(zeros));
    crc = ~crc32c(crc, header.ptr + value_at + 4, header.len - value_at - 4);
    const char *value = header.ptr + value_at;
    return crc == ((uint32_t)read_u16(value) << 16 | read_u16(value + 2));
}

static enum err check_v2_tlvs(struct str header, size_t at)
{
    while (at < header.len) {
        if (header.len - at < V2_TLV_HEAD_BYTES) {
            return ERR_INVALID;
        }
        size_t len = read_u16(header.ptr + at + 1);
        size_t value_at = at + V2_TLV_HEAD_BYTES;
        if (len > header.len - value_at) {
            return ERR_INVALID;
        }
        if (header.ptr[at] == V2_TLV_CRC32C && (len != 4 || !checksum_is_right(header, value_at))) {
            return ERR_INVALID;
        }
        at = value_at + len;
    }
    return ERR_OK;
}

/* Bytes of the address block, 0 for a family without one we know. */
static size_t v2_address_bytes(unsigned family)
{
    switch (family) {
    case V2_FAMILY_INET: return V2_INET_BYTES;
    case V2_FAMILY_INET6: return V2_INET6_BYTES;
    case V2_FAMILY_UNIX: return V2_UNIX_BYTES;
    default: return 0;
    }
}

static void read_v2_source(struct proxy_header *header, unsigned family, const char *block)
{
    uint16_t port = 0;
    if (family == V2_FAMILY_INET) {
        memcpy(&port, block + 8, sizeof(port));
        set_source_v4(header, block, port);
    } else if (family == V2_FAMILY_INET6) {
        memcpy(&port, block + 32, sizeof(port));
        set_source_v6(header, block, port);
    }
}

static enum err parse_v2(struct str data, struct proxy_header *header)
{
    if (data.len < V2_FIXED_BYTES) {
        return ERR_AGAIN;
    }
    unsigned version_command = (unsigned char)data.ptr[12];
    unsigned family_transport = (unsigned char)data.ptr[13];
    unsigned command = version_command & 0x0F;
    size_t bytes = V2_FIXED_BYTES + (size_t)read_u16(data.ptr + 14);
    if (version_command >> 4 != 2 || command > V2_COMMAND_PROXY || bytes > PROXY_HEADER_MAX_BYTES) {
        return ERR_INVALID;
    }
    if (data.len < bytes) {
        return ERR_AGAIN;
    }
    header->bytes = bytes;
    if (command == V2_COMMAND_LOCAL) {
        return ERR_OK; /* §2.2: the block is to be skipped */
    }
    unsigned family = family_transport >> 4;
    size_t block = v2_address_bytes(family);
    bool is_stream = (family_transport & 0x0F) == V2_TRANSPORT_STREAM;
    if (family > V2_FAMILY_UNIX || block > bytes - V2_FIXED_BYTES || (block > 0 && !is_stream)) {
        return ERR_INVALID;
    }
    enum err err = check_v2_tlvs(str_from(data.ptr, bytes), V2_FIXED_BYTES + block);
    if (err == ERR_OK) {
        read_v2_source(header, family, data.ptr + V2_FIXED_BYTES);
    }
    return err;
}

/* ---- both */

static bool begins_like(struct str data, const char *signature, size_t len)
{
    return data.len == 0 || memcmp(data.ptr, signature, data.len < len ? data.len : len) == 0;
}

enum err proxy_header_parse(struct str data, struct proxy_header *header_out)
{
    struct proxy_header header = { .bytes = 0 };
    struct str v1 = STR("PROXY ");
    enum err err = ERR_INVALID;
    if (begins_like(data, v1.ptr, v1.len)) {
        err = data.len < v1.len ? ERR_AGAIN : parse_v1(data, &header);
    } else if (begins_like(data, v2_signature, sizeof(v2_signature))) {
        err = parse_v2(data, &header);
    }
    if (err == ERR_OK) {
        *header_out = header;
    }
    return err;
}

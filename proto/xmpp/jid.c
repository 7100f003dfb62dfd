/* RFC 7622 §3: splitting, preparing and joining the parts of an address. */
#include "proto/xmpp/jid.h"

#include <arpa/inet.h>

#include "proto/xmpp/precis.h"

#define MAX_LABEL_BYTES 63
/* Three bytes of a fullwidth letter may become one. */
#define MAX_PART_INPUT_BYTES (3 * JID_PART_MAX_BYTES)

/* What ASCII does in a part: itself, its lower case, or refusal (0). */
static char local_char(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (char)(c - 'A' + 'a');
    }
    /* RFC 7622 §3.3.1 forbids some that PRECIS allows. */
    bool is_forbidden = c <= 0x20 || c > 0x7E || strchr("\"&'/:<>@", c) != NULL;
    return is_forbidden ? '\0' : c;
}

static char domain_char(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (char)(c - 'A' + 'a');
    }
    bool is_ldh = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    return is_ldh ? c : '\0';
}

/* Maps a part that is pure ASCII. False: some byte needs the long way, or is forbidden. */
static bool map_ascii(
        struct arena *arena, struct str text, char (*map)(char c), struct str *mapped_out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (map(text.ptr[i]) == '\0') {
            return false;
        }
    }
    char *mapped = (char *)arena_alloc(arena, text.len + 1);
    for (size_t i = 0; i < text.len; i++) {
        mapped[i] = map(text.ptr[i]);
    }
    mapped[text.len] = '\0';
    *mapped_out = str_from(mapped, text.len);
    return true;
}

static bool is_ascii(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((text.ptr[i] & 0x80) != 0) {
            return false;
        }
    }
    return true;
}

static bool has_part_length(struct str part)
{
    return part.len >= 1 && part.len <= JID_PART_MAX_BYTES;
}

static bool has_forbidden_local_char(struct str local)
{
    for (size_t i = 0; i < local.len; i++) {
        if ((local.ptr[i] & 0x80) == 0 && local_char(local.ptr[i]) == '\0') {
            return true;
        }
    }
    return false;
}

enum err jid_prepare_local(struct arena *arena, struct str text, struct str *local_out)
{
    if (text.len == 0 || text.len > MAX_PART_INPUT_BYTES) {
        return ERR_INVALID;
    }
    struct str local = STR_NULL;
    if (!map_ascii(arena, text, local_char, &local)) {
        if (is_ascii(text) || precis_username_case_mapped(arena, text, &local) != ERR_OK
                || has_forbidden_local_char(local)) {
            return ERR_INVALID;
        }
    }
    if (!has_part_length(local)) {
        return ERR_INVALID;
    }
    *local_out = local;
    return ERR_OK;
}

/* Letters, digits and inner hyphens; A-labels and other "??--" need IDNA (RFC 5891 §4.2.3.1). */
static bool is_ldh_label(struct str label)
{
    if (label.len == 0 || label.len > MAX_LABEL_BYTES || label.ptr[0] == '-'
            || label.ptr[label.len - 1] == '-') {
        return false;
    }
    return !(label.len >= 4 && label.ptr[2] == '-' && label.ptr[3] == '-');
}

static bool has_ldh_labels(struct str domain)
{
    struct str rest = domain;
    size_t consumed = 0;
    while (consumed < domain.len) {
        struct str label = str_cut(&rest, '.');
        if (!is_ldh_label(label)) {
            return false;
        }
        consumed += label.len + 1;
    }
    return consumed == domain.len + 1; /* no dot at the end */
}

static bool is_ipv6_literal(struct str text)
{
    return text.len > 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']';
}

/* One spelling for one address (RFC 5952): what the system library prints. */
static enum err prepare_ipv6(struct arena *arena, struct str text, struct str *domain_out)
{
    char address[INET6_ADDRSTRLEN + 2];
    struct in6_addr parsed;
    size_t len = text.len - 2;
    if (len >= sizeof address) {
        return ERR_INVALID;
    }
    memcpy(address, text.ptr + 1, len);
    address[len] = '\0';
    if (inet_pton(AF_INET6, address, &parsed) != 1) {
        return ERR_INVALID;
    }
    address[0] = '[';
    if (inet_ntop(AF_INET6, &parsed, address + 1, INET6_ADDRSTRLEN) == NULL) {
        return ERR_INVALID;
    }
    len = strlen(address);
    address[len++] = ']';
    *domain_out = str_dup(arena, str_from(address, len));
    return ERR_OK;
}

enum err jid_prepare_domain(struct arena *arena, struct str text, struct str *domain_out)
{
    if (text.len == 0 || text.len > MAX_PART_INPUT_BYTES) {
        return ERR_INVALID;
    }
    if (is_ipv6_literal(text)) {
        return prepare_ipv6(arena, text, domain_out);
    }
    if (text.ptr[text.len - 1] == '.') { /* RFC 7622 §3.2: the root's dot is dropped */
        text.len--;
    }
    struct str domain = STR_NULL;
    if (!map_ascii(arena, text, domain_char, &domain) || !has_ldh_labels(domain)) {
        if (precis_domain(arena, text, &domain) != ERR_OK) {
            return ERR_INVALID;
        }
    }
    if (!has_part_length(domain)) {
        return ERR_INVALID;
    }
    *domain_out = domain;
    return ERR_OK;
}

enum err jid_prepare_resource(struct arena *arena, struct str text, struct str *resource_out)
{
    if (text.len == 0 || text.len > MAX_PART_INPUT_BYTES) {
        return ERR_INVALID;
    }
    struct str resource = STR_NULL;
    if (precis_opaque_string(arena, text, &resource) != ERR_OK || !has_part_length(resource)) {
        return ERR_INVALID;
    }
    *resource_out = resource;
    return ERR_OK;
}

struct raw_parts {
    struct str local, domain, resource;
    size_t bare_bytes;
};

/* RFC 7622 §3.1: the first '/' ends the bare JID, the first '@' in it the localpart. A separator
 * promises a part that is not empty. */
static bool split(struct str text, struct raw_parts *parts_out)
{
    struct raw_parts parts = { .bare_bytes = str_find_char(text, '/') };
    struct str bare = str_from(text.ptr, parts.bare_bytes);
    if (parts.bare_bytes < text.len) {
        parts.resource = str_from(text.ptr + parts.bare_bytes + 1, text.len - parts.bare_bytes - 1);
        if (parts.resource.len == 0) {
            return false;
        }
    }
    size_t at = str_find_char(bare, '@');
    parts.domain = bare;
    if (at < bare.len) {
        parts.local = str_from(bare.ptr, at);
        parts.domain = str_from(bare.ptr + at + 1, bare.len - at - 1);
        if (parts.local.len == 0) {
            return false;
        }
    }
    *parts_out = parts;
    return parts.domain.len > 0;
}

static struct str append(char *out, size_t *len, struct str part)
{
    char *start = out + *len;
    if (part.len > 0) {
        memcpy(start, part.ptr, part.len);
    }
    *len += part.len;
    return str_from(start, part.len);
}

static void join(struct arena *arena, const struct raw_parts *parts, struct jid *jid_out)
{
    struct jid jid = { 0 };
    size_t size = parts->local.len + parts->domain.len + parts->resource.len + 3;
    char *text = (char *)arena_alloc(arena, size);
    size_t len = 0;
    if (parts->local.len > 0) {
        jid.local = append(text, &len, parts->local);
        text[len++] = '@';
    }
    jid.domain = append(text, &len, parts->domain);
    jid.bare = str_from(text, len);
    if (parts->resource.len > 0) {
        text[len++] = '/';
        jid.resource = append(text, &len, parts->resource);
    }
    jid.full = str_from(text, len);
    text[len] = '\0';
    *jid_out = jid;
}

enum err jid_make(struct arena *arena,
        struct str local,
        struct str domain,
        struct str resource,
        struct jid *jid_out)
{
    struct raw_parts parts = { 0 };
    if (local.len > 0 && jid_prepare_local(arena, local, &parts.local) != ERR_OK) {
        return ERR_INVALID;
    }
    if (jid_prepare_domain(arena, domain, &parts.domain) != ERR_OK) {
        return ERR_INVALID;
    }
    if (resource.len > 0 && jid_prepare_resource(arena, resource, &parts.resource) != ERR_OK) {
        return ERR_INVALID;
    }
    join(arena, &parts, jid_out);
    return ERR_OK;
}

enum err jid_parse(struct arena *arena, struct str text, struct jid *jid_out)
{
    struct raw_parts parts;
    if (text.len == 0 || !split(text, &parts)) {
        return ERR_INVALID;
    }
    return jid_make(arena, parts.local, parts.domain, parts.resource, jid_out);
}

enum err jid_split(struct str text, struct jid *jid_out)
{
    struct raw_parts parts;
    if (text.len == 0 || !split(text, &parts)) {
        return ERR_INVALID;
    }
    if (parts.local.len > JID_PART_MAX_BYTES || parts.domain.len > JID_PART_MAX_BYTES
            || parts.resource.len > JID_PART_MAX_BYTES) {
        return ERR_INVALID;
    }
    *jid_out = (struct jid){
        .full = text,
        .bare = str_from(text.ptr, parts.bare_bytes),
        .local = parts.local,
        .domain = parts.domain,
        .resource = parts.resource,
    };
    return ERR_OK;
}

unsigned jid_shard(struct str bare, unsigned shards)
{
    return (unsigned)(str_hash(bare) % shards);
}

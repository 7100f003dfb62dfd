/* Checks and writes stream headers. */
#include "edge/stream_header.h"

#include "chassis/base/arena.h"
#include "chassis/base/id128.h"
#include "chassis/base/mem.h"
#include "edge/negotiation.h"
#include "edge/session.h"
#include "edge/stream.h"
#include "proto/xmpp/jid.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

/* RFC 6120 §4.7.5: "major.minor", each a number. Anything from 1.0 on is answered with 1.0 (A08).
 */
static bool is_supported_version(const struct xml_stream_header *header)
{
    struct str minor = header->version;
    struct str major = str_cut(&minor, '.');
    uint64_t major_number = 0;
    uint64_t minor_number = 0;
    return header->has_version && str_to_u64(major, &major_number)
            && str_to_u64(minor, &minor_number) && major_number >= 1;
}

/* A domain and nothing else (A01, A04). */
static enum stream_condition check_to(
        struct arena *arena, const struct xml_stream_header *header, struct str *domain_out)
{
    struct jid jid;
    if (!header->has_to || jid_parse(arena, header->to, &jid) != ERR_OK || !str_is_empty(jid.local)
            || !str_is_empty(jid.resource)) {
        return STREAM_ERROR_IMPROPER_ADDRESSING;
    }
    *domain_out = jid.domain;
    return STREAM_ERROR_NONE;
}

static enum stream_condition check_host(
        const struct settings *settings, struct str domain, const struct host **host_out)
{
    const struct host *host = settings_find_host(settings, domain);
    if (!host) {
        return STREAM_ERROR_HOST_UNKNOWN;
    }
    if (host->was_served_formerly) {
        return STREAM_ERROR_HOST_GONE;
    }
    *host_out = host;
    return STREAM_ERROR_NONE;
}

/* The user of `from` as a prepared bare JID; "" without one. false: not a JID. */
static bool prepare_from(
        struct arena *arena, const struct xml_stream_header *header, struct str *bare_out)
{
    *bare_out = STR_NULL;
    if (str_is_empty(header->from)) {
        return true;
    }
    struct jid jid;
    if (jid_parse(arena, header->from, &jid) != ERR_OK) {
        return false;
    }
    *bare_out = jid.bare;
    return true;
}

static void take_first(struct stream *stream, const struct host *host, struct str lang)
{
    stream->host = host;
    if (!str_is_empty(lang) && !stream->lang) {
        stream->lang = str_to_cstr(lang);
    }
}

/* A34: a restarted stream is the same stream: same host, same user. */
static enum stream_condition check_same(
        const struct stream *stream, const struct host *host, struct str from)
{
    const struct negotiation *negotiation = stream->negotiation;
    if (stream->host && stream->host != host) {
        return STREAM_ERROR_NOT_AUTHORIZED;
    }
    if (str_is_empty(from)) {
        return STREAM_ERROR_NONE;
    }
    bool is_other = negotiation->has_from && negotiation->from_hash != str_hash(from);
    /* Some clients give their own host's name: a domain claims to be nobody. */
    bool is_somebody = str_find_char(from, '@') < from.len;
    bool is_not_who_authenticated =
            negotiation->bare && is_somebody && !str_equal(str_from_cstr(negotiation->bare), from);
    return is_other || is_not_who_authenticated ? STREAM_ERROR_NOT_AUTHORIZED : STREAM_ERROR_NONE;
}

static enum stream_condition check_addresses(
        struct stream *stream, struct arena *arena, const struct xml_stream_header *header)
{
    bool is_restart = stream->host != NULL;
    struct str domain;
    struct str from;
    const struct host *host = NULL;
    enum stream_condition condition = check_to(arena, header, &domain);
    if (condition == STREAM_ERROR_NONE) {
        condition = check_host(stream->edge->settings, domain, &host);
    }
    if (condition != STREAM_ERROR_NONE) {
        return is_restart ? STREAM_ERROR_NOT_AUTHORIZED : condition;
    }
    if (!prepare_from(arena, header, &from)) {
        return STREAM_ERROR_INVALID_FROM;
    }
    condition = check_same(stream, host, from);
    if (condition != STREAM_ERROR_NONE) {
        return condition;
    }
    take_first(stream, host, header->lang);
    if (!str_is_empty(from) && !stream->negotiation->has_from) {
        stream->negotiation->has_from = true;
        stream->negotiation->is_from_user = str_find_char(from, '@') < from.len;
        stream->negotiation->from_hash = str_hash(from);
    }
    return STREAM_ERROR_NONE;
}

/* XEP-0114 §3: `to` is the component itself; there is no version. */
static enum stream_condition check_component(
        struct stream *stream, const struct xml_stream_header *header)
{
    if (!str_equal(header->ns, STR(NS_COMPONENT))) {
        return STREAM_ERROR_INVALID_NAMESPACE;
    }
    struct arena arena;
    struct str domain;
    arena_init(&arena, 0);
    enum stream_condition condition = check_to(&arena, header, &domain);
    if (condition == STREAM_ERROR_NONE) {
        stream->host = settings_find_component(stream->edge->settings, domain);
        condition = stream->host ? STREAM_ERROR_NONE : STREAM_ERROR_HOST_UNKNOWN;
    }
    arena_fini(&arena);
    return condition;
}

enum stream_condition stream_header_check(
        struct stream *stream, const struct xml_stream_header *header)
{
    if (stream_is_component(stream)) {
        return check_component(stream, header);
    }
    if (!str_equal(header->ns, STR(NS_CLIENT))) {
        return stream->host ? STREAM_ERROR_NOT_AUTHORIZED : STREAM_ERROR_INVALID_NAMESPACE;
    }
    if (!is_supported_version(header)) {
        return STREAM_ERROR_UNSUPPORTED_VERSION;
    }
    struct arena arena;
    arena_init(&arena, 0);
    enum stream_condition condition = check_addresses(stream, &arena, header);
    arena_fini(&arena);
    return condition;
}

/* Before the client has named a host of ours, the first one speaks. */
static struct str own_domain(const struct stream *stream)
{
    const struct host *host =
            stream->host ? stream->host : settings_default_host(stream->edge->settings);
    return host ? host->domain : STR("localhost");
}

static void write_to(struct buf *out, const struct xml_stream_header *header)
{
    struct arena arena;
    struct jid jid;
    arena_init(&arena, 0);
    if (header && !str_is_empty(header->from) && jid_parse(&arena, header->from, &jid) == ERR_OK) {
        xml_attr(out, "to", jid.full);
    }
    arena_fini(&arena);
}

void stream_header_write(struct stream *stream, const struct xml_stream_header *header)
{
    bool is_component = stream_is_component(stream);
    char id[ID128_TEXT_SIZE];
    id128_format(id128_random(), id);
    if (is_component && stream->negotiation) {
        free(stream->negotiation->stream_id);
        stream->negotiation->stream_id = str_to_cstr(str_from_cstr(id));
    }
    struct buf out;
    buf_init(&out, 0);
    buf_append_literal(&out, "<?xml version='1.0'?><stream:stream");
    xml_attr(&out, "xmlns", is_component ? STR(NS_COMPONENT) : STR(NS_CLIENT));
    xml_attr(&out, "xmlns:stream", STR(NS_STREAM));
    xml_attr(&out, "id", str_from_cstr(id));
    xml_attr(&out, "from", own_domain(stream));
    if (!is_component) {
        write_to(&out, header);
        xml_attr(&out, "version", STR("1.0"));
        xml_attr(&out, "xml:lang", STR("en"));
    }
    xml_end_open(&out);
    stream_write(stream, buf_view(&out));
    buf_fini(&out);
}

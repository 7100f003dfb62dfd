/* External Service Discovery, XEP-0215 1.0.0, from the section external_services. Where a secret is
 * shared with a TURN server, credentials are made for each request and good for a while: the user
 * name is its end as seconds since 1970 and a pseudonym of the account, the password is
 * base64(HMAC-SHA1(secret, user name)), as TURN servers check it without a database. */
#include "chassis/base/buf.h"
#include "chassis/base/digest.h"
#include "chassis/base/encoding.h"
#include "proto/xmpp/datetime.h"
#include "proto/xmpp/xml_writer.h"
#include "router/feature.h"
#include "router/settings.h"

#define PSEUDONYM_BYTES 8

static bool is_offered(const struct settings *settings, const struct host *host)
{
    (void)host;
    return settings->external_service_count > 0;
}

/* The same for one account at one server, so that it can be given a share, and nobody's name. */
static void write_pseudonym(
        struct buf *out, const struct external_service *service, struct str bare)
{
    uint8_t mac[DIGEST_MAX_BYTES];
    digest_hmac(DIGEST_SHA256, service->secret, bare, mac);
    hex_encode(out, str_from(mac, PSEUDONYM_BYTES));
}

static void write_made_credentials(
        struct buf *xml, const struct turn *turn, const struct external_service *service)
{
    int64_t expires_s = turn->wall_us / 1000000 + service->ttl_ms / 1000;
    struct buf username;
    struct buf password;
    uint8_t mac[DIGEST_MAX_BYTES];
    char expires[DATETIME_SIZE];
    buf_init(&username, 0);
    buf_init(&password, 0);
    buf_printf(&username, "%lld:", (long long)expires_s);
    write_pseudonym(&username, service, turn->from.bare);
    digest_hmac(DIGEST_SHA1, service->secret, buf_view(&username), mac);
    base64_encode(&password, str_from(mac, digest_size(DIGEST_SHA1)));
    datetime_format(expires_s * 1000000, expires);
    xml_attr(xml, "username", buf_view(&username));
    xml_attr(xml, "password", buf_view(&password));
    xml_attr(xml, "expires", str_from_cstr(expires));
    buf_fini(&password);
    buf_fini(&username);
}

static bool has_credentials(const struct external_service *service)
{
    return service->secret.len || service->username.len;
}

static void write_service(
        struct buf *xml, const struct turn *turn, const struct external_service *service)
{
    xml_open(xml, "service", NULL);
    xml_attr(xml, "type", service->type);
    xml_attr(xml, "host", service->host);
    xml_attr_opt(xml, "port", service->port);
    xml_attr_opt(xml, "transport", service->transport);
    xml_attr_opt(xml, "name", service->name);
    if (has_credentials(service)) {
        xml_attr(xml, "restricted", STR("true"));
    }
    if (service->secret.len) {
        write_made_credentials(xml, turn, service);
    } else {
        xml_attr_opt(xml, "username", service->username);
        xml_attr_opt(xml, "password", service->password);
    }
    xml_end_empty(xml);
}

/* Empty views match everything. */
struct wanted {
    struct str type;
    struct str host;
    struct str port;
    bool with_credentials;
};

static bool is_wanted(const struct external_service *service, const struct wanted *wanted)
{
    return (wanted->type.len == 0 || str_equal(wanted->type, service->type))
            && (wanted->host.len == 0 || str_equal(wanted->host, service->host))
            && (wanted->port.len == 0 || str_equal(wanted->port, service->port))
            && (!wanted->with_credentials || has_credentials(service));
}

static size_t write_services(struct buf *xml, const struct turn *turn, const struct wanted *wanted)
{
    size_t count = 0;
    for (size_t i = 0; i < turn->settings->external_service_count; i++) {
        const struct external_service *service = &turn->settings->external_services[i];
        if (is_wanted(service, wanted)) {
            write_service(xml, turn, service);
            count++;
        }
    }
    return count;
}

static enum verdict answer_services(struct turn *turn, const struct iq *iq)
{
    struct wanted wanted = { .type = element_attribute(iq->payload, STR("type")) };
    struct buf xml;
    buf_init(&xml, 0);
    xml_open(&xml, "services", NS_EXTDISCO);
    xml_attr_opt(&xml, "type", wanted.type);
    xml_end_open(&xml);
    (void)write_services(&xml, turn, &wanted);
    xml_close(&xml, "services");
    turn_reply_result(turn, iq->stanza, str_dup(turn->arena, buf_view(&xml)));
    buf_fini(&xml);
    return VERDICT_HANDLED;
}

static enum verdict answer_credentials(struct turn *turn, const struct iq *iq)
{
    const struct element *service = element_child(iq->payload, NS_EXTDISCO, "service");
    struct wanted wanted = { .with_credentials = true };
    if (service) {
        wanted.type = element_attribute(service, STR("type"));
        wanted.host = element_attribute(service, STR("host"));
        wanted.port = element_attribute(service, STR("port"));
    }
    if (wanted.type.len == 0 || wanted.host.len == 0) { /* §3.3 */
        return turn_reject(turn, STANZA_ERROR_BAD_REQUEST, STR_NULL);
    }
    struct buf xml;
    buf_init(&xml, 0);
    xml_open(&xml, "credentials", NS_EXTDISCO);
    xml_end_open(&xml);
    size_t count = write_services(&xml, turn, &wanted);
    xml_close(&xml, "credentials");
    struct str children = str_dup(turn->arena, buf_view(&xml));
    buf_fini(&xml);
    if (count == 0) {
        return turn_reject(turn, STANZA_ERROR_ITEM_NOT_FOUND, STR_NULL);
    }
    turn_reply_result(turn, iq->stanza, children);
    return VERDICT_HANDLED;
}

const struct feature feature_external_services = {
    .name = "external_services",
    .specs = { { "XEP-0215", "1.0.0" } },
    .advertises = { NS_EXTDISCO },
    .iq = {
        { IQ_GET, TO_HOST, NS_EXTDISCO, "services", answer_services },
        { IQ_GET, TO_HOST, NS_EXTDISCO, "credentials", answer_credentials },
    },
    .is_enabled = is_offered,
};

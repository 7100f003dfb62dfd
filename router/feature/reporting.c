/* Blocking Command Reports, XEP-0377 0.4.1: who blocks somebody may tell the administrators why. A
 * report reaches them as a message from the host; nobody else hears of it, whatever a report agrees
 * to (§5: servers may ignore that). */
#include "chassis/base/buf.h"
#include "proto/xmpp/xml_writer.h"
#include "router/entity/entity.h"
#include "router/feature.h"
#include "router/settings.h"

#define MAX_TEXT_BYTES     2000
#define MAX_REPORTS_A_HOUR 10
#define HOUR_US            INT64_C(3600000000)

static bool is_offered(const struct settings *settings, const struct host *host)
{
    (void)host;
    return settings->admins.count > 0;
}

/* An account may not flood them: blocking and unblocking is cheap. */
static bool take_from_hour(struct turn *turn)
{
    struct entity *entity = turn->entity;
    if (turn->wall_us - entity->reports_since_us >= HOUR_US) {
        entity->reports_since_us = turn->wall_us;
        entity->reports = 0;
    }
    return entity->reports++ < MAX_REPORTS_A_HOUR;
}

static struct str cut_text(struct str text)
{
    if (text.len > MAX_TEXT_BYTES) {
        text.len = MAX_TEXT_BYTES;
        while (text.len && ((unsigned char)text.ptr[text.len] & 0xC0) == 0x80) {
            text.len--; /* not inside a character */
        }
    }
    return text;
}

static void write_body(
        struct buf *xml, const struct turn *turn, struct str jid, const struct element *report)
{
    struct buf text;
    buf_init(&text, 0);
    buf_append_str(&text, turn->entity->bare);
    buf_append_literal(&text, " has blocked and reported ");
    buf_append_str(&text, jid);
    buf_append_literal(&text, " (");
    buf_append_str(&text, cut_text(element_attribute(report, STR("reason"))));
    buf_append_literal(&text, ")");
    struct str said = cut_text(element_child_text(report, NS_REPORTING, "text"));
    if (said.len) {
        buf_append_literal(&text, ": ");
        buf_append_str(&text, said);
    }
    xml_text_element(xml, "body", NULL, buf_view(&text));
    buf_fini(&text);
}

static void tell_admins(struct turn *turn, struct str jid, const struct element *report)
{
    struct buf xml;
    buf_init(&xml, 0);
    write_body(&xml, turn, jid, report);
    struct stanza message = {
        .kind = STANZA_MESSAGE,
        .type = STANZA_TYPE_NORMAL,
        .flags = STANZA_HAS_BODY,
        .from = turn->entity->domain,
        .payload_ns = STR(NS_CLIENT),
        .payload_name = STR("body"),
        .child_count = 1,
        .children = str_dup(turn->arena, buf_view(&xml)),
    };
    buf_fini(&xml);
    for (size_t i = 0; i < turn->settings->admins.count; i++) {
        message.to = turn->settings->admins.items[i];
        turn_route(turn, &message);
    }
}

static void on_block_changed(
        struct turn *turn, struct str jid, bool is_blocked, const struct element *item)
{
    const struct element *report = item ? element_child(item, NS_REPORTING, "report") : NULL;
    if (is_blocked && report && element_attribute(report, STR("reason")).len
            && take_from_hour(turn)) {
        tell_admins(turn, jid, report);
    }
}

const struct feature feature_reporting = {
    .name = "reporting",
    .specs = { { "XEP-0377", "0.4.1" } },
    .advertises = { NS_REPORTING },
    .is_enabled = is_offered,
    .on_block_changed = on_block_changed,
};

/* Service Discovery, XEP-0030 2.5.0: what the host and an account can do, from the table of
 * features. The nodes of Entity Capabilities, XEP-0115 1.6.0 and XEP-0390 0.3.2: router/host_info.
 */
#include "chassis/base/buf.h"
#include "proto/xmpp/xml_writer.h"
#include "router/entity/entity.h"
#include "router/feature.h"
#include "router/host_info.h"
#include "router/router.h"
#include "router/settings.h"

static bool is_for_host(const struct turn *turn)
{
    return turn->to.full.len > 0 && turn->to.local.len == 0;
}

static void write_identity(
        struct buf *xml, const char *category, const char *type, const char *name)
{
    xml_open(xml, "identity", NULL);
    xml_attr(xml, "category", str_from_cstr(category));
    xml_attr(xml, "type", str_from_cstr(type));
    xml_attr_opt(xml, "name", str_from_cstr(name));
    xml_end_empty(xml);
}

static void write_feature(struct buf *xml, const char *var)
{
    xml_open(xml, "feature", NULL);
    xml_attr(xml, "var", str_from_cstr(var));
    xml_end_empty(xml);
}

static void write_account(struct buf *xml, const struct turn *turn)
{
    write_identity(xml, "account", "registered", NULL);
    for (const struct feature *const *item = features; *item; item++) {
        const char *const *names = (*item)->advertises_account;
        for (size_t i = 0; i < FEATURE_MAX_ADVERTISE && names[i]; i++) {
            if (feature_is_enabled(*item, turn)) {
                write_feature(xml, names[i]);
            }
        }
    }
}

static void reply_with(struct turn *turn, const struct iq *iq, struct buf *xml)
{
    xml_close(xml, "query");
    turn_reply_result(turn, iq->stanza, str_dup(turn->arena, buf_view(xml)));
    buf_fini(xml);
}

/* ---- the nodes of commands (XEP-0050 §2.2), from the same table */

static void open_query(struct buf *xml, const char *ns, struct str node)
{
    buf_init(xml, 0);
    xml_open(xml, "query", ns);
    xml_attr_opt(xml, "node", node);
    xml_end_open(xml);
}

static enum verdict answer_node_info(struct turn *turn, const struct iq *iq, struct str node)
{
    const struct feature_command *command = feature_find_command(node);
    bool is_list = str_equal(node, STR(NS_COMMANDS));
    if (!is_for_host(turn) || (!is_list && !command)) {
        return turn_reject(turn, STANZA_ERROR_ITEM_NOT_FOUND, STR_NULL);
    }
    if (command && !command->may_run(turn)) {
        return turn_reject(turn, STANZA_ERROR_FORBIDDEN, STR_NULL);
    }
    struct buf xml;
    open_query(&xml, NS_DISCO_INFO, node);
    write_identity(&xml,
            "automation",
            is_list ? "command-list" : "command-node",
            is_list ? NULL : command->name);
    write_feature(&xml, NS_COMMANDS);
    write_feature(&xml, NS_DATA_FORMS);
    reply_with(turn, iq, &xml);
    return VERDICT_HANDLED;
}

/* Only what the asker may run. */
static void write_commands(
        struct buf *xml, const struct turn *turn, const struct feature_command *command)
{
    for (; command && command->node; command++) {
        if (command->may_run(turn)) {
            xml_open(xml, "item", NULL);
            xml_attr(xml, "jid", turn->to.full);
            xml_attr(xml, "node", str_from_cstr(command->node));
            xml_attr(xml, "name", str_from_cstr(command->name));
            xml_end_empty(xml);
        }
    }
}

static enum verdict answer_node_items(struct turn *turn, const struct iq *iq, struct str node)
{
    if (!is_for_host(turn) || !str_equal(node, STR(NS_COMMANDS))) {
        return turn_reject(turn, STANZA_ERROR_ITEM_NOT_FOUND, STR_NULL);
    }
    struct buf xml;
    open_query(&xml, NS_DISCO_ITEMS, node);
    for (const struct feature *const *item = features; *item; item++) {
        write_commands(&xml, turn, (*item)->commands);
    }
    reply_with(turn, iq, &xml);
    return VERDICT_HANDLED;
}

/* XEP-0115 §6.2, XEP-0390 §5.5: what the host announces, or announced a moment ago. */
static bool answer_caps_node(struct turn *turn, const struct iq *iq, struct str node)
{
    const struct host_info *info = turn->entity->router->host_info;
    struct str known = is_for_host(turn) ? host_info_find(info, turn->to.domain, node) : STR_NULL;
    if (known.len == 0) {
        return false;
    }
    struct buf xml;
    open_query(&xml, NS_DISCO_INFO, node);
    buf_append_str(&xml, known);
    reply_with(turn, iq, &xml);
    return true;
}

static enum verdict answer_info(struct turn *turn, const struct iq *iq)
{
    struct str node = element_attribute(iq->payload, STR("node"));
    if (node.len) {
        return answer_caps_node(turn, iq, node) ? VERDICT_HANDLED
                                                : answer_node_info(turn, iq, node);
    }
    struct buf xml;
    open_query(&xml, NS_DISCO_INFO, STR_NULL);
    if (is_for_host(turn)) {
        const struct host *host = settings_find_host(turn->settings, turn->to.domain);
        host_info_write(turn->settings, host, &xml);
    } else {
        write_account(&xml, turn);
    }
    reply_with(turn, iq, &xml);
    return VERDICT_HANDLED;
}

/* XEP-0030 §4.1: the services of this host, connected or not: which ones are is known at the home
 * of each only. */
static void write_components(struct buf *xml, const struct turn *turn)
{
    for (size_t i = 0; i < turn->settings->component_count; i++) {
        const struct component_setting *component = &turn->settings->components[i];
        struct str domain = component->domain;
        struct str host = turn->to.domain;
        bool is_below = domain.len > host.len + 1 && str_ends_with(domain, host)
                && domain.ptr[domain.len - host.len - 1] == '.';
        if (component->disco && is_below) {
            xml_open(xml, "item", NULL);
            xml_attr(xml, "jid", domain);
            xml_end_empty(xml);
        }
    }
}

static enum verdict answer_items(struct turn *turn, const struct iq *iq)
{
    struct str node = element_attribute(iq->payload, STR("node"));
    if (node.len) {
        return answer_node_items(turn, iq, node);
    }
    struct buf xml;
    buf_init(&xml, 0);
    xml_open(&xml, "query", NS_DISCO_ITEMS);
    xml_end_open(&xml);
    if (is_for_host(turn)) {
        write_components(&xml, turn);
    }
    reply_with(turn, iq, &xml);
    return VERDICT_HANDLED;
}

const struct feature feature_disco = {
    .name = "disco",
    .specs = { { "XEP-0030", "2.5.0" }, { "XEP-0115", "1.6.0" }, { "XEP-0390", "0.3.2" } },
    .advertises = { NS_DISCO_INFO, NS_DISCO_ITEMS, NS_CAPS, NS_CAPS2 },
    .advertises_account = { NS_DISCO_INFO, NS_DISCO_ITEMS },
    .iq = {
        { IQ_GET, TO_HOST | TO_HOST_BY_OTHERS | TO_ACCOUNT, NS_DISCO_INFO, "query", answer_info },
        { IQ_GET, TO_HOST | TO_HOST_BY_OTHERS | TO_ACCOUNT, NS_DISCO_ITEMS, "query", answer_items },
    },
};

/* Contact Addresses for XMPP Services, XEP-0157 1.1.1: a form of XEP-0128 1.0.1 in the host's
 * disco#info, from the section contact_addresses. */
#include "proto/xmpp/form.h"
#include "router/feature.h"
#include "router/settings.h"

static const char *const vars[CONTACT_KINDS] = {
    [CONTACT_ABUSE] = "abuse-addresses",
    [CONTACT_ADMIN] = "admin-addresses",
    [CONTACT_FEEDBACK] = "feedback-addresses",
    [CONTACT_SALES] = "sales-addresses",
    [CONTACT_SECURITY] = "security-addresses",
    [CONTACT_STATUS] = "status-addresses",
    [CONTACT_SUPPORT] = "support-addresses",
};

static void write_form(const struct turn *turn, struct buf *xml)
{
    const struct contact_addresses *contacts =
            turn->host ? settings_find_contacts(turn->settings, turn->host->domain) : NULL;
    if (!contacts) {
        return;
    }
    form_begin(xml, "result", "http://jabber.org/network/serverinfo");
    for (size_t kind = 0; kind < CONTACT_KINDS; kind++) {
        const struct settings_texts *uris = &contacts->uris[kind];
        if (uris->count == 0) {
            continue;
        }
        form_field_begin(xml, vars[kind], "list-multi", NULL);
        for (size_t i = 0; i < uris->count; i++) {
            form_add_value(xml, uris->items[i]);
        }
        form_field_end(xml);
    }
    form_end(xml);
}

const struct feature feature_contact_addresses = {
    .name = "contact_addresses",
    .specs = { { "XEP-0157", "1.1.1" }, { "XEP-0128", "1.0.1" } },
    .write_host_info = write_form,
};

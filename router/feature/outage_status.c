/* Service Outage Status, XEP-0455 0.4.0: where clients look when they cannot connect, in the host's
 * disco#info, from the section contact_addresses. The file is somebody else's: it has to be there
 * while this service is not. */
#include "proto/xmpp/form.h"
#include "router/feature.h"
#include "router/settings.h"

static void write_form(const struct turn *turn, struct buf *xml)
{
    const struct contact_addresses *contacts =
            turn->host ? settings_find_contacts(turn->settings, turn->host->domain) : NULL;
    if (!contacts || contacts->outage_status.count == 0) {
        return;
    }
    form_begin(xml, "result", "urn:xmpp:sos:0");
    form_field_begin(xml, "external-status-addresses", "list-multi", NULL);
    for (size_t i = 0; i < contacts->outage_status.count; i++) {
        form_add_value(xml, contacts->outage_status.items[i]);
    }
    form_field_end(xml);
    form_end(xml);
}

const struct feature feature_outage_status = {
    .name = "outage_status",
    .specs = { { "XEP-0455", "0.4.0" } },
    .write_host_info = write_form,
};

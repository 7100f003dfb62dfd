/* Software Version, XEP-0092 1.1. The name is no secret; which version on which system is told only
 * where the operator wants it (§4: it helps an attacker). */
#include <sys/utsname.h>

#include "chassis/base/buf.h"
#include "proto/xmpp/xml_writer.h"
#include "router/feature.h"
#include "router/settings.h"

static enum verdict answer_version(struct turn *turn, const struct iq *iq)
{
    struct buf xml;
    buf_init(&xml, 0);
    xml_open(&xml, "query", NS_VERSION);
    xml_end_open(&xml);
    xml_text_element(&xml, "name", NULL, STR("Starling"));
    if (turn->settings->show_version) {
        struct utsname system;
        xml_text_element(&xml, "version", NULL, STR(STARLING_VERSION));
        if (uname(&system) == 0) {
            xml_text_element(&xml, "os", NULL, str_from_cstr(system.sysname));
        }
    } else {
        xml_text_element(
                &xml, "version", NULL, STR("unspecified")); /* the schema wants the element */
    }
    xml_close(&xml, "query");
    turn_reply_result(turn, iq->stanza, str_dup(turn->arena, buf_view(&xml)));
    buf_fini(&xml);
    return VERDICT_HANDLED;
}

const struct feature feature_version = {
    .name = "version",
    .specs = { { "XEP-0092", "1.1" } },
    .advertises = { NS_VERSION },
    .iq = { { IQ_GET, TO_HOST | TO_HOST_BY_OTHERS, NS_VERSION, "query", answer_version } },
};

/* Entity Time, XEP-0202 2.0: the host tells UTC and no offset, which says nothing about where it
 * stands (§6). */
#include "chassis/base/buf.h"
#include "proto/xmpp/datetime.h"
#include "proto/xmpp/xml_writer.h"
#include "router/feature.h"

static enum verdict answer_time(struct turn *turn, const struct iq *iq)
{
    char stamp[DATETIME_SIZE];
    datetime_format(turn->wall_us, stamp);
    struct buf xml;
    buf_init(&xml, 0);
    xml_open(&xml, "time", NS_TIME);
    xml_end_open(&xml);
    xml_text_element(&xml, "tzo", NULL, STR("+00:00"));
    xml_text_element(&xml, "utc", NULL, str_from_cstr(stamp));
    xml_close(&xml, "time");
    turn_reply_result(turn, iq->stanza, str_dup(turn->arena, buf_view(&xml)));
    buf_fini(&xml);
    return VERDICT_HANDLED;
}

const struct feature feature_time = {
    .name = "time",
    .specs = { { "XEP-0202", "2.0" } },
    .advertises = { NS_TIME },
    .iq = { { IQ_GET, TO_HOST | TO_HOST_BY_OTHERS, NS_TIME, "time", answer_time } },
};

/* XEP-0203: when and by whom a stanza was held back. */
#include "proto/xmpp/delay.h"

#include "proto/xmpp/datetime.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

void delay_write(struct buf *out, struct str from, int64_t wall_us)
{
    char stamp[DATETIME_SIZE];
    datetime_format(wall_us, stamp);
    xml_open(out, "delay", NS_DELAY);
    xml_attr_opt(out, "from", from);
    xml_attr(out, "stamp", str_from_cstr(stamp));
    xml_end_empty(out);
}

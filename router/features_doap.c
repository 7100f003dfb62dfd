/* DOAP, XEP-0453 0.1.2. */
#include "router/features_doap.h"

#include <stdlib.h>

#include "chassis/base/buf.h"
#include "proto/xmpp/xml_writer.h"
#include "router/feature.h"

#define MAX_SPECS 256

struct listed {
    const char *name;
    const char *version;
    const char *where;
};

/* Spoken by edges, or by the message log, without a file in router/feature. */
static const struct listed elsewhere[] = {
    { "RFC 6120", "", "edge" },
    { "RFC 7622", "", "proto" },
    { "XEP-0114", "1.6", "edge/feature/component" },
    { "XEP-0198", "1.6.3", "router/entity/sm" },
    { "XEP-0297", "1.0", "router/entity/carbons" },
    { "XEP-0334", "1.0.0", "proto/xmpp/stanza_flags" },
    { "XEP-0352", "1.0.0", "router/entity/csi" },
    { "XEP-0368", "1.1.0", "edge" },
    { "XEP-0386", "1.1.0", "edge/feature/bind2" },
    { "XEP-0388", "1.0.4", "edge/feature/sasl2" },
    { "XEP-0440", "1.0.0", "edge" },
    { "XEP-0474", "0.5.0", "edge/sasl" },
    { "XEP-0478", "0.2.0", "edge" },
    { "XEP-0480", "0.2.0", "edge/feature/sasl2_tasks" },
    { "XEP-0484", "0.2.0", "edge/feature/fast" },
};

/* The rest of each is there. */
static const char *const partial[] = { "RFC 6121", "XEP-0012", "XEP-0386" };

static int compare(const void *left, const void *right)
{
    return strcmp(((const struct listed *)left)->name, ((const struct listed *)right)->name);
}

static size_t collect(struct listed out[MAX_SPECS])
{
    size_t count = sizeof(elsewhere) / sizeof(elsewhere[0]);
    memcpy(out, elsewhere, sizeof(elsewhere));
    for (const struct feature *const *item = features; *item; item++) {
        const struct feature *feature = *item;
        for (size_t i = 0; i < FEATURE_MAX_SPECS && feature->specs[i].name; i++) {
            ASSERT(count < MAX_SPECS);
            out[count++] = (struct listed){
                feature->specs[i].name, feature->specs[i].version, feature->name
            };
        }
    }
    qsort(out, count, sizeof(*out), compare);
    return count;
}

void features_print_specs(struct buf *out)
{
    struct listed list[MAX_SPECS];
    size_t count = collect(list);
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "%-10s %-8s %s\n", list[i].name, list[i].version, list[i].where);
    }
}

static bool is_partial(const char *name)
{
    for (size_t i = 0; i < sizeof(partial) / sizeof(partial[0]); i++) {
        if (strcmp(partial[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void write_xep(struct buf *out, const struct listed *xep)
{
    buf_printf(out,
            "    <implements>\n"
            "      <xmpp:SupportedXep>\n"
            "        <xmpp:xep rdf:resource='https://xmpp.org/extensions/xep-%s.html'/>\n"
            "        <xmpp:status>%s</xmpp:status>\n"
            "        <xmpp:version>%s</xmpp:version>\n"
            "      </xmpp:SupportedXep>\n"
            "    </implements>\n",
            xep->name + sizeof("XEP-") - 1,
            is_partial(xep->name) ? "partial" : "complete",
            xep->version);
}

void features_print_doap(struct buf *out)
{
    struct listed list[MAX_SPECS];
    size_t count = collect(list);
    buf_append_literal(out,
            "<?xml version='1.0' encoding='UTF-8'?>\n"
            "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'\n"
            "         xmlns='http://usefulinc.com/ns/doap#'\n"
            "         xmlns:xmpp='https://linkmauve.fr/ns/xmpp-doap#'>\n"
            "  <Project>\n"
            "    <name>Starling</name>\n"
            "    <shortdesc xml:lang='en'>An XMPP server for large public providers</shortdesc>\n"
            "    <programming-language>C</programming-language>\n"
            "    <os>Linux</os>\n"
            "    <category rdf:resource='https://linkmauve.fr/ns/xmpp-doap#category-server'/>\n"
            "    <license rdf:resource='https://www.apache.org/licenses/LICENSE-2.0'/>\n");
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && strcmp(list[i].name, list[i - 1].name) == 0) {
            continue; /* two features share it */
        }
        if (strncmp(list[i].name, "XEP-", 4) == 0) {
            write_xep(out, &list[i]);
        } else {
            buf_printf(out,
                    "    <implements rdf:resource='https://xmpp.org/rfcs/rfc%s.html'/>\n",
                    list[i].name + sizeof("RFC ") - 1);
        }
    }
    buf_append_literal(out, "  </Project>\n</rdf:RDF>\n");
}

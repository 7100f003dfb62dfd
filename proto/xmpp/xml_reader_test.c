/* The reader against HOSTILE-INPUTS group A: every case is fed whole, byte by byte and in odd
 * pieces, and has to give the same events and the same end. */
#include "proto/xmpp/xml_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "proto/xmpp/canonical.h"
#include "proto/xmpp/element.h"
#include "proto/xmpp/ns.h"

#define OPEN                                                     \
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' " \
    "xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>"

static const struct xml_limits BEFORE_AUTH = { 10000, 10000, 16, 32 };
static const struct xml_limits AFTER_AUTH = { 262144, 65536, 100, 25000 };

/* What the handlers saw, as text: one line for each event. */
struct record {
    struct buf log;
    struct xml_reader *reader;
    const char *pause_at;   /* name of an element */
    const char *restart_at; /* name of an element */
    size_t elements;
};

static void log_field(struct record *record, const char *name, struct str value)
{
    buf_printf(&record->log, " %s=[" STR_FMT "]", name, STR_ARG(value));
}

static void record_header(void *context, const struct xml_stream_header *header)
{
    struct record *record = context;
    buf_append_literal(&record->log, "header");
    log_field(record, "ns", header->ns);
    log_field(record, "to", header->to);
    log_field(record, "from", header->from);
    log_field(record, "version", header->version);
    log_field(record, "lang", header->lang);
    buf_printf(&record->log, " %d%d\n", header->has_to, header->has_version);
}

/* Whatever the reader yields is canonical, and its tree gives the same bytes back when no text
 * stands between elements. */
static void check_canonical(const struct xml_element *element)
{
    assert_true(canonical_is_valid(element->children, 100, 25000));
    struct arena arena;
    arena_init(&arena, 0);
    struct element *first = NULL;
    assert_int_equal(element_parse(&arena, element->children, STR(NS_CLIENT), &first), ERR_OK);
    size_t count = 0;
    for (const struct element *child = first; child != NULL; child = child->next) {
        count++;
    }
    assert_int_equal(count, element->child_count);
    arena_fini(&arena);
}

static void record_element(void *context, const struct xml_element *element)
{
    struct record *record = context;
    record->elements++;
    buf_append_literal(&record->log, "element");
    log_field(record, "ns", element->ns);
    log_field(record, "name", element->name);
    for (size_t i = 0; i < element->attribute_count; i++) {
        buf_append_literal(&record->log, " {");
        buf_append_str(&record->log, element->attributes[i].ns);
        buf_append_literal(&record->log, "}");
        buf_append_str(&record->log, element->attributes[i].name);
        log_field(record, "", element->attributes[i].value);
    }
    log_field(record, "text", element->text);
    log_field(record, "children", element->children);
    log_field(record, "payload", element->payload_name);
    log_field(record, "payload_ns", element->payload_ns);
    buf_printf(&record->log,
            " flags=%x count=%u priority=%d text=%d bytes=%zu\n",
            element->flags,
            element->child_count,
            element->priority,
            element->has_text,
            element->raw_bytes);
    check_canonical(element);
    if (record->pause_at != NULL && str_equal(element->name, str_from_cstr(record->pause_at))) {
        xml_reader_pause(record->reader);
    }
    if (record->restart_at != NULL && str_equal(element->name, str_from_cstr(record->restart_at))) {
        xml_reader_restart(record->reader);
    }
}

static void record_close(void *context)
{
    struct record *record = context;
    buf_append_literal(&record->log, "close\n");
}

static const struct xml_reader_handlers HANDLERS = {
    record_header,
    record_element,
    record_close,
};

static void record_init(struct record *record, const struct xml_limits *limits)
{
    *record = (struct record){ 0 };
    buf_init(&record->log, 0);
    record->reader = xml_reader_create(limits, &HANDLERS, record);
}

static void record_fini(struct record *record)
{
    xml_reader_destroy(record->reader);
    buf_fini(&record->log);
}

/* Feeds everything in pieces of `step` bytes, resuming after pauses. */
static enum stream_condition feed_all(struct record *record, struct str data, size_t step)
{
    enum stream_condition condition = STREAM_ERROR_NONE;
    size_t at = 0;
    while (at < data.len && condition == STREAM_ERROR_NONE) {
        size_t len = data.len - at < step ? data.len - at : step;
        size_t consumed = 0;
        /* a heap copy, so that ASan sees a read behind it */
        char *copy = malloc(len);
        memcpy(copy, data.ptr + at, len);
        condition = xml_reader_feed(record->reader, str_from(copy, len), &consumed, NULL);
        free(copy);
        assert_true(consumed <= len);
        assert_true(consumed > 0 || condition != STREAM_ERROR_NONE);
        at += consumed;
    }
    return condition;
}

static const size_t STEPS[] = { SIZE_MAX, 1, 2, 3, 7, 64, 1000, 4096, 5000 };

#define STEP_COUNT (sizeof STEPS / sizeof STEPS[0])

static void expect_limits(
        const struct xml_limits *limits, struct str data, enum stream_condition expected)
{
    for (size_t i = 0; i < STEP_COUNT; i++) {
        struct record record;
        record_init(&record, limits);
        assert_string_equal(stream_condition_name(feed_all(&record, data, STEPS[i])),
                stream_condition_name(expected));
        record_fini(&record);
    }
}

static void expect(const char *text, enum stream_condition expected)
{
    expect_limits(&BEFORE_AUTH, str_from_cstr(text), expected);
}

/* The log ends with this event, in every splitting. */
static void expect_last_event(const char *text, const char *expected)
{
    for (size_t i = 0; i < STEP_COUNT; i++) {
        struct record record;
        record_init(&record, &AFTER_AUTH);
        assert_int_equal(feed_all(&record, str_from_cstr(text), STEPS[i]), STREAM_ERROR_NONE);
        struct str log = buf_view(&record.log);
        assert_true(log.len > 0);
        size_t len = strlen(expected) + 1;
        size_t start = log.len >= len ? log.len - len : 0;
        char *line = str_to_cstr(str_from(log.ptr + start, log.len - 1 - start));
        assert_string_equal(line, expected);
        free(line);
        record_fini(&record);
    }
}

static void test_header_is_reported_with_its_attributes(void **state)
{
    (void)state;
    expect_last_event("<?xml version='1.0' encoding='utf-8'?><stream:stream to='a.example' "
                      "from='u@a.example' version='1.0' xml:lang='de' xmlns='jabber:client' "
                      "xmlns:stream='http://etherx.jabber.org/streams'>",
            "header ns=[jabber:client] to=[a.example] from=[u@a.example] version=[1.0] lang=[de] "
            "11");
    expect_last_event("<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:server'>",
            "header ns=[jabber:server] to=[] from=[] version=[] lang=[] 00");
    expect_last_event("<stream xmlns='http://etherx.jabber.org/streams' xmlns:c='jabber:client'>",
            "header ns=[jabber:client] to=[] from=[] version=[] lang=[] 00");
    /* A16: a byte order mark of UTF-8 is accepted, always */
    expect("\xEF\xBB\xBF" OPEN, STREAM_ERROR_NONE);
    expect(" \r\n" OPEN, STREAM_ERROR_NONE);
}

static void test_message_becomes_header_and_canonical_children(void **state)
{
    (void)state;
    expect_last_event(OPEN "<message to='b@x' type=\"chat\" id='1' xml:lang='en'>"
                           "<body>Tom &amp; 'Jerry' &lt;3</body>"
                           "<active xmlns='http://jabber.org/protocol/chatstates'/></message>",
            "element ns=[jabber:client] name=[message] {}to =[b@x] {}type =[chat] {}id =[1] "
            "{http://www.w3.org/XML/1998/namespace}lang =[en] text=[] "
            "children=[<body>Tom &amp; 'Jerry' &lt;3</body><active "
            "xmlns='http://jabber.org/protocol/chatstates'/>] payload=[body] "
            "payload_ns=[jabber:client] flags=801 count=2 priority=0 text=0 bytes=152");
}

static void test_namespaces_become_explicit_and_prefixes_go(void **state)
{
    (void)state;
    expect_last_event(OPEN "<c:iq xmlns:c='jabber:client' xmlns:q='urn:q' id='2'><q:a k='v' "
                           "q:n='w' xmlns:z=\"u'z\" z:n='1' q:m='2'><c:b/><d xmlns=''/>"
                           "<q:e>t<q:f/></q:e></q:a></c:iq>",
            "element ns=[jabber:client] name=[iq] {}id =[2] text=[] children=[<a xmlns='urn:q' "
            "k='v' xmlns:ns1='urn:q' ns1:n='w' xmlns:ns2='u&apos;z' ns2:n='1' ns1:m='2'>"
            "<b xmlns='jabber:client'/><d xmlns=''/><e>t<f/></e></a>] payload=[a] "
            "payload_ns=[urn:q] flags=0 count=1 priority=0 text=0 bytes=152");
}

static void test_white_space_and_references_survive(void **state)
{
    (void)state;
    expect_last_event(OPEN "<message> <body a='x&#9;&#10;y'> \n&#13;<![CDATA[<&>]]>\r\n</body>\n"
                           "</message>",
            "element ns=[jabber:client] name=[message] text=[ \n] children=[<body "
            "a='x&#9;&#10;y'> \n&#13;&lt;&amp;&gt;\n</body>] payload=[body] "
            "payload_ns=[jabber:client] flags=1 count=1 priority=0 text=0 bytes=74");
}

static void test_stream_level_text_and_attributes_are_kept(void **state)
{
    (void)state;
    expect_last_event(OPEN "<auth xmlns='" NS_SASL "' mechanism='PLAIN'>AGEAYg==</auth>",
            "element ns=[" NS_SASL "] name=[auth] {}mechanism =[PLAIN] text=[AGEAYg==] "
            "children=[] payload=[] payload_ns=[] flags=0 count=0 priority=0 text=0 bytes=80");
    expect_last_event(OPEN "<message>x<body/></message>",
            "element ns=[jabber:client] name=[message] text=[x] children=[<body/>] payload=[body] "
            "payload_ns=[jabber:client] flags=1 count=1 priority=0 text=1 bytes=27");
}

static uint32_t flags_of(const char *children)
{
    struct record record;
    record_init(&record, &AFTER_AUTH);
    struct buf text;
    buf_init(&text, 0);
    buf_printf(&text, OPEN "<message>%s</message>", children);
    assert_int_equal(feed_all(&record, buf_view(&text), SIZE_MAX), STREAM_ERROR_NONE);
    buf_append_char(&record.log, '\0');
    const char *flags = strstr(buf_view(&record.log).ptr, "flags=");
    assert_non_null(flags);
    uint32_t value = (uint32_t)strtoul(flags + 6, NULL, 16);
    buf_fini(&text);
    record_fini(&record);
    return value;
}

static void test_flags_follow_the_children(void **state)
{
    (void)state;
    const char *active = "<active xmlns='" NS_CHAT_STATES "'/>";
    assert_int_equal(flags_of(active), STANZA_CHAT_STATE_ONLY | STANZA_IM_PAYLOAD);
    struct buf text;
    buf_init(&text, 0);
    buf_printf(&text, "%s<thread>t</thread><no-store xmlns='" NS_HINTS "'/>%c", active, 0);
    assert_int_equal(flags_of(buf_view(&text).ptr),
            STANZA_CHAT_STATE_ONLY | STANZA_IM_PAYLOAD | STANZA_HINT_NO_STORE);
    buf_clear(&text);
    buf_printf(&text, "%s<x xmlns='other'/>%c", active, 0);
    assert_int_equal(flags_of(buf_view(&text).ptr), STANZA_IM_PAYLOAD);
    buf_fini(&text);
    assert_int_equal(flags_of("<subject/>"), STANZA_HAS_SUBJECT);
    assert_int_equal(flags_of("<body xmlns='other'/>"), 0);
    assert_int_equal(flags_of("<error/>"), STANZA_HAS_ERROR);
    assert_int_equal(flags_of("<received xmlns='" NS_RECEIPTS "'/>"), STANZA_HAS_RECEIPT);
    assert_int_equal(flags_of("<request xmlns='" NS_RECEIPTS "'/>"), STANZA_IM_PAYLOAD);
    assert_int_equal(flags_of("<displayed xmlns='" NS_CHAT_MARKERS "'/>"), STANZA_HAS_RECEIPT);
    assert_int_equal(flags_of("<markable xmlns='" NS_CHAT_MARKERS "'/>"), STANZA_IM_PAYLOAD);
    assert_int_equal(flags_of("<encrypted xmlns='" NS_OMEMO "'/>"), STANZA_ENCRYPTED);
    assert_int_equal(flags_of("<private xmlns='" NS_CARBONS "'/>"), STANZA_CARBON_PRIVATE);
    assert_int_equal(flags_of("<x xmlns='" NS_MUC_USER "'/>"), STANZA_MUC_USER);
    assert_int_equal(flags_of("<x xmlns='" NS_CONFERENCE "' jid='r@c'/>"), STANZA_HAS_INVITE);
    /* only children of the stanza itself count */
    assert_int_equal(flags_of("<x xmlns='y'><body xmlns='jabber:client'/></x>"), 0);
}

static void expect_priority(const char *text, int expected)
{
    struct buf xml;
    buf_init(&xml, 0);
    buf_printf(&xml, OPEN "<presence><priority>%s</priority></presence>", text);
    struct record record;
    record_init(&record, &AFTER_AUTH);
    assert_int_equal(feed_all(&record, buf_view(&xml), 1), STREAM_ERROR_NONE);
    buf_append_char(&record.log, '\0');
    const char *found = strstr(buf_view(&record.log).ptr, "priority=");
    assert_non_null(found);
    assert_int_equal(strtol(found + 9, NULL, 10), expected);
    record_fini(&record);
    buf_fini(&xml);
}

static void test_priority_is_parsed_and_clamped(void **state)
{
    (void)state;
    expect_priority("5", 5);
    expect_priority(" -1 ", -1);
    expect_priority("127", 127);
    expect_priority("1000", 127);
    expect_priority("-1000", -128);
    expect_priority("", 0);
    expect_priority("x", 0);
    expect_priority("1<x/>1", 11);
    expect_priority("99999999999999999999", 0);
}

static void test_bad_roots_are_refused(void **state)
{
    (void)state;
    expect("<stream:stream xmlns='jabber:client' xmlns:stream='urn:x'>",
            STREAM_ERROR_INVALID_NAMESPACE);                                           /* A05 */
    expect("<stream xmlns='jabber:client'>", STREAM_ERROR_INVALID_NAMESPACE);          /* A05 */
    expect("<foo xmlns='http://etherx.jabber.org/streams'>", STREAM_ERROR_BAD_FORMAT); /* A07 */
    expect("<html>", STREAM_ERROR_BAD_FORMAT);                                         /* A07 */
    expect("<stream:stream xmlns='jabber:client'>", STREAM_ERROR_NOT_WELL_FORMED);     /* A19 */
    expect("GET / HTTP/1.1\r\nHost: x\r\n\r\n", STREAM_ERROR_NOT_WELL_FORMED);         /* A09 */
    expect("SSH-2.0-OpenSSH_9.2p1\r\n", STREAM_ERROR_NOT_WELL_FORMED);                 /* A09 */
    expect(OPEN "<stream:stream xmlns='jabber:client'>", STREAM_ERROR_BAD_FORMAT);     /* A33 */
}

static void test_text_between_stanzas_is_refused(void **state)
{
    (void)state;
    expect(OPEN "hello", STREAM_ERROR_BAD_FORMAT); /* A11 */
    expect(OPEN "<a/> \r\n\t <b/>x", STREAM_ERROR_BAD_FORMAT);
    expect(OPEN "<![CDATA[x]]>", STREAM_ERROR_BAD_FORMAT);
    expect(OPEN " \t\r\n <a/>  ", STREAM_ERROR_NONE);
}

static void test_restricted_xml_is_refused(void **state)
{
    (void)state;
    expect(OPEN "<message>&nbsp;</message>", STREAM_ERROR_NOT_WELL_FORMED);     /* A12 */
    expect("<!DOCTYPE x [<!ENTITY a 'b'>]>" OPEN, STREAM_ERROR_RESTRICTED_XML); /* A13 */
    expect("<?xml version='1.0'?><!DOCTYPE stream SYSTEM 'file:///etc/passwd'>",
            STREAM_ERROR_RESTRICTED_XML);
    expect("<!DOCTYPE x [<!ENTITY % p SYSTEM 'http://127.0.0.1/'> %p;]>",
            STREAM_ERROR_RESTRICTED_XML);
    expect(OPEN "<!-- c -->", STREAM_ERROR_RESTRICTED_XML); /* A14 */
    expect(OPEN "<message><!-- c --></message>", STREAM_ERROR_RESTRICTED_XML);
    expect("<!-- c -->" OPEN, STREAM_ERROR_RESTRICTED_XML);
    expect("<?pi x?>" OPEN, STREAM_ERROR_RESTRICTED_XML);
    expect(OPEN "<?pi x?>", STREAM_ERROR_RESTRICTED_XML);
    expect(OPEN "<a><?pi x?></a>", STREAM_ERROR_RESTRICTED_XML);
    expect(OPEN "<?xml version='1.0'?>", STREAM_ERROR_RESTRICTED_XML);
}

static void test_other_encodings_are_refused(void **state)
{
    (void)state;
    expect_limits(&BEFORE_AUTH, STR("\xFF\xFE<\0?\0"), STREAM_ERROR_UNSUPPORTED_ENCODING); /* A15 */
    expect_limits(&BEFORE_AUTH, STR("\xFE\xFF\0<\0?"), STREAM_ERROR_UNSUPPORTED_ENCODING);
    expect_limits(&BEFORE_AUTH, STR("<\0?\0x\0"), STREAM_ERROR_UNSUPPORTED_ENCODING);
    expect_limits(&BEFORE_AUTH, STR("\0<\0?"), STREAM_ERROR_UNSUPPORTED_ENCODING);
    expect_limits(&BEFORE_AUTH, STR("\0\0\xFE\xFF"), STREAM_ERROR_UNSUPPORTED_ENCODING);
    expect_limits(&BEFORE_AUTH, STR(" \0<\0"), STREAM_ERROR_UNSUPPORTED_ENCODING);
    expect("<?xml version='1.0' encoding='ISO-8859-1'?><a/>", /* A16 */
            STREAM_ERROR_UNSUPPORTED_ENCODING);
    expect("<?xml version='1.0' encoding='UTF-16'?><a/>", STREAM_ERROR_UNSUPPORTED_ENCODING);
    expect("<?xml version='1.1'?>" OPEN, STREAM_ERROR_NOT_WELL_FORMED);
    expect("<?xml version='1.0' encoding='Utf-8' standalone='yes'?><stream xmlns='" NS_STREAM "'>",
            STREAM_ERROR_NONE);
}

static void test_bad_characters_are_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "\x80",
        "\xC0\xAF",
        "\xE0\x80\xAF",
        "\xED\xA0\x80",
        "\xF4\x90\x80\x80",
        "\xF8\x88\x80\x80\x80",
        "\xEF\xBF\xBE",
        "\xEF\xBF\xBF",
        "\xC3(",
        "\x01",
        "\x1F",
        "&#0;",
        "&#1;",
        "&#xFFFE;",
        "&#xD800;",
        "&#x110000;",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) { /* A17, A18 */
        struct buf text;
        buf_init(&text, 0);
        buf_printf(&text, OPEN "<message><body>%s</body></message>%c", BAD[i], 0);
        expect(buf_view(&text).ptr, STREAM_ERROR_NOT_WELL_FORMED);
        buf_clear(&text);
        buf_printf(&text, OPEN "<message id='%s'/>%c", BAD[i], 0);
        expect(buf_view(&text).ptr, STREAM_ERROR_NOT_WELL_FORMED);
        buf_fini(&text);
    }
    expect_limits(&BEFORE_AUTH, STR(OPEN "<a>\0</a>"), STREAM_ERROR_NOT_WELL_FORMED);
    expect(OPEN "<a>\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80</a>", STREAM_ERROR_NONE);
}

static void test_malformed_tags_are_refused(void **state)
{
    (void)state;
    expect(OPEN "<a b='1' b='2'/>", STREAM_ERROR_NOT_WELL_FORMED); /* A19 */
    expect(OPEN "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", STREAM_ERROR_NOT_WELL_FORMED);
    expect(OPEN "<p:a/>", STREAM_ERROR_NOT_WELL_FORMED);
    expect(OPEN "<a></b>", STREAM_ERROR_NOT_WELL_FORMED);
    expect(OPEN "<a xmlns:xml='u'/>", STREAM_ERROR_NOT_WELL_FORMED);
    expect(OPEN "<a xmlns:xmlns='u'/>", STREAM_ERROR_NOT_WELL_FORMED);
    expect(OPEN "<a xmlns='http://www.w3.org/2000/xmlns/'/>", STREAM_ERROR_NOT_WELL_FORMED);
    expect(OPEN "<a xmlns='u&#10;x'/>", STREAM_ERROR_NOT_WELL_FORMED);
    expect(OPEN "<a xmlns:p='u&#10;x' p:b=''/>", STREAM_ERROR_NOT_WELL_FORMED);
    expect(OPEN "<a xmlns='u}x'/>", STREAM_ERROR_NOT_WELL_FORMED);
    expect(OPEN "<a xmlns:p='u x'/>", STREAM_ERROR_NOT_WELL_FORMED);
    expect(OPEN "<a b='<'/>", STREAM_ERROR_NOT_WELL_FORMED);
    expect(OPEN "<a b'>", STREAM_ERROR_NOT_WELL_FORMED);
    expect(OPEN "<a></a ''>", STREAM_ERROR_NOT_WELL_FORMED);
}

/* OPEN, then `prefix`, `count` times `unit`, then `suffix`. */
static struct buf repeat(const char *prefix, const char *unit, size_t count, const char *suffix)
{
    struct buf text;
    buf_init(&text, 0);
    buf_append_literal(&text, OPEN);
    buf_append_str(&text, str_from_cstr(prefix));
    for (size_t i = 0; i < count; i++) {
        buf_append_str(&text, str_from_cstr(unit));
    }
    buf_append_str(&text, str_from_cstr(suffix));
    return text;
}

static void expect_repeat(
        const struct xml_limits *limits, struct buf text, enum stream_condition expected)
{
    expect_limits(limits, buf_view(&text), expected);
    buf_fini(&text);
}

static void test_sizes_have_limits(void **state)
{
    (void)state;
    enum stream_condition none = STREAM_ERROR_NONE;
    enum stream_condition policy = STREAM_ERROR_POLICY_VIOLATION;
    /* A22, A23: exactly at the limit, and one more byte */
    expect_repeat(&BEFORE_AUTH, repeat("<a>", "x", 10000 - 7, "</a>"), none);
    expect_repeat(&BEFORE_AUTH, repeat("<a>", "x", 10001 - 7, "</a>"), policy);
    expect_repeat(&BEFORE_AUTH, repeat("<a>", "x", 10001, ""), policy);
    expect_repeat(&BEFORE_AUTH, repeat("<a>", "<", 1, ""), none);
    expect_repeat(&BEFORE_AUTH, repeat("<a b='", ">", 10000, ""), policy);
    expect_repeat(&BEFORE_AUTH, repeat("<a b='", "x", 10000 - 9, "'/>"), none);
    expect_repeat(&BEFORE_AUTH, repeat("<a b='", "x", 10001 - 9, "'/>"), policy);
    expect_repeat(&BEFORE_AUTH, repeat("<a></a", " ", 10000, ">"), policy);
    /* A24: the element itself counts */
    expect_repeat(&BEFORE_AUTH, repeat("<a>", "<b/>", 31, "</a>"), none);
    expect_repeat(&BEFORE_AUTH, repeat("<a>", "<b/>", 32, "</a>"), policy);
    /* A25 */
    expect_repeat(&BEFORE_AUTH, repeat("", "<a>", 16, ""), none);
    expect_repeat(&BEFORE_AUTH, repeat("", "<a>", 17, ""), policy);
    /* A26, and many in one tag that stays below the byte limit */
    expect_repeat(&BEFORE_AUTH, repeat("<a ", "xmlns:a='b' ", 10000, "/>"), policy);
    /* C03 */
    expect_repeat(&AFTER_AUTH, repeat("<a>", "<b/>", 25000, "</a>"), policy);
    expect_repeat(&AFTER_AUTH, repeat("", "<a>", 101, ""), policy);
    expect_repeat(&AFTER_AUTH, repeat("<a>", "0123456789abcdef", 16500, "</a>"), policy);
    expect_repeat(&AFTER_AUTH, repeat("<a b='", "x", 65536, "'/>"), policy);
    expect_repeat(&AFTER_AUTH, repeat("<a b='", "x", 65536 - 9, "'/>"), none);
}

static void expect_attributes(const char *xmlns, int count, enum stream_condition expected)
{
    struct buf text;
    buf_init(&text, 0);
    buf_printf(&text, OPEN "<a><b%s", xmlns);
    for (int i = 0; i < count; i++) {
        buf_printf(&text, " a%d=''", i);
    }
    buf_append_literal(&text, "/></a>");
    expect_limits(&AFTER_AUTH, buf_view(&text), expected);
    buf_fini(&text);
}

static void test_too_many_attributes_of_a_child_are_refused(void **state)
{
    (void)state;
    expect_attributes("", 64, STREAM_ERROR_NONE);
    expect_attributes("", 65, STREAM_ERROR_POLICY_VIOLATION);
    expect_attributes(" xmlns='u'", 63, STREAM_ERROR_NONE);
    expect_attributes(" xmlns='u'", 64, STREAM_ERROR_POLICY_VIOLATION);
}

static void test_huge_language_and_id_are_accepted(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 0);
    buf_append_literal(
            &text, "<stream:stream xmlns='jabber:client' xmlns:stream='" NS_STREAM "' xml:lang='");
    for (int i = 0; i < 4500; i++) {
        buf_append_literal(&text, "\xC3\xA4"); /* A35: 9 KiB, cut between characters */
    }
    buf_append_literal(&text, "'>");
    for (size_t i = 0; i < STEP_COUNT; i++) {
        struct record record;
        record_init(&record, &BEFORE_AUTH);
        assert_int_equal(feed_all(&record, buf_view(&text), STEPS[i]), STREAM_ERROR_NONE);
        struct str log = buf_view(&record.log);
        const char *lang = memmem(log.ptr, log.len, "lang=[", 6);
        assert_non_null(lang);
        assert_memory_equal(lang + 6 + 34, "]", 1);
        assert_true(xml_reader_is_idle(record.reader));
        record_fini(&record);
    }
    buf_fini(&text);
}

static void test_close_is_reported_once_and_the_rest_ignored(void **state)
{
    (void)state;
    expect_last_event(OPEN "</stream:stream>", "close"); /* A32 */
    expect_last_event(OPEN "</stream:stream> junk <&>", "close");
    expect_last_event("<stream xmlns='" NS_STREAM "'/>", "close");
}

static void test_pause_leaves_the_rest_to_the_caller(void **state)
{
    (void)state;
    struct record record; /* B01: nothing behind <starttls/> is parsed */
    record_init(&record, &BEFORE_AUTH);
    record.pause_at = "starttls";
    struct str data = STR(OPEN "<starttls xmlns='" NS_TLS "'/><auth/>");
    size_t consumed = 0;
    assert_int_equal(xml_reader_feed(record.reader, data, &consumed, NULL), STREAM_ERROR_NONE);
    assert_int_equal(consumed, data.len - 7);
    assert_int_equal(record.elements, 1);
    size_t more = 0;
    assert_int_equal(
            xml_reader_feed(
                    record.reader, str_from(data.ptr + consumed, data.len - consumed), &more, NULL),
            STREAM_ERROR_NONE);
    assert_int_equal(more, 7);
    assert_int_equal(record.elements, 2);
    record_fini(&record);
}

static void test_pause_at_every_stanza_changes_nothing(void **state)
{
    (void)state;
    struct str data = STR(OPEN "<a>1<x/></a><a>2</a> <a>3</a></stream:stream>");
    struct buf logs[2];
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < STEP_COUNT; i++) {
            struct record record;
            record_init(&record, &BEFORE_AUTH);
            record.pause_at = k == 0 ? NULL : "a";
            assert_int_equal(feed_all(&record, data, STEPS[i]), STREAM_ERROR_NONE);
            assert_int_equal(record.elements, 3);
            if (i == 0) {
                logs[k] = record.log;
                buf_init(&record.log, 0);
            }
            record_fini(&record);
        }
    }
    assert_true(str_equal(buf_view(&logs[0]), buf_view(&logs[1])));
    buf_fini(&logs[0]);
    buf_fini(&logs[1]);
}

static void test_restart_begins_a_new_stream(void **state)
{
    (void)state;
    struct record record;
    record_init(&record, &BEFORE_AUTH);
    record.restart_at = "go";
    struct str data = STR(OPEN "<go/>" OPEN "<a/>");
    assert_int_equal(feed_all(&record, data, SIZE_MAX), STREAM_ERROR_NONE);
    assert_int_equal(record.elements, 2);
    xml_reader_restart(record.reader); /* also from outside, in the middle of something */
    assert_int_equal(feed_all(&record, STR(OPEN "<b"), 1), STREAM_ERROR_NONE);
    xml_reader_restart(record.reader);
    assert_true(xml_reader_is_idle(record.reader));
    assert_int_equal(feed_all(&record, STR("\n" OPEN "<b/>"), 1), STREAM_ERROR_NONE);
    assert_int_equal(record.elements, 3);
    record_fini(&record);
}

static void test_released_reader_is_small_and_goes_on(void **state)
{
    (void)state;
    struct record record;
    record_init(&record, &AFTER_AUTH);
    assert_int_equal(feed_all(&record, STR(OPEN "<a/>"), SIZE_MAX), STREAM_ERROR_NONE);
    size_t used = xml_reader_memory_bytes(record.reader);
    xml_reader_release(record.reader);
    size_t idle = xml_reader_memory_bytes(record.reader);
    print_message("reader in use %zu bytes, released %zu bytes\n", used, idle);
    assert_true(idle < 400);
    assert_int_equal(feed_all(&record, STR(" \n "), 1), STREAM_ERROR_NONE); /* keepalive */
    assert_int_equal(xml_reader_memory_bytes(record.reader), idle);
    assert_int_equal(feed_all(&record, STR("<a"), 1), STREAM_ERROR_NONE);
    assert_false(xml_reader_is_idle(record.reader));
    xml_reader_release(record.reader); /* refused: a stanza has begun */
    assert_int_equal(feed_all(&record, STR("/></stream:stream>"), 1), STREAM_ERROR_NONE);
    assert_int_equal(record.elements, 2);
    record_fini(&record);
}

static void test_release_keeps_the_prefixes_of_the_header(void **state)
{
    (void)state;
    struct record record;
    record_init(&record, &AFTER_AUTH);
    struct str header = STR("<s:stream xmlns:s='" NS_STREAM "' xmlns='jabber:client' "
                            "xmlns:p='urn:&apos;p' to='x'>");
    assert_int_equal(feed_all(&record, header, SIZE_MAX), STREAM_ERROR_NONE);
    xml_reader_release(record.reader);
    assert_true(xml_reader_memory_bytes(record.reader) < 400);
    struct str rest = STR("<message><p:x/></message></s:stream>");
    assert_int_equal(feed_all(&record, rest, SIZE_MAX), STREAM_ERROR_NONE);
    struct str log = buf_view(&record.log);
    assert_non_null(memmem(log.ptr, log.len, "<x xmlns='urn:&apos;p'/>", 24));
    assert_true(str_ends_with(log, STR("close\n")));
    record_fini(&record);
}

static void test_large_stanza_leaves_no_memory_behind(void **state)
{
    (void)state;
    struct record record;
    record_init(&record, &AFTER_AUTH);
    struct buf text = repeat("<a b='", "x", 60000, "'><c>y</c></a>");
    assert_int_equal(feed_all(&record, buf_view(&text), SIZE_MAX), STREAM_ERROR_NONE);
    assert_true(xml_reader_memory_bytes(record.reader) <= 32 * 1024);
    buf_fini(&text);
    record_fini(&record);
}

static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Finding 2: without gathering this took a second of CPU. */
static void expect_cheap_bytewise(struct buf text)
{
    struct record record;
    record_init(&record, &AFTER_AUTH);
    struct str data = buf_view(&text);
    double start = cpu_ms();
    for (size_t i = 0; i < data.len; i++) {
        size_t consumed = 0;
        if (xml_reader_feed(record.reader, str_from(data.ptr + i, 1), &consumed, NULL)
                != STREAM_ERROR_NONE) {
            break;
        }
    }
    double spent = cpu_ms() - start;
    print_message("%zu bytes one by one: %.1f ms\n", data.len, spent);
    assert_true(spent < 500); /* 50 in a release build; sanitizers are slow */
    record_fini(&record);
    buf_fini(&text);
}

static void test_bytewise_feeding_costs_no_square(void **state)
{
    (void)state;
    expect_cheap_bytewise(repeat("<a b='", "x", 65000, "'/>")); /* A23 */
    expect_cheap_bytewise(repeat("<a b='", ">", 65000, "'/>"));
    expect_cheap_bytewise(repeat("<a b='\">'", " ", 65000, "/>"));
    expect_cheap_bytewise(repeat("<a></a", " ", 65000, ">"));
    expect_cheap_bytewise(repeat("<a>&", "x", 65000, ""));
    expect_cheap_bytewise(repeat("<a><!--", ">", 65000, ""));
    expect_cheap_bytewise(repeat("<a><![CDATA[", "]>", 32000, ""));
    expect_cheap_bytewise(repeat("", "<a>", 90, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_is_reported_with_its_attributes),
        cmocka_unit_test(test_message_becomes_header_and_canonical_children),
        cmocka_unit_test(test_namespaces_become_explicit_and_prefixes_go),
        cmocka_unit_test(test_white_space_and_references_survive),
        cmocka_unit_test(test_stream_level_text_and_attributes_are_kept),
        cmocka_unit_test(test_flags_follow_the_children),
        cmocka_unit_test(test_priority_is_parsed_and_clamped),
        cmocka_unit_test(test_bad_roots_are_refused),
        cmocka_unit_test(test_text_between_stanzas_is_refused),
        cmocka_unit_test(test_restricted_xml_is_refused),
        cmocka_unit_test(test_other_encodings_are_refused),
        cmocka_unit_test(test_bad_characters_are_refused),
        cmocka_unit_test(test_malformed_tags_are_refused),
        cmocka_unit_test(test_sizes_have_limits),
        cmocka_unit_test(test_too_many_attributes_of_a_child_are_refused),
        cmocka_unit_test(test_huge_language_and_id_are_accepted),
        cmocka_unit_test(test_close_is_reported_once_and_the_rest_ignored),
        cmocka_unit_test(test_pause_leaves_the_rest_to_the_caller),
        cmocka_unit_test(test_pause_at_every_stanza_changes_nothing),
        cmocka_unit_test(test_restart_begins_a_new_stream),
        cmocka_unit_test(test_released_reader_is_small_and_goes_on),
        cmocka_unit_test(test_release_keeps_the_prefixes_of_the_header),
        cmocka_unit_test(test_large_stanza_leaves_no_memory_behind),
        cmocka_unit_test(test_bytewise_feeding_costs_no_square),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The cursor over the log by itself: a log that is a list of ids, sessions that are letters. */
#include "router/entity/account_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/base/buf.h"

#define PAGE    2
#define MAX_IDS 40000

static struct {
    struct account_log log;
    int64_t committed[MAX_IDS];
    size_t count;
    const char *sessions; /* eligible ones, a letter each */
    const char *silent;   /* those that take only what is for their full JID */
    char to[MAX_IDS];     /* by id: the session of that full JID; 0: the bare one */
    const char *away;     /* those without their client */
    char sent[256];       /* "5a 5b " */
    int64_t watermark;
    int64_t read_after; /* -1: no read */
    bool is_deaf;       /* sending fails */
    int64_t for_nobody; /* this id has no recipient any more */
} fake;

static enum account_log_audience audience(void *context)
{
    (void)context;
    if (fake.sessions[0] == '\0') {
        return ACCOUNT_LOG_NO_SESSION;
    }
    return strspn(fake.sessions, fake.away) == strlen(fake.sessions) ? ACCOUNT_LOG_AWAY
                                                                     : ACCOUNT_LOG_LIVE;
}

static bool is_there(char letter)
{
    return strchr(fake.sessions, letter) || strchr(fake.silent, letter);
}

static bool is_live(void *context, struct id128 session)
{
    (void)context;
    char letter = (char)session.lo;
    return is_there(letter) && !strchr(fake.away, letter);
}

static void start_read(void *context, int64_t after_id)
{
    (void)context;
    assert_int_equal(fake.read_after, -1);
    fake.read_after = after_id;
}

static void cancel_read(void *context)
{
    (void)context;
    fake.read_after = -1;
}

static struct id128 session(char letter)
{
    return (struct id128){ 1, (uint64_t)(unsigned char)letter };
}

static void chaos_on_sent(char letter, int64_t id);

static size_t deliver(void *context, const struct account_log_send *send, struct id128 *targets_out)
{
    (void)context;
    size_t count = 0;
    if (send->id == fake.for_nobody) {
        return ACCOUNT_LOG_NOBODY;
    }
    const char only[] = { fake.to[send->id], '\0' };
    for (const char *at = only[0] && is_there(only[0]) ? only : fake.sessions; *at && !fake.is_deaf;
            at++) {
        bool is_excepted = false;
        for (size_t i = 0; i < send->except_count; i++) {
            is_excepted = is_excepted || id128_equal(send->except[i], session(*at));
        }
        if (is_excepted) {
            continue;
        }
        size_t len = strlen(fake.sent);
        (void)snprintf(fake.sent + len, sizeof(fake.sent) - len, "%d%c ", (int)send->id, *at);
        targets_out[count++] = session(*at);
        chaos_on_sent(*at, send->id);
    }
    return count;
}

static void watermark(void *context, int64_t id)
{
    (void)context;
    assert_true(id > fake.watermark);
    fake.watermark = id;
}

static const struct account_log_ops ops = {
    audience, is_live, start_read, cancel_read, deliver, watermark
};

static int start(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    fake.sessions = "";
    fake.silent = "";
    fake.away = "";
    fake.read_after = -1;
    account_log_init(&fake.log, &ops, NULL);
    account_log_open(&fake.log, 0, 0);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    account_log_fini(&fake.log);
    return 0;
}

static void commit(int64_t id)
{
    struct stanza stanza = { .kind = STANZA_MESSAGE };
    fake.committed[fake.count++] = id;
    account_log_on_committed(&fake.log, id, &stanza);
}

/* Answers the read with what the list has. */
static void answer(void)
{
    assert_int_not_equal(fake.read_after, -1);
    Wire__LogEntry entries[PAGE];
    Wire__LogEntry *list[PAGE];
    Wire__LogReadReply page = WIRE__LOG_READ_REPLY__INIT;
    struct buf packed;
    buf_init(&packed, 0);
    wire_stanza_pack(&packed, &(struct stanza){ .kind = STANZA_MESSAGE });
    page.entries = list;
    page.is_complete = true;
    for (size_t i = 0; i < fake.count; i++) {
        if (fake.committed[i] <= fake.read_after) {
            continue;
        }
        if (page.n_entries == PAGE) {
            page.is_complete = false;
            break;
        }
        wire__log_entry__init(&entries[page.n_entries]);
        entries[page.n_entries].id = fake.committed[i];
        entries[page.n_entries].stanza = wire_bytes(buf_view(&packed));
        list[page.n_entries] = &entries[page.n_entries];
        page.n_entries++;
    }
    fake.read_after = -1;
    account_log_on_page(&fake.log, &page);
    buf_fini(&packed);
}

static void come(const char *sessions)
{
    fake.sessions = sessions;
    account_log_poke(&fake.log);
}

static void leave(char letter, const char *rest)
{
    fake.sessions = rest;
    account_log_on_session_end(&fake.log, session(letter));
}

static void turn_away(const char *sessions)
{
    fake.away = sessions;
    account_log_on_link(&fake.log);
}

static void expect_sent(const char *text)
{
    assert_string_equal(fake.sent, text);
    fake.sent[0] = '\0';
}

static void ids_grow_whatever_the_clock_does(void **state)
{
    (void)state;
    assert_int_equal(account_log_next_id(&fake.log, 1000), 1000);
    assert_int_equal(account_log_next_id(&fake.log, 1000), 1001);
    assert_int_equal(account_log_next_id(&fake.log, 5), 1002);
    account_log_open(&fake.log, 2000, 3000);
    assert_int_equal(account_log_next_id(&fake.log, 5), 3001);
}

static void live_entry_is_sent_to_all_and_done_when_one_has_it(void **state)
{
    (void)state;
    fake.sessions = "ab";
    commit(5);
    expect_sent("5a 5b ");
    account_log_on_delivered(&fake.log, session('b'), 5);
    assert_int_equal(fake.watermark, 5);
    account_log_on_delivered(&fake.log, session('a'), 5);
    assert_true(account_log_is_quiet(&fake.log));
}

static void watermark_waits_for_the_oldest(void **state)
{
    (void)state;
    fake.sessions = "a";
    commit(5);
    commit(6);
    commit(7);
    account_log_on_delivered(&fake.log, session('a'), 7);
    account_log_on_delivered(&fake.log, session('a'), 6);
    assert_int_equal(fake.watermark, 0);
    account_log_on_delivered(&fake.log, session('a'), 5);
    assert_int_equal(fake.watermark, 7);
}

static void strangers_and_repeats_confirm_nothing(void **state)
{
    (void)state;
    fake.sessions = "a";
    commit(5);
    account_log_on_delivered(&fake.log, session('x'), 5);
    account_log_on_delivered(&fake.log, session('a'), 4);
    assert_int_equal(fake.watermark, 0);
    account_log_on_delivered(&fake.log, session('a'), 5);
    account_log_on_delivered(&fake.log, session('a'), 5);
    assert_int_equal(fake.watermark, 5);
}

static void catch_up_goes_page_by_page_and_what_comes_meanwhile_queues(void **state)
{
    (void)state;
    commit(1);
    commit(2);
    commit(3);
    come("a");
    answer();
    expect_sent("1a 2a ");
    commit(4);
    expect_sent("");
    account_log_on_delivered(&fake.log, session('a'), 2);
    assert_int_equal(fake.read_after, -1);
    account_log_on_delivered(&fake.log, session('a'), 1);
    answer();
    expect_sent("3a 4a ");
    commit(5); /* caught up: live again */
    expect_sent("5a ");
}

static void entry_committed_while_a_page_is_read_comes_once(void **state)
{
    (void)state;
    commit(1);
    come("a");
    fake.committed[fake.count++] = 2; /* in the log before its reply is here */
    answer();
    expect_sent("1a 2a ");
    fake.count--;
    commit(2);
    expect_sent("");
    account_log_on_delivered(&fake.log, session('a'), 1);
    account_log_on_delivered(&fake.log, session('a'), 2);
    assert_int_equal(fake.watermark, 2);
    assert_int_equal(fake.read_after, -1);
}

static void takeover_begins_above_the_watermark(void **state)
{
    (void)state;
    fake.committed[fake.count++] = 7;
    fake.committed[fake.count++] = 8;
    account_log_open(&fake.log, 8, 6);
    come("ab");
    assert_int_equal(fake.read_after, 6);
    answer();
    expect_sent("7a 7b 8a 8b ");
}

static void unconfirmed_entry_of_a_dead_session_goes_to_the_others(void **state)
{
    (void)state;
    fake.sessions = "a";
    commit(5);
    commit(6);
    account_log_on_delivered(&fake.log, session('a'), 6);
    expect_sent("5a 6a ");
    leave('a', "b");
    answer();
    expect_sent("5b "); /* 6 is done, it is not sent again */
    account_log_on_delivered(&fake.log, session('b'), 5);
    assert_int_equal(fake.watermark, 6);
}

static void entry_waits_when_the_last_session_goes(void **state)
{
    (void)state;
    fake.sessions = "a";
    commit(5);
    leave('a', "");
    assert_int_equal(fake.read_after, -1);
    assert_int_equal(fake.watermark, 0);
    fake.sent[0] = '\0';
    come("b");
    answer();
    expect_sent("5b ");
}

static void session_that_dies_during_a_read_rewinds_it(void **state)
{
    (void)state;
    fake.sessions = "a";
    commit(1);
    commit(2);
    leave('a', "");
    come("b");
    answer();
    commit(3);
    account_log_on_delivered(&fake.log, session('b'), 1);
    account_log_on_delivered(&fake.log, session('b'), 2);
    expect_sent("1a 2a 1b 2b 3b "); /* the page said complete: 3 was live */
    fake.sessions = "c";
    commit(4);
    leave('b', "c");
    assert_int_equal(fake.read_after, 2);
    answer();
    expect_sent("4c 3c ");
}

static void one_target_left_is_enough(void **state)
{
    (void)state;
    fake.sessions = "ab";
    commit(5);
    leave('a', "b");
    expect_sent("5a 5b ");
    assert_int_equal(fake.read_after, -1);
    account_log_on_delivered(&fake.log, session('b'), 5);
    assert_int_equal(fake.watermark, 5);
}

/* P3: the first session is dead and nobody knows; the second one must not see newer entries before
 * older ones. */
static void new_session_gets_what_nobody_has_confirmed_before_anything_newer(void **state)
{
    (void)state;
    fake.sessions = "a";
    commit(1);
    commit(2);
    account_log_on_delivered(&fake.log, session('a'), 1);
    expect_sent("1a 2a ");
    fake.sessions = "ab";
    account_log_on_eligible(&fake.log);
    commit(3);
    answer();
    expect_sent("2b 3a 3b ");
    leave('a', "b");
    account_log_on_delivered(&fake.log, session('b'), 2);
    account_log_on_delivered(&fake.log, session('b'), 3);
    assert_int_equal(fake.watermark, 3);
    expect_sent("");
    commit(4);
    expect_sent("4b ");
}

static void failed_send_is_backlog_until_poked(void **state)
{
    (void)state;
    fake.sessions = "a";
    fake.is_deaf = true;
    commit(5);
    assert_int_equal(fake.read_after, -1);
    account_log_poke(&fake.log);
    answer(); /* still deaf: no endless loop */
    assert_int_equal(fake.read_after, -1);
    fake.is_deaf = false;
    account_log_poke(&fake.log);
    answer();
    expect_sent("5a ");
}

static void entry_for_nobody_is_passed_by_a_page(void **state)
{
    (void)state;
    fake.for_nobody = 1;
    fake.committed[fake.count++] = 1;
    fake.committed[fake.count++] = 2;
    account_log_open(&fake.log, 2, 0);
    come("a");
    answer();
    expect_sent("2a ");
    assert_int_equal(fake.watermark, 1);
    account_log_on_delivered(&fake.log, session('a'), 2);
    assert_int_equal(fake.watermark, 2);
}

static void page_of_nothing_but_entries_for_nobody_is_followed_by_the_next(void **state)
{
    (void)state;
    fake.for_nobody = 2;
    fake.committed[fake.count++] = 2;
    account_log_open(&fake.log, 2, 0);
    come("a");
    answer();
    assert_int_equal(fake.watermark, 2);
    assert_true(account_log_is_quiet(&fake.log));
    commit(3);
    expect_sent("3a ");
}

static void entry_for_nobody_waits_for_older_ones(void **state)
{
    (void)state;
    fake.sessions = "a";
    fake.for_nobody = 2;
    commit(1);
    commit(2);
    commit(3);
    expect_sent("1a 3a ");
    assert_int_equal(fake.watermark, 0);
    account_log_on_delivered(&fake.log, session('a'), 1);
    assert_int_equal(fake.watermark, 2);
    account_log_on_delivered(&fake.log, session('a'), 3);
    assert_int_equal(fake.watermark, 3);
}

static void failed_read_is_asked_again(void **state)
{
    (void)state;
    commit(5);
    come("a");
    fake.read_after = -1;
    account_log_on_page(&fake.log, NULL);
    assert_int_equal(fake.read_after, -1);
    account_log_poke(&fake.log);
    answer();
    expect_sent("5a ");
}

static void entries_gone_from_the_log_end_the_backlog(void **state)
{
    (void)state;
    account_log_open(&fake.log, 9, 3); /* expired meanwhile: the page is empty */
    come("a");
    answer();
    commit(10);
    expect_sent("10a ");
}

static void client_that_confirms_nothing_is_bounded(void **state) /* C20 */
{
    (void)state;
    fake.sessions = "a";
    struct stanza stanza = { .kind = STANZA_MESSAGE };
    for (int64_t id = 1; id <= ACCOUNT_LOG_MAX_TRACKED + 10; id++) {
        account_log_on_committed(&fake.log, id, &stanza);
    }
    assert_int_equal(fake.log.tracked_count, ACCOUNT_LOG_MAX_TRACKED);
    assert_int_equal(fake.read_after, -1);
    account_log_on_delivered(&fake.log, session('a'), 1);
    assert_int_equal(fake.read_after, ACCOUNT_LOG_MAX_TRACKED);
}

/* C34 */
static bool has_room_for(int64_t max_entries)
{
    return account_log_has_room(&fake.log, 0, max_entries, 0);
}

static void what_waits_is_counted(void **state)
{
    (void)state;
    account_log_open(&fake.log, 4, 2); /* 3 and 4 of a former home */
    fake.committed[fake.count++] = 3;
    fake.committed[fake.count++] = 4;
    account_log_set_waiting(&fake.log, 2, 0);
    account_log_on_appended(&fake.log, 0);
    account_log_on_appended(&fake.log, 0);
    assert_true(has_room_for(5));
    assert_false(has_room_for(4));
    account_log_on_withdrawn(&fake.log, 0);
    assert_false(has_room_for(3));
    commit(5);
    assert_false(has_room_for(3));
    come("a");
    answer();
    assert_false(has_room_for(3)); /* sent is not confirmed */
    account_log_on_delivered(&fake.log, session('a'), 3);
    assert_true(has_room_for(3));
    account_log_on_delivered(&fake.log, session('a'), 4);
    answer();
    assert_false(has_room_for(1));
    account_log_on_delivered(&fake.log, session('a'), 5);
    assert_true(has_room_for(1));
}

static void what_is_gone_from_the_log_does_not_count_for_ever(void **state)
{
    (void)state;
    account_log_open(&fake.log, 400, 2);
    account_log_set_waiting(&fake.log, 100, 1000);
    account_log_on_appended(&fake.log, 0); /* and one on its way */
    come("a");
    answer();
    account_log_on_committed(&fake.log, 401, &(struct stanza){ .kind = STANZA_MESSAGE });
    account_log_on_delivered(&fake.log, session('a'), 401);
    assert_true(account_log_has_room(&fake.log, 10, 1, 10));
}

/* Its stream has died, and the client comes as another session. */
static void page_of_a_dead_session_keeps_nobody_waiting(void **state)
{
    (void)state;
    commit(5);
    commit(6);
    come("a");
    answer();
    expect_sent("5a 6a ");
    fake.sessions = "ab";
    account_log_on_eligible(&fake.log);
    answer();
    expect_sent("5b 6b ");
    account_log_on_delivered(&fake.log, session('b'), 5);
    account_log_on_delivered(&fake.log, session('b'), 6);
    assert_int_equal(fake.watermark, 6);
}

/* Messages to one device's full JID. */
static void page_of_a_client_that_is_gone_keeps_no_other_waiting(void **state)
{
    (void)state;
    for (int64_t id = 1; id <= 4; id++) {
        commit(id);
    }
    come("a");
    answer();
    fake.sessions = "ab";
    assert_int_equal(fake.read_after, -1); /* the client has not confirmed */
    turn_away("a");
    assert_int_not_equal(fake.read_after, -1);
    fake.sent[0] = '\0';
    answer();
    expect_sent("3a 3b 4a 4b ");
}

/* Nobody else waits: its queue is not to grow over what it may owe. */
static void page_of_an_only_client_that_is_gone_waits_for_it(void **state)
{
    (void)state;
    for (int64_t id = 1; id <= 4; id++) {
        commit(id);
    }
    come("a");
    answer();
    turn_away("a");
    assert_int_equal(fake.read_after, -1);
    turn_away("");
    assert_int_equal(fake.read_after, -1);
    account_log_on_delivered(&fake.log, session('a'), 1);
    account_log_on_delivered(&fake.log, session('a'), 2);
    assert_int_equal(fake.read_after, 2);
}

/* ---- done entries in front of which an older one waits */

/* In the log, and nobody here knows yet. */
static void append_to(char letter, int64_t id)
{
    struct stanza stanza = { .kind = STANZA_MESSAGE };
    fake.to[id] = letter;
    fake.committed[fake.count++] = id;
    account_log_on_appended(&fake.log, stanza_bytes(&stanza));
}

static void commit_to(char letter, int64_t id)
{
    append_to(letter, id);
    account_log_on_committed(&fake.log, id, &(struct stanza){ .kind = STANZA_MESSAGE });
}

/* Sends `count` messages to `letter`'s full JID, from `id` on, and has each confirmed at once. */
static void talk(char letter, int64_t id, int64_t count)
{
    for (int64_t until = id + count; id < until; id++) {
        fake.sent[0] = '\0';
        commit_to(letter, id);
        assert_string_not_equal(fake.sent, ""); /* it gets every one */
        account_log_on_delivered(&fake.log, session(letter), id);
    }
    fake.sent[0] = '\0';
}

/* Its only session is not available, or has negative priority. */
static void done_entries_behind_a_stored_one_hold_nobody_up(void **state)
{
    (void)state;
    commit_to('\0', 1);
    fake.silent = "n";
    talk('n', 2, 3 * ACCOUNT_LOG_MAX_TRACKED);
    assert_int_equal(fake.watermark, 0);
    assert_false(has_room_for(1));
    assert_true(has_room_for(2)); /* what is done does not wait */
    come("a");
    answer();
    expect_sent("1a ");
    account_log_on_delivered(&fake.log, session('a'), 1);
    while (fake.read_after >= 0) {
        answer();
    }
    expect_sent("");
    assert_int_equal(fake.watermark, 1 + 3 * ACCOUNT_LOG_MAX_TRACKED);
    assert_true(has_room_for(1));
}

/* A device that is detached owes one. */
static void done_entries_behind_an_unconfirmed_one_hold_nobody_up(void **state)
{
    (void)state;
    fake.sessions = "b";
    fake.silent = "a";
    fake.away = "a";
    commit_to('a', 1);
    talk('b', 2, 3 * ACCOUNT_LOG_MAX_TRACKED);
    assert_int_equal(fake.watermark, 0);
    assert_true(has_room_for(2));
    account_log_on_delivered(&fake.log, session('a'), 1);
    assert_int_equal(fake.watermark, 1 + 3 * ACCOUNT_LOG_MAX_TRACKED);
}

/* Sessions remember numbers above the watermark: beyond this senders hear of it. */
static void done_entries_are_bounded(void **state)
{
    (void)state;
    commit_to('\0', 1);
    fake.silent = "n";
    talk('n', 2, ACCOUNT_LOG_MAX_DONE - 1);
    assert_true(has_room_for(0));
    talk('n', 2 + ACCOUNT_LOG_MAX_DONE - 1, 1);
    assert_false(has_room_for(0));
    talk('n', 2 + ACCOUNT_LOG_MAX_DONE, 1); /* was on its way */
}

static void an_entry_between_done_ones_is_not_taken_for_one(void **state)
{
    (void)state;
    commit_to('\0', 1);
    fake.silent = "n";
    talk('n', 2, 3);
    commit_to('\0', 5);
    talk('n', 6, 3);
    commit_to('n', 9); /* goes to others when its session ends */
    talk('n', 10, 2);
    fake.silent = "";
    account_log_on_session_end(&fake.log, session('n'));
    come("a");
    while (fake.read_after >= 0) {
        answer();
        for (int64_t id = 1; id < 12; id++) {
            account_log_on_delivered(&fake.log, session('a'), id);
        }
    }
    expect_sent("1a 5a 9a ");
    assert_int_equal(fake.watermark, 11);
    assert_int_equal(fake.log.done_count, 0);
}

/* The account was off for a while, or is another one of that name. */
static void what_is_done_hides_nothing_of_a_log_that_is_opened_again(void **state)
{
    (void)state;
    commit_to('\0', 1);
    fake.silent = "n";
    talk('n', 2, 3);
    fake.count = 0;
    fake.committed[fake.count++] = 11;
    fake.committed[fake.count++] = 12;
    account_log_open(&fake.log, 12, 10);
    talk('n', 13, 2);
    come("a");
    answer();
    expect_sent("11a 12a ");
}

/* ---- whatever happens: nothing is passed over, nothing that is done is sent again */

#define CHAOS_STEPS 4000

static struct {
    bool is_on;
    uint32_t random;
    struct {
        char letter;
        int64_t id;
    } owed[8 * CHAOS_STEPS];
    size_t owed_count;
    size_t heard; /* so many of fake.committed are known as committed */
    bool is_confirmed[MAX_IDS];
} chaos;

static uint32_t chaos_below(uint32_t limit)
{
    chaos.random = chaos.random * 1664525 + 1013904223;
    return (chaos.random >> 16) % limit;
}

static void chaos_on_sent(char letter, int64_t id)
{
    if (chaos.is_on) {
        fake.sent[0] = '\0';
        assert_false(chaos.is_confirmed[id]);
        chaos.owed[chaos.owed_count].letter = letter;
        chaos.owed[chaos.owed_count++].id = id;
    }
}

static void chaos_confirm(size_t at)
{
    char letter = chaos.owed[at].letter;
    int64_t id = chaos.owed[at].id;
    chaos.owed[at] = chaos.owed[--chaos.owed_count];
    chaos.is_confirmed[id] = true;
    account_log_on_delivered(&fake.log, session(letter), id);
}

static void chaos_end_session(char letter)
{
    for (size_t i = chaos.owed_count; i-- > 0;) {
        if (chaos.owed[i].letter == letter) {
            chaos.owed[i] = chaos.owed[--chaos.owed_count];
        }
    }
    account_log_on_session_end(&fake.log, session(letter));
}

/* Another set of sessions: those that go have ended, those that come may get what others owe. */
static void chaos_change_sessions(void)
{
    static const char *const eligible[] = { "", "", "a", "b", "ab" };
    static const char *const silent[] = { "", "n", "nm", "nm" };
    const char *former[] = { fake.sessions, fake.silent };
    fake.sessions = eligible[chaos_below(5)];
    fake.silent = silent[chaos_below(4)];
    for (size_t i = 0; i < 2; i++) {
        for (const char *at = former[i]; *at; at++) {
            if (!is_there(*at)) {
                chaos_end_session(*at);
            }
        }
    }
    for (const char *at = fake.sessions; *at; at++) {
        if (!strchr(former[0], *at)) {
            account_log_on_eligible(&fake.log);
        }
    }
}

static void chaos_hear(void)
{
    if (chaos.heard < fake.count) {
        account_log_on_committed(&fake.log,
                fake.committed[chaos.heard++],
                &(struct stanza){ .kind = STANZA_MESSAGE });
    }
}

static void chaos_step(int64_t *newest)
{
    uint32_t dice = chaos_below(100);
    if (dice < 35) {
        append_to("\0\0\0nnmab"[chaos_below(8)], *newest += 1 + chaos_below(3));
        for (uint32_t i = chaos_below(4); i > 0; i--) { /* often at once, sometimes late */
            chaos_hear();
        }
    } else if (dice < 75 && chaos.owed_count > 0) {
        chaos_confirm(chaos_below((uint32_t)chaos.owed_count));
    } else if (dice < 92 && fake.read_after >= 0) {
        answer();
    } else if (dice < 94) {
        chaos_change_sessions();
    } else if (dice < 95) {
        fake.is_deaf = !fake.is_deaf;
        account_log_poke(&fake.log);
    } else if (dice < 97) {
        fake.away = chaos_below(2) ? "b" : "";
        account_log_on_link(&fake.log);
    }
}

/* Everybody is there and confirms. */
static void chaos_settle(void)
{
    fake.is_deaf = false;
    fake.away = "";
    fake.sessions = "ab";
    fake.silent = "nm";
    while (chaos.heard < fake.count) {
        chaos_hear();
    }
    account_log_on_eligible(&fake.log);
    while (fake.read_after >= 0 || chaos.owed_count > 0) {
        while (chaos.owed_count > 0) {
            chaos_confirm(0);
        }
        account_log_poke(&fake.log);
        if (fake.read_after >= 0) {
            answer();
        }
    }
}

static void chaos_check(void)
{
    size_t done = 0;
    int64_t unconfirmed = 0;
    for (size_t i = 0; i < fake.count; i++) {
        int64_t id = fake.committed[i];
        if (id <= fake.watermark) {
            assert_true(chaos.is_confirmed[id]);
        }
        unconfirmed += chaos.is_confirmed[id] ? 0 : 1;
        done += chaos.is_confirmed[id] && id > fake.watermark ? 1 : 0;
    }
    assert_true(fake.log.done_count >= done);
    /* More for a while, when a client was faster than the commit's reply. */
    assert_true(fake.log.waiting.entries >= unconfirmed);
}

static void nothing_is_lost_and_nothing_comes_again_whatever_happens(void **state)
{
    for (uint32_t seed = 1; seed <= 40; seed++) {
        (void)stop(state);
        (void)start(state);
        memset(&chaos, 0, sizeof(chaos));
        chaos.is_on = true;
        chaos.random = seed;
        int64_t newest = 0;
        for (int i = 0; i < CHAOS_STEPS; i++) {
            chaos_step(&newest);
            if (i % 16 == 0) {
                chaos_check();
            }
        }
        chaos_settle();
        append_to('\0', ++newest);
        chaos_settle();
        chaos_check();
        assert_int_equal(fake.log.waiting.entries, 0);
        assert_int_equal(fake.watermark, newest);
        assert_int_equal(fake.log.done_count, 0);
    }
    chaos.is_on = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ids_grow_whatever_the_clock_does, start, stop),
        cmocka_unit_test_setup_teardown(
                live_entry_is_sent_to_all_and_done_when_one_has_it, start, stop),
        cmocka_unit_test_setup_teardown(watermark_waits_for_the_oldest, start, stop),
        cmocka_unit_test_setup_teardown(strangers_and_repeats_confirm_nothing, start, stop),
        cmocka_unit_test_setup_teardown(
                catch_up_goes_page_by_page_and_what_comes_meanwhile_queues, start, stop),
        cmocka_unit_test_setup_teardown(
                entry_committed_while_a_page_is_read_comes_once, start, stop),
        cmocka_unit_test_setup_teardown(takeover_begins_above_the_watermark, start, stop),
        cmocka_unit_test_setup_teardown(
                unconfirmed_entry_of_a_dead_session_goes_to_the_others, start, stop),
        cmocka_unit_test_setup_teardown(entry_waits_when_the_last_session_goes, start, stop),
        cmocka_unit_test_setup_teardown(session_that_dies_during_a_read_rewinds_it, start, stop),
        cmocka_unit_test_setup_teardown(one_target_left_is_enough, start, stop),
        cmocka_unit_test_setup_teardown(
                new_session_gets_what_nobody_has_confirmed_before_anything_newer, start, stop),
        cmocka_unit_test_setup_teardown(failed_send_is_backlog_until_poked, start, stop),
        cmocka_unit_test_setup_teardown(entry_for_nobody_is_passed_by_a_page, start, stop),
        cmocka_unit_test_setup_teardown(
                page_of_nothing_but_entries_for_nobody_is_followed_by_the_next, start, stop),
        cmocka_unit_test_setup_teardown(entry_for_nobody_waits_for_older_ones, start, stop),
        cmocka_unit_test_setup_teardown(failed_read_is_asked_again, start, stop),
        cmocka_unit_test_setup_teardown(entries_gone_from_the_log_end_the_backlog, start, stop),
        cmocka_unit_test_setup_teardown(client_that_confirms_nothing_is_bounded, start, stop),
        cmocka_unit_test_setup_teardown(what_waits_is_counted, start, stop),
        cmocka_unit_test_setup_teardown(
                what_is_gone_from_the_log_does_not_count_for_ever, start, stop),
        cmocka_unit_test_setup_teardown(page_of_a_dead_session_keeps_nobody_waiting, start, stop),
        cmocka_unit_test_setup_teardown(
                page_of_a_client_that_is_gone_keeps_no_other_waiting, start, stop),
        cmocka_unit_test_setup_teardown(
                page_of_an_only_client_that_is_gone_waits_for_it, start, stop),
        cmocka_unit_test_setup_teardown(
                done_entries_behind_a_stored_one_hold_nobody_up, start, stop),
        cmocka_unit_test_setup_teardown(
                done_entries_behind_an_unconfirmed_one_hold_nobody_up, start, stop),
        cmocka_unit_test_setup_teardown(done_entries_are_bounded, start, stop),
        cmocka_unit_test_setup_teardown(
                an_entry_between_done_ones_is_not_taken_for_one, start, stop),
        cmocka_unit_test_setup_teardown(
                what_is_done_hides_nothing_of_a_log_that_is_opened_again, start, stop),
        cmocka_unit_test_setup_teardown(
                nothing_is_lost_and_nothing_comes_again_whatever_happens, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

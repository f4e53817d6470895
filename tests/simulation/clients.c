/* See clients.h. Thread: the run's. */
#include "clients.h"

#include <string.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "events.h"
#include "feed/feed.h"
#include "member.h"
#include "story.h"
#include "stream.h"
#include "truth.h"

enum {
    HOT = 3,              /* Orders that get half of the requests at a time, */
    HOT_REQUESTS = 150,   /* and how many requests until the next one is among them. */
    ATTEMPT_US = 1500000, /* Then a client asks again, elsewhere. */
    REMEMBERED = 64,
    PATIENCE_US = 150000, /* Of those who read from one member alone, at most. */
};

struct client {
    unsigned number;
    bool busy;
    struct request request;
    uint32_t attempt;       /* Of the copy that was sent last. */
    uint32_t first_attempt; /* Of this request. */
    unsigned target;
    int64_t asked_us;
    uint64_t turn;     /* Of the alarm that counts. */
    bool reads_at_one; /* While clients are parted. */
    struct request before[REMEMBERED];
    uint32_t before_count;
};

struct alarm {
    struct client *client;
    uint64_t turn;
};

/* A request or an answer on its way. */
struct parcel {
    unsigned member;
    struct request request;
    struct answer answer;
};

struct consumer {
    uint64_t next_seq;
    uint64_t checked_seq; /* Events before this were given, or are not for it. */
    bool some;            /* Not all shards. */
    unsigned member;
};

static struct client clients[CLIENTS_MAX];
static struct consumer consumers[CONSUMERS];
static const uint32_t some_shards[] = {1, 4, 5, 8, 11, 14};
static unsigned count;
static int64_t think_us_max;
static bool stopping, defined;
static uint32_t requests_count, loss_permille;
static struct {
    unsigned member;
    int64_t until_us;
} parted;

static void wake(void *context);

static void
set_alarm(struct client *client, int64_t after_us)
{
    struct alarm *alarm = mem_alloc(sizeof *alarm);
    *alarm = (struct alarm){client, ++client->turn};
    event_plan(after_us, 0, wake, alarm);
}

/* -- What they ask ----------------------------------------------------------------------------- */

static uint32_t
some_order(void)
{
    uint32_t base = requests_count / HOT_REQUESTS;
    return chance_permille(550) ? (base + (uint32_t)chance_below(HOT)) % MODEL_ORDERS
                                : (base + (uint32_t)chance_below(24)) % MODEL_ORDERS;
}

static enum model_event_kind
some_event(void)
{
    static const enum model_event_kind often[] = {EVENT_PAY,    EVENT_PAY,   EVENT_TOUCH,
                                                  EVENT_TOUCH,  EVENT_RENEW, EVENT_REOPEN,
                                                  EVENT_REOPEN, EVENT_PAY,   EVENT_TOUCH};
    return chance_permille(20) ? EVENT_FINISH : often[chance_below(sizeof often / sizeof often[0])];
}

static struct wish
some_wish(void)
{
    struct wish wish = {.order = some_order(), .note = 1 + (uint32_t)chance_below(100)};
    const struct model_version *now = model_order_at(wish.order, UINT64_MAX);
    /* A client guesses; that it guesses well makes more happen. */
    wish.create = now == NULL ? chance_permille(900) : chance_permille(50);
    if (wish.create) {
        wish.key =
            chance_permille(300) ? 1 + (uint32_t)chance_below(MODEL_KEYS) : 1000 + wish.order;
        return wish;
    }
    wish.event = some_event();
    if (wish.event != EVENT_PAY && wish.event != EVENT_TOUCH) {
        wish.note = 0; /* Not accepted there. */
    }
    if (now != NULL && chance_permille(200)) {
        wish.expects = true;
        wish.expect_version = now->version + chance_below(2);
    }
    return wish;
}

/* An old request id for something else on the same order. */
static bool
reuse(const struct client *client, struct request *request)
{
    if (client->before_count == 0 || !chance_permille(15)) {
        return false;
    }
    uint32_t known = client->before_count < REMEMBERED ? client->before_count : REMEMBERED;
    const struct request *old = &client->before[chance_below(known)];
    request->number = old->number;
    request->count = 1;
    request->wishes[0] = some_wish();
    request->wishes[0].order = old->wishes[0].order;
    return true;
}

static void
some_write(struct client *client, struct request *request)
{
    request->kind = REQUEST_WRITE;
    if (reuse(client, request)) {
        return;
    }
    request->number = ++requests_count;
    request->count = chance_permille(100) ? 2 + (uint32_t)chance_below(MODEL_GROUP_MAX - 1) : 1;
    for (uint32_t i = 0; i < request->count; i++) {
        request->wishes[i] = some_wish();
        if (i > 0 && request->wishes[i].create && request->wishes[0].create &&
            chance_permille(500)) {
            request->wishes[i].key = request->wishes[0].key; /* Unique within an entry too. */
        }
        for (uint32_t before = 0; before < i; before++) {
            if (request->wishes[before].order == request->wishes[i].order) {
                request->count = i; /* Each order once: its event is found by order. */
            }
        }
    }
    client->before[client->before_count++ % REMEMBERED] = *request;
}

void
clients_fill_write(struct request *request)
{
    request->kind = REQUEST_WRITE;
    request->number = ++requests_count;
    request->count = 1;
    request->wishes[0] = some_wish();
}

/* -- Asking ------------------------------------------------------------------------------------ */

static void
ask(void *context)
{
    const struct parcel *parcel = context;
    server_ask(server_of(parcel->member), &parcel->request);
}

static void
request_arrives(void *context)
{
    struct parcel *parcel = context;
    int64_t stopped_until_us = member_stopped_until_us(parcel->member);
    if (member_up(parcel->member) && stopped_until_us > events_now_us()) {
        event_plan(stopped_until_us - events_now_us(), 0, request_arrives, parcel);
        return;
    }
    if (member_up(parcel->member)) {
        member_run(parcel->member, ask, parcel);
    }
    mem_free(parcel);
}

void
clients_send(unsigned member, const struct request *request, int64_t delay_us)
{
    struct parcel *parcel = mem_zalloc(sizeof *parcel);
    parcel->member = member;
    parcel->request = *request;
    event_plan(delay_us, 0, request_arrives, parcel);
}

static void
send_request(struct client *client)
{
    client->request.attempt = ++client->attempt;
    client->request.timeout_us = chance_permille(100) ? chance_between(1000, 200000) : ATTEMPT_US;
    if (!chance_permille(loss_permille)) {
        clients_send(client->target, &client->request, chance_between(30, 2000));
    }
    if (chance_permille(20)) {
        client->request.timeout_us = ATTEMPT_US;
        clients_send(client->target, &client->request, chance_between(1000, 15000000));
    }
    /* Where nobody listens it learns so at once. */
    bool refused = !member_up(client->target);
    int64_t patience_us = client->reads_at_one ? chance_between(10000, PATIENCE_US)
                                               : ATTEMPT_US + chance_between(0, 200000);
    set_alarm(client, refused ? chance_between(5000, 100000) : patience_us);
}

static void
try_elsewhere(struct client *client)
{
    client->target = 1 + (unsigned)chance_below(members_count());
    if (client->target == parted.member && parted.until_us > events_now_us()) {
        client->target = client->target % members_count() + 1;
    }
}

static void
begin_request(struct client *client)
{
    client->request = (struct request){.client = client->number, .floor = truth_floor()};
    client->first_attempt = client->attempt + 1;
    client->asked_us = events_now_us();
    client->busy = true;
    if (client->reads_at_one) {
        client->target = parted.member;
    } else if (chance_permille(150)) {
        try_elsewhere(client); /* Also one that no longer leads and does not know it. */
    }
    if (client->number == 0 && !defined) {
        defined = true;
        client->request.kind = REQUEST_DEFINE;
    } else if (client->reads_at_one || chance_permille(300)) {
        client->request.kind = REQUEST_READ;
        client->request.count = 1;
        client->request.wishes[0].order = some_order();
    } else {
        some_write(client, &client->request);
    }
    send_request(client);
}

static void
wake(void *context)
{
    struct alarm alarm = *(struct alarm *)context;
    struct client *client = alarm.client;
    mem_free(context);
    if (alarm.turn != client->turn) {
        return;
    }
    if (client->reads_at_one) {
        client->busy = false; /* It asks afresh: an old read may show what was so when it came. */
        client->reads_at_one = parted.until_us > events_now_us();
    }
    if (client->busy) {
        if (client->attempt >= client->first_attempt) {
            try_elsewhere(client);
        }
        send_request(client);
    } else if (!stopping) {
        begin_request(client);
    }
}

static void
answer_arrives(void *context)
{
    struct parcel parcel = *(struct parcel *)context;
    struct client *client = &clients[parcel.request.client];
    mem_free(context);
    if (!client->busy || parcel.request.attempt < client->first_attempt) {
        return;
    }
    if (parcel.answer.decided) {
        client->busy = false;
        story->counts.answers++;
        client->target = parcel.member;
        set_alarm(client,
                  chance_between(100, client->reads_at_one ? PATIENCE_US / 10 : think_us_max));
    } else if (parcel.request.attempt == client->attempt) {
        story->counts.unknown += parcel.answer.error == QO_UNKNOWN_OUTCOME;
        client->reads_at_one = false;
        try_elsewhere(client);
        set_alarm(client, chance_between(5000, 100000));
    }
}

void
clients_answer(unsigned id, const struct request *request, const struct answer *answer)
{
    if (request->client >= CLIENT_STREAM) {
        stream_answered(request, answer);
    } else if (!chance_permille(loss_permille)) {
        struct parcel *parcel = mem_alloc(sizeof *parcel);
        *parcel = (struct parcel){.member = id, .request = *request, .answer = *answer};
        event_plan(chance_between(30, 2000), 0, answer_arrives, parcel);
    }
}

/* -- Consumers --------------------------------------------------------------------------------- */

static bool
wants(const struct consumer *consumer, uint32_t order)
{
    char id[16];
    bool wanted = !consumer->some;
    model_order_id(order, id);
    uint32_t shard = hash_shard(bytes_text(id), QO_SHARDS_DEFAULT);
    for (size_t i = 0; i < sizeof some_shards / sizeof some_shards[0]; i++) {
        wanted = wanted || shard == some_shards[i];
    }
    return wanted;
}

/* The seq of the next event that it must be given, or `end`. */
static uint64_t
next_wanted(const struct consumer *consumer, uint64_t end)
{
    uint64_t seq = consumer->checked_seq;
    while (seq < end && !wants(consumer, model_event_at(seq)->order)) {
        seq++;
    }
    return seq;
}

static bool
take_event(void *context, const struct event_record *event, const struct definition *definition)
{
    struct consumer *consumer = context;
    uint64_t seq = next_wanted(consumer, model_seq());
    truth_fed(consumer->member, seq, event, definition);
    consumer->checked_seq = seq + 1;
    return true;
}

static void
consume(void *context)
{
    struct consumer *consumer = context;
    struct store_view *view = store_view_begin(member_store(consumer->member));
    const struct feed_filter filter = {
        .from_seq = consumer->next_seq,
        .limit = 1 + (uint32_t)chance_below(60),
        .shards = consumer->some ? some_shards : NULL,
        .shards_count = consumer->some ? sizeof some_shards / sizeof some_shards[0] : 0,
    };
    struct feed_page page = feed_read(view, &filter, take_event, consumer);
    store_view_end(view);
    EXPECT(page.next_seq >= consumer->next_seq && page.high_seq <= model_seq() &&
               (page.next_seq <= model_seq() + 1 || page.next_seq == consumer->next_seq),
           "member %u: the feed goes from %llu to %llu", consumer->member,
           (unsigned long long)consumer->next_seq, (unsigned long long)page.next_seq);
    EXPECT(consumer->checked_seq >= page.next_seq ||
               next_wanted(consumer, page.next_seq) == page.next_seq,
           "member %u: the feed leaves out an event before %llu", consumer->member,
           (unsigned long long)page.next_seq);
    consumer->next_seq = consumer->checked_seq = page.next_seq;
}

static void
follow(void *context)
{
    struct consumer *consumer = context;
    consumer->member = 1 + (unsigned)chance_below(members_count());
    if (member_up(consumer->member) &&
        member_stopped_until_us(consumer->member) <= events_now_us()) {
        member_run(consumer->member, consume, consumer);
    }
    event_plan(chance_between(20000, 300000), 0, follow, consumer);
}

/* -- All of them ------------------------------------------------------------------------------- */

void
clients_start(unsigned how_many, int64_t think_us)
{
    QO_PRE(how_many >= 1 && how_many <= CLIENTS_MAX);
    count = how_many;
    think_us_max = think_us;
    for (unsigned i = 0; i < count; i++) {
        clients[i] = (struct client){.number = i, .target = 1};
        set_alarm(&clients[i], chance_between(1, think_us));
    }
    for (unsigned i = 0; i < CONSUMERS; i++) {
        consumers[i] = (struct consumer){.next_seq = 1, .checked_seq = 1, .some = i == 1};
        event_plan(chance_between(1, 300000), 0, follow, &consumers[i]);
    }
}

void
clients_part(unsigned member, int64_t for_us)
{
    parted.member = member;
    parted.until_us = events_now_us() + for_us;
    for (unsigned i = 0; i < count; i++) {
        struct client *client = &clients[i];
        bool free = !client->busy || client->request.kind == REQUEST_READ;
        client->reads_at_one = free && defined && !stopping && chance_permille(500);
        if (client->reads_at_one || client->target == member) {
            set_alarm(client, chance_between(1000, PATIENCE_US));
        }
    }
}

void
clients_stop(void)
{
    stopping = true;
}

bool
clients_idle(void)
{
    bool idle = true;
    for (unsigned i = 0; i < count; i++) {
        idle = idle && !clients[i].busy;
    }
    return idle;
}

int64_t
clients_waiting_us(void)
{
    int64_t longest_us = 0;
    for (unsigned i = 0; i < count; i++) {
        int64_t us = clients[i].busy ? events_now_us() - clients[i].asked_us : 0;
        longest_us = us > longest_us ? us : longest_us;
    }
    return longest_us;
}

void
clients_tell(void)
{
    static const char *const kinds[] = {
        [REQUEST_DEFINE] = "defining", [REQUEST_WRITE] = "writing", [REQUEST_READ] = "reading"};
    for (unsigned i = 0; i < count; i++) {
        const struct client *client = &clients[i];
        if (client->busy) {
            tell(0,
                 "client %u waits for %s order %u, request %u, attempt %u since the first of %u, "
                 "asks %u",
                 i, kinds[client->request.kind], client->request.wishes[0].order,
                 client->request.number, client->attempt, client->first_attempt, client->target);
        }
    }
}

bool
consumers_done(void)
{
    bool done = true;
    for (unsigned i = 0; i < CONSUMERS; i++) {
        done = done && consumers[i].next_seq == model_seq() + 1;
    }
    return done;
}

void
clients_set_loss(uint32_t permille)
{
    loss_permille = permille;
}

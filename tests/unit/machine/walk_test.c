/*
 * Goal: the machines of cluster/machines say what their readers think: which event is accepted in
 *       which state, where it leads, and nothing else.
 * Method: for each machine a table written by hand, not taken from the compiled form. Every pair of
 *         state and event is tried; a pair that is not in the table must be refused. Then orders
 *         walk at random from their creation, trying any event anywhere, and are compared with the
 *         table at each step.
 */
#include "support/test.h"

#include "support/seed.h"
#include "unit/machine/support.h"

struct way {
    const char *from, *event, *to;
    const char *bring; /* What makes the attributes right; see put_list(). */
    bool restart;
};

struct timeout {
    const char *state, *event;
    int64_t after_us;
};

struct expectation {
    const char *file;
    const char *states; /* Separated by spaces, sorted; `*` behind the final ones, `>` before the
                           initial one. */
    const char *events; /* Sorted. */
    const char *create; /* What creation brings. */
    const char *carry;  /* What an order may have gathered on its way, all of it. */
    const struct way *ways;
    size_t ways_count;
    const struct timeout *timeouts;
    size_t timeouts_count;
};

#define SECONDS INT64_C(1000000)
#define MINUTES (60 * SECONDS)
#define HOURS (60 * MINUTES)

/* -- What is expected ------------------------------------------------------------------------ */

static const struct way order_tracking_ways[] = {
    {"CREATED", "confirm", "CONFIRMED", "", false},
    {"CREATED", "cancel", "CANCELLED", "cancel_reason=CUSTOMER", false},
    {"CONFIRMED", "pack", "PACKED", "", false},
    {"CONFIRMED", "cancel", "CANCELLED", "cancel_reason=OUT_OF_STOCK", false},
    {"PACKED", "ship", "SHIPPED", "carrier=POST tracking_number=T1", false},
    {"PACKED", "cancel", "CANCELLED", "cancel_reason=FRAUD", false},
    {"SHIPPED", "locate", "SHIPPED", "location=Bern", false},
    {"SHIPPED", "out_for_delivery", "OUT_FOR_DELIVERY", "", false},
    {"OUT_FOR_DELIVERY", "locate", "OUT_FOR_DELIVERY", "location=Thun", false},
    {"OUT_FOR_DELIVERY", "attempt_failed", "SHIPPED", "failed_attempts=1", false},
    {"OUT_FOR_DELIVERY", "deliver", "DELIVERED", "received_by=neighbour", false},
};

static const struct way order_ways[] = {
    {"CREATED", "pay", "PAID", "payment_id=P1", false},
    {"CREATED", "correct", "CREATED", "address={}", false},
    {"CREATED", "cancel", "CANCELLED", "", false},
    {"CREATED", "expire", "CANCELLED", "", false},
    {"PAID", "correct", "PAID", "address={}", false},
    {"PAID", "ship", "SHIPPED", "tracking_id=T1", false},
    {"PAID", "cancel", "CANCELLED", "cancel_reason=late refund_cents=100", false},
    {"SHIPPED", "deliver", "DELIVERED", "", false},
    {"SHIPPED", "return", "RETURNED", "return_reason=DAMAGED", false},
    {"DELIVERED", "return", "RETURNED", "refund_cents=5 return_reason=CHANGED_MIND", false},
};
static const struct timeout order_timeouts[] = {{"CREATED", "expire", 30 * MINUTES}};

static const struct way food_delivery_ways[] = {
    {"PLACED", "confirm", "CONFIRMED", "prep_minutes=20", false},
    {"PLACED", "reject", "REJECTED", "reject_reason=TOO_BUSY", false},
    {"PLACED", "no_answer", "REJECTED", "", false},
    {"PLACED", "cancel", "CANCELLED", "", false},
    {"CONFIRMED", "prepare", "PREPARING", "", false},
    {"CONFIRMED", "delay", "CONFIRMED", "prep_minutes=30", false},
    {"CONFIRMED", "cancel", "CANCELLED", "cancel_reason=hungry", false},
    {"PREPARING", "delay", "PREPARING", "prep_minutes=40", false},
    {"PREPARING", "ready", "READY", "", false},
    {"PREPARING", "cancel", "CANCELLED", "", false},
    {"READY", "assign_driver", "DRIVER_ASSIGNED", "distance_km=3 driver_id=D1", false},
    {"READY", "cancel", "CANCELLED", "", false},
    {"DRIVER_ASSIGNED", "assign_driver", "DRIVER_ASSIGNED", "driver_id=D2", false},
    {"DRIVER_ASSIGNED", "unassign_driver", "READY", "driver_id=nil", false},
    {"DRIVER_ASSIGNED", "pick_up", "PICKED_UP", "", false},
    {"DRIVER_ASSIGNED", "cancel", "CANCELLED", "", false},
    {"PICKED_UP", "deliver", "DELIVERED", "left_at_the_door=true", false},
    {"PICKED_UP", "cancel", "REFUNDED", "cancel_reason=cold refund_cents=900", false},
};
static const struct timeout food_delivery_timeouts[] = {{"PLACED", "no_answer", 5 * MINUTES}};

static const struct way checkout_ways[] = {
    {"SHIPPING", "enter_shipping", "PAYMENT", "reserved_until=5 shipping_address={}", false},
    {"SHIPPING", "renew", "SHIPPING", "reserved_until=6", true},
    {"SHIPPING", "expire", "FAILED", "", false},
    {"PAYMENT", "enter_payment", "REVIEW", "payment_method=CARD reserved_until=7", false},
    {"PAYMENT", "back", "SHIPPING", "reserved_until=8", false},
    {"PAYMENT", "renew", "PAYMENT", "reserved_until=9", true},
    {"PAYMENT", "expire", "FAILED", "", false},
    {"REVIEW", "back", "PAYMENT", "reserved_until=10", false},
    {"REVIEW", "renew", "REVIEW", "reserved_until=11", true},
    {"REVIEW", "place", "PLACING", "reserved_until=12", false},
    {"REVIEW", "expire", "FAILED", "", false},
    {"PLACING", "confirm", "CONFIRMED", "order_id=O1", false},
    {"PLACING", "fail", "FAILED", "error=declined", false},
    {"PLACING", "no_answer", "FAILED", "", false},
    {"FAILED", "retry", "PAYMENT", "error=nil reserved_until=13 shipping_address={}", false},
};
static const struct timeout checkout_timeouts[] = {{"SHIPPING", "expire", 30 * MINUTES},
                                                   {"PAYMENT", "expire", 30 * MINUTES},
                                                   {"REVIEW", "expire", 30 * MINUTES},
                                                   {"PLACING", "no_answer", 2 * MINUTES}};

static const struct way delivery_ways[] = {
    {"CREATED", "pick_up", "PICKED_UP", "delivery_order_number=N1", false},
    {"PICKED_UP", "deliver", "DELIVERED", "", false},
    {"PICKED_UP", "fail", "DELIVERY_FAILED", "failure_reason=LOST", false},
    {"DELIVERED", "confirm", "DELIVERY_CONFIRMED", "", false},
    {"DELIVERY_FAILED", "escalate", "PENDING_BY_OPERATOR", "", false},
};
static const struct timeout delivery_timeouts[] = {{"DELIVERED", "confirm", 72 * HOURS}};

static const struct way bench_ways[] = {
    {"A", "go", "B", "note=x", false},
    {"B", "back", "A", "", false},
};
static const struct timeout bench_timeouts[] = {{"A", "go", 72 * HOURS}};

static const struct way marketplace_ways[] = {
    {"created", "approve", "approved", "approved_at=1506942420000000", false},
    {"created", "cancel", "canceled", "", false},
    {"created", "mark_unavailable", "unavailable", "", false},
    {"approved", "invoice", "invoiced", "", false},
    {"approved", "process", "processing", "", false},
    {"approved", "ship", "shipped", "carrier_at=1507146900000000", false},
    {"approved", "cancel", "canceled", "", false},
    {"approved", "mark_unavailable", "unavailable", "", false},
    {"invoiced", "process", "processing", "", false},
    {"invoiced", "ship", "shipped", "carrier_at=1507146900000000", false},
    {"invoiced", "cancel", "canceled", "", false},
    {"invoiced", "mark_unavailable", "unavailable", "", false},
    {"processing", "ship", "shipped", "carrier_at=1507146900000000", false},
    {"processing", "cancel", "canceled", "", false},
    {"processing", "mark_unavailable", "unavailable", "", false},
    {"shipped", "deliver", "delivered", "delivered_at=1507670700000000", false},
    {"shipped", "cancel", "canceled", "", false},
};

#define WAYS(table) table, sizeof(table) / sizeof(table)[0]

static const struct expectation expectations[] = {
    {"cluster/machines/order-tracking.yaml",
     "CANCELLED* CONFIRMED >CREATED DELIVERED* OUT_FOR_DELIVERY PACKED SHIPPED",
     "attempt_failed cancel confirm deliver locate out_for_delivery pack ship",
     "customer_id=C1 order_number=N1", "carrier=POST tracking_number=T0", WAYS(order_tracking_ways),
     NULL, 0},
    {"cluster/machines/order.yaml", "CANCELLED* >CREATED DELIVERED PAID RETURNED* SHIPPED",
     "cancel correct deliver expire pay return ship",
     "currency=CHF customer_id=C1 items=[] total_cents=100", "payment_id=P0 tracking_id=T0",
     WAYS(order_ways), WAYS(order_timeouts)},
    {"cluster/machines/food-delivery.yaml",
     "CANCELLED* CONFIRMED DELIVERED* DRIVER_ASSIGNED PICKED_UP >PLACED PREPARING READY REFUNDED* "
     "REJECTED*",
     "assign_driver cancel confirm delay deliver no_answer pick_up prepare ready reject "
     "unassign_driver",
     "customer_id=C1 items=[] payment_id=P1 restaurant_id=R1 total_cents=2500",
     "driver_id=D0 prep_minutes=5 refund_cents=1", WAYS(food_delivery_ways),
     WAYS(food_delivery_timeouts)},
    {"cluster/machines/checkout.yaml", "CONFIRMED* FAILED PAYMENT PLACING REVIEW >SHIPPING",
     "back confirm enter_payment enter_shipping expire fail no_answer place renew retry",
     "basket=[] customer_id=C1 reserved_until=4",
     "order_id=O0 payment_method=CARD shipping_address={}", WAYS(checkout_ways),
     WAYS(checkout_timeouts)},
    {"cluster/machines/delivery.yaml",
     ">CREATED DELIVERED DELIVERY_CONFIRMED* DELIVERY_FAILED PENDING_BY_OPERATOR* PICKED_UP",
     "confirm deliver escalate fail pick_up", "customer_id=C1 ordering_id=O1 payment_id=P1",
     "delivery_order_number=N0 failure_reason=DAMAGED", WAYS(delivery_ways),
     WAYS(delivery_timeouts)},
    {"cluster/machines/bench.yaml", ">A B", "back go", "", "note=y", WAYS(bench_ways),
     WAYS(bench_timeouts)},
    {"cluster/machines/marketplace.yaml",
     "approved canceled* >created delivered* invoiced processing shipped unavailable*",
     "approve cancel deliver invoice mark_unavailable process ship",
     "customer_id=C1 estimated_at=9 purchased_at=1", "approved_at=2 carrier_at=3 delivered_at=4",
     WAYS(marketplace_ways), NULL, 0},
};
enum { MACHINES = sizeof expectations / sizeof expectations[0] };

/* -- Comparing ------------------------------------------------------------------------------- */

static const struct way *
find_way(const struct expectation *want, struct bytes from, struct bytes event)
{
    for (size_t i = 0; i < want->ways_count; i++) {
        if (bytes_equal(bytes_text(want->ways[i].from), from) &&
            bytes_equal(bytes_text(want->ways[i].event), event)) {
            return &want->ways[i];
        }
    }
    return NULL;
}

/* The names of the machine are those of the table, in this order, and the states are as marked. */
static void
compare_names(const struct expectation *want, const struct machine *machine)
{
    char copy[1024];
    uint16_t index = 0;
    (void)snprintf(copy, sizeof copy, "%s", want->states);
    char *rest = copy;
    for (char *word = strtok_r(rest, " ", &rest); word != NULL; word = strtok_r(rest, " ", &rest)) {
        bool initial = word[0] == '>', final = word[strlen(word) - 1] == '*';
        word += initial;
        word[strlen(word) - final] = '\0';
        if (machine_state_find(machine, bytes_text(word)) != index ||
            !bytes_equal(machine_state_name(machine, index), bytes_text(word)) ||
            (machine_initial(machine) == index) != initial ||
            machine_state_final(machine, index) != final) {
            fail_msg("%s: state %s is not as marked, or not number %u", want->file, word, index);
        }
        index++;
    }
    assert_int_equal(machine_state_count(machine), index);
    index = 0;
    (void)snprintf(copy, sizeof copy, "%s", want->events);
    rest = copy;
    for (char *word = strtok_r(rest, " ", &rest); word != NULL; word = strtok_r(rest, " ", &rest)) {
        if (machine_event_find(machine, bytes_text(word)) != index) {
            fail_msg("%s: event %s is not number %u", want->file, word, index);
        }
        index++;
    }
    assert_int_equal(machine_event_count(machine), index);
}

/* `carry` and `create` without what `bring` brings: an order that may take the way. */
static void
put_held(struct buf *out, const struct expectation *want, const char *bring)
{
    struct buf create = {0}, carry = {0}, brought = {0}, all = {0};
    put_list(&create, want->create);
    put_list(&carry, want->carry);
    put_list(&brought, bring);
    attributes_merge(&all, buf_bytes(&create), buf_bytes(&carry));
    struct attributes_builder builder = attributes_build(out);
    struct attributes_iterator iterator = attributes_begin(buf_bytes(&all));
    struct attribute attribute, unused;
    while (attributes_next(&iterator, &attribute)) {
        if (!attributes_find(buf_bytes(&brought), attribute.name, &unused)) {
            attributes_append(&builder, attribute.name, attribute.type, attribute.value);
        }
    }
    (void)attributes_built(&builder);
    buf_free(&create);
    buf_free(&carry);
    buf_free(&brought);
    buf_free(&all);
}

/* Decides `event` on an order and compares with the table. True if it was allowed. */
static bool
compare_step(const struct expectation *want, const struct machine *machine,
             const struct machine_command *command, const struct way *way, struct buf *out,
             struct machine_step *step_out)
{
    struct machine_refusal refusal;
    enum qo_error result = machine_transition(machine, command, out, step_out, &refusal);
    struct bytes state = machine_state_name(machine, command->state);
    struct bytes event = machine_event_name(machine, command->event);
    if (way == NULL) {
        if (result != QO_INVALID_TRANSITION || refusal.error != result ||
            machine_accepts(machine, command->state, command->event)) {
            fail_msg("%s: %.*s in %.*s is not refused", want->file, BYTES_FORMAT(event),
                     BYTES_FORMAT(state));
        }
        return false;
    }
    if (result != QO_OK || !machine_accepts(machine, command->state, command->event)) {
        fail_msg("%s: %.*s in %.*s is refused (%s)", want->file, BYTES_FORMAT(event),
                 BYTES_FORMAT(state), error_code(result));
    }
    bool stays = strcmp(way->from, way->to) == 0;
    if (!bytes_equal(machine_state_name(machine, step_out->to), bytes_text(way->to)) ||
        step_out->stays != stays || step_out->restart != way->restart) {
        fail_msg("%s: %.*s in %.*s leads elsewhere", want->file, BYTES_FORMAT(event),
                 BYTES_FORMAT(state));
    }
    return true;
}

static void
every_pair_of_state_and_event_is_as_expected(void **state)
{
    (void)state;
    for (size_t i = 0; i < MACHINES; i++) {
        const struct expectation *want = &expectations[i];
        struct machine *machine = open_file(want->file);
        size_t allowed = 0;
        compare_names(want, machine);
        for (uint16_t from = 0; from < machine_state_count(machine); from++) {
            uint16_t events[QO_EVENTS_MAX];
            uint32_t listed = 0, count = machine_allowed(machine, from, events);
            for (uint16_t event = 0; event < machine_event_count(machine); event++) {
                const struct way *way = find_way(want, machine_state_name(machine, from),
                                                 machine_event_name(machine, event));
                struct buf held = {0}, brought = {0}, out = {0};
                put_held(&held, want, way == NULL ? "" : way->bring);
                put_list(&brought, way == NULL ? "" : way->bring);
                struct machine_command command = {from, event, buf_bytes(&held),
                                                  buf_bytes(&brought)};
                struct machine_step step;
                if (compare_step(want, machine, &command, way, &out, &step)) {
                    assert_true(listed < count && events[listed] == event);
                    listed++;
                    allowed++;
                }
                buf_free(&held);
                buf_free(&brought);
                buf_free(&out);
            }
            assert_int_equal(listed, count);
        }
        assert_int_equal(allowed, want->ways_count); /* Else a row of the table names nothing. */
        machine_close(machine);
    }
}

static void
every_timeout_is_as_expected(void **state)
{
    (void)state;
    for (size_t i = 0; i < MACHINES; i++) {
        const struct expectation *want = &expectations[i];
        struct machine *machine = open_file(want->file);
        size_t found = 0;
        for (uint16_t s = 0; s < machine_state_count(machine); s++) {
            int64_t after_us;
            uint16_t event;
            if (!machine_state_timeout(machine, s, &after_us, &event)) {
                continue;
            }
            for (size_t t = 0; t < want->timeouts_count; t++) {
                const struct timeout *timeout = &want->timeouts[t];
                found +=
                    bytes_equal(machine_state_name(machine, s), bytes_text(timeout->state)) &&
                    bytes_equal(machine_event_name(machine, event), bytes_text(timeout->event)) &&
                    after_us == timeout->after_us;
            }
            found += 1000; /* A timeout that the table does not have is one without a match. */
        }
        assert_int_equal(found, 1001 * want->timeouts_count);
        machine_close(machine);
    }
}

/* One order from its creation, trying any event anywhere. Returns how many steps it took. */
static uint32_t
walk(const struct expectation *want, const struct machine *machine, uint64_t *prng)
{
    enum { TRIES = 200 };
    struct buf brought = {0}, held = {0}, out = {0};
    struct machine_step step;
    struct machine_refusal refusal;
    uint32_t steps = 0;
    put_list(&brought, want->create);
    assert_int_equal(machine_create(machine, buf_bytes(&brought), &out, &step, &refusal), QO_OK);
    uint16_t at = step.to;
    assert_int_equal(at, machine_initial(machine));
    buf_append(&held, step.held.data, step.held.size);
    for (uint32_t try = 0; try < TRIES && !machine_state_final(machine, at); try++) {
        uint16_t event = (uint16_t)seed_below(prng, machine_event_count(machine));
        const struct way *way =
            find_way(want, machine_state_name(machine, at), machine_event_name(machine, event));
        buf_clear(&brought);
        buf_clear(&out);
        put_list(&brought, way == NULL ? "" : way->bring);
        struct machine_command command = {at, event, buf_bytes(&held), buf_bytes(&brought)};
        if (compare_step(want, machine, &command, way, &out, &step)) {
            at = step.to;
            struct buf next = {0};
            buf_append(&next, step.held.data, step.held.size);
            buf_free(&held);
            held = next;
            assert_true(attributes_valid(buf_bytes(&held)));
            steps++;
        }
    }
    buf_free(&brought);
    buf_free(&held);
    buf_free(&out);
    return steps;
}

static void
orders_walk_at_random_and_never_leave_the_table(void **state)
{
    enum { WALKS = 300 };
    uint64_t prng = seed_init();
    (void)state;
    for (size_t i = 0; i < MACHINES; i++) {
        struct machine *machine = open_file(expectations[i].file);
        uint32_t steps = 0;
        for (uint32_t w = 0; w < WALKS; w++) {
            steps += walk(&expectations[i], machine, &prng);
        }
        assert_true(steps >= WALKS); /* Else nothing was walked. */
        machine_close(machine);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_state_and_event_is_as_expected),
        cmocka_unit_test(every_timeout_is_as_expected),
        cmocka_unit_test(orders_walk_at_random_and_never_leave_the_table),
    };
    return cmocka_run_group_tests_name("machine/walk", tests, NULL, NULL);
}

/*
 * Goal: any text is either refused with a place and a reason, or compiles to a form that opens,
 *       stays the same when compiled again, and can be decided with; and any bytes are either
 * refused as a compiled form or are one. Method: the input is taken as a source first, then as a
 * compiled form.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/assert.h"
#include "machine/graph.h"
#include "machine/machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The refusal is one that a client can be shown: text without control characters. */
static void
check_error(const struct machine_error *error)
{
    QO_ASSERT(error->line >= 1);
    QO_ASSERT(error->column >= 1);
    size_t size = strnlen(error->why, sizeof error->why);
    QO_ASSERT(size >= 1 && size <= QO_ERROR_MESSAGE_MAX);
    for (size_t i = 0; i < size; i++) {
        QO_ASSERT((uint8_t)error->why[i] >= 0x20);
    }
}

/* Every event in every state, with nothing brought: accepted exactly where it is listed. */
static void
check_machine(const struct machine *machine)
{
    struct buf out = {0};
    uint16_t allowed[QO_EVENTS_MAX];
    for (uint16_t state = 0; state < machine_state_count(machine); state++) {
        uint32_t count = machine_allowed(machine, state, allowed), next = 0;
        for (uint16_t event = 0; event < machine_event_count(machine); event++) {
            struct machine_command command = {state, event, BYTES_NONE, BYTES_NONE};
            struct machine_step step;
            struct machine_refusal refusal;
            enum qo_error error = machine_transition(machine, &command, &out, &step, &refusal);
            bool listed = next < count && allowed[next] == event;
            QO_ASSERT((error == QO_INVALID_TRANSITION) == !listed);
            next += listed;
        }
        QO_ASSERT(next == count);
        QO_ASSERT(QO_IMPLIES(machine_state_final(machine, state), count == 0));
    }
    machine_graph_dot(machine, &out);
    machine_graph_mermaid(machine, &out);
    buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf compiled = {0}, again = {0};
    struct machine_error error;
    struct bytes input = bytes_make(data, size);
    if (machine_compile(input, &compiled, &error) == QO_OK) {
        struct machine *machine = machine_open(buf_bytes(&compiled));
        QO_ASSERT(machine != NULL);
        QO_ASSERT(machine_compile(input, &again, &error) == QO_OK);
        QO_ASSERT(bytes_equal(buf_bytes(&compiled), buf_bytes(&again)));
        check_machine(machine);
        machine_close(machine);
    } else {
        check_error(&error);
        QO_ASSERT(compiled.size == 0);
    }
    struct machine *machine = machine_open(input);
    if (machine != NULL) {
        QO_ASSERT(bytes_equal(machine_compiled(machine), input));
        check_machine(machine);
        machine_close(machine);
    }
    buf_free(&compiled);
    buf_free(&again);
    return 0;
}

/*
 * See store/registry.h. Thread: one adds (state), any looks up; no lock.
 *
 * Everything is append-only. A reader that sees a count (acquire) sees all that was written before
 * it was raised (release), and nothing below it ever changes. Numbers of state and attribute names
 * need no tables of their own: they stand in the definitions that have the names, so a look-up asks
 * the machine's definitions, newest first.
 */
#include "store/registry.h"

#include <stdatomic.h>

#include "common/assert.h"
#include "common/hash.h"
#include "machine/machine.h"
#include "registry_private.h"

enum {
    SLOTS = 2 * QO_DEFINITIONS_MAX, /* Of the table of machines' names: never over half full. */
    NUMBERS_MAX = RECORD_NONE,      /* Of state names or attributes of one machine. */
};
static_assert((SLOTS & (SLOTS - 1)) == 0, "slots are found by mask");
static_assert(QO_DEFINITIONS_MAX < UINT16_MAX, "a machine's number plus one fits a slot");

struct entry {
    struct definition definition;
    const struct entry *before; /* The machine's definition added before this one. */
    struct machine *machine;    /* The owner of definition.machine. */
    uint32_t machines_count;    /* With this definition, over the registry. */
    uint32_t states_count;      /* With this definition, names of the machine over versions. */
    uint32_t attributes_count;
};

struct registry {
    struct entry *entries[QO_DEFINITIONS_MAX];
    /* By machine number: its newest definition. Written by the adder, read by all. */
    _Atomic(const struct entry *) newest[QO_DEFINITIONS_MAX];
    _Atomic uint16_t slots[SLOTS]; /* Machine number + 1 by hash of the name; 0: free. */
    uint32_t added;                /* The adder's. */
    _Atomic uint32_t published;
};

struct registry *
registry_open(void)
{
    return mem_zalloc(sizeof(struct registry));
}

void
registry_close(struct registry *registry)
{
    for (uint32_t i = 0; i < registry->added; i++) {
        struct entry *entry = registry->entries[i];
        union {
            const uint8_t *borrowed;
            void *owned;
        } source = {.borrowed = entry->definition.source.data};
        mem_free(source.owned);
        machine_close(entry->machine);
        mem_free(entry);
    }
    mem_free(registry);
}

uint32_t
registry_count(const struct registry *registry, enum registry_view view)
{
    return view == REGISTRY_STATE
               ? registry->added
               : atomic_load_explicit(&registry->published, memory_order_acquire);
}

const struct definition *
registry_get(const struct registry *registry, enum registry_view view, uint32_t number)
{
    return number < registry_count(registry, view) ? &registry->entries[number]->definition : NULL;
}

uint32_t
registry_machines_count(const struct registry *registry, enum registry_view view)
{
    uint32_t count = registry_count(registry, view);
    return count == 0 ? 0 : registry->entries[count - 1]->machines_count;
}

/* The slot of a machine's name, or the free one where it would stand. */
static uint32_t
slot_find(const struct registry *registry, struct bytes machine, int32_t *number_out)
{
    uint32_t slot = (uint32_t)hash_xxh64(machine) & (SLOTS - 1);
    for (;; slot = (slot + 1) & (SLOTS - 1)) {
        uint32_t held = atomic_load_explicit(&registry->slots[slot], memory_order_acquire);
        if (held == 0) {
            *number_out = -1;
            return slot;
        }
        const struct entry *newest =
            atomic_load_explicit(&registry->newest[held - 1], memory_order_acquire);
        if (bytes_equal(machine_name(newest->machine), machine)) {
            *number_out = (int32_t)held - 1;
            return slot;
        }
    }
}

int32_t
registry_machine(const struct registry *registry, enum registry_view view, struct bytes machine)
{
    int32_t number;
    slot_find(registry, machine, &number);
    /* A machine whose first definition is not in the view has a number beyond the view's. */
    return number >= 0 && (uint32_t)number < registry_machines_count(registry, view) ? number : -1;
}

/* The machine's newest definition in the view, or NULL. */
static const struct entry *
newest_in_view(const struct registry *registry, enum registry_view view, uint32_t machine_number)
{
    if (machine_number >= registry_machines_count(registry, view)) {
        return NULL;
    }
    uint32_t count = registry_count(registry, view);
    const struct entry *entry =
        atomic_load_explicit(&registry->newest[machine_number], memory_order_acquire);
    while (entry != NULL && entry->definition.number >= count) {
        entry = entry->before;
    }
    return entry;
}

const struct definition *
registry_find(const struct registry *registry, enum registry_view view, struct bytes machine,
              uint32_t version)
{
    int32_t number = registry_machine(registry, view, machine);
    if (number < 0) {
        return NULL;
    }
    const struct entry *entry = newest_in_view(registry, view, (uint32_t)number);
    while (entry != NULL && version != 0 && machine_version(entry->machine) != version) {
        entry = entry->before;
    }
    return entry == NULL ? NULL : &entry->definition;
}

/* The number of a state name in `entry` or a definition before it; -1. */
static int32_t
state_number(const struct entry *entry, struct bytes state)
{
    for (; entry != NULL; entry = entry->before) {
        int32_t index = machine_state_find(entry->machine, state);
        if (index >= 0) {
            return entry->definition.state_numbers[index];
        }
    }
    return -1;
}

/* The same for a unique attribute's name. */
static int32_t
attribute_number(const struct entry *entry, struct bytes attribute)
{
    for (; entry != NULL; entry = entry->before) {
        int32_t index = machine_attribute_find(entry->machine, attribute);
        if (index >= 0 && machine_attribute_unique(entry->machine, (uint16_t)index)) {
            return entry->definition.attribute_numbers[index];
        }
    }
    return -1;
}

int32_t
registry_state_number(const struct registry *registry, enum registry_view view,
                      uint16_t machine_number, struct bytes state)
{
    return state_number(newest_in_view(registry, view, machine_number), state);
}

int32_t
registry_attribute_number(const struct registry *registry, enum registry_view view,
                          uint16_t machine_number, struct bytes attribute)
{
    return attribute_number(newest_in_view(registry, view, machine_number), attribute);
}

uint32_t
registry_states_count(const struct registry *registry, enum registry_view view,
                      uint16_t machine_number)
{
    const struct entry *entry = newest_in_view(registry, view, machine_number);
    return entry == NULL ? 0 : entry->states_count;
}

/* Numbers the names of a definition that follows `before`: known ones as there, new ones next. */
static void
number_names(struct entry *entry, const struct entry *before)
{
    const struct machine *machine = entry->machine;
    struct definition *definition = &entry->definition;
    entry->states_count = before == NULL ? 0 : before->states_count;
    entry->attributes_count = before == NULL ? 0 : before->attributes_count;
    for (uint16_t i = 0; i < machine_state_count(machine); i++) {
        int32_t known = state_number(before, machine_state_name(machine, i));
        definition->state_numbers[i] =
            (uint16_t)(known >= 0 ? (uint32_t)known : entry->states_count++);
    }
    for (uint16_t i = 0; i < machine_attribute_count(machine); i++) {
        definition->attribute_numbers[i] = RECORD_NONE;
        if (machine_attribute_unique(machine, i)) {
            int32_t known = attribute_number(before, machine_attribute_name(machine, i));
            definition->attribute_numbers[i] =
                (uint16_t)(known >= 0 ? (uint32_t)known : entry->attributes_count++);
        }
    }
    /* registry_fits() was asked before. */
    QO_ASSERT(entry->states_count <= NUMBERS_MAX && entry->attributes_count <= NUMBERS_MAX);
}

bool
registry_fits(const struct registry *registry, const struct machine *machine)
{
    if (registry->added == QO_DEFINITIONS_MAX) {
        return false;
    }
    int32_t number = registry_machine(registry, REGISTRY_STATE, machine_name(machine));
    if (number < 0) {
        return true;
    }
    /* Counted as if every name were new: generous by at most one definition's names. */
    const struct entry *newest = newest_in_view(registry, REGISTRY_STATE, (uint32_t)number);
    return newest->states_count + machine_state_count(machine) <= NUMBERS_MAX &&
           newest->attributes_count + machine_attribute_count(machine) <= NUMBERS_MAX;
}

const struct definition *
registry_add(struct registry *registry, struct bytes compiled, struct bytes source, int64_t at)
{
    QO_PRE(registry->added < QO_DEFINITIONS_MAX);
    struct entry *entry = mem_zalloc(sizeof *entry);
    entry->machine = machine_open(compiled);
    if (entry->machine == NULL) {
        qo_fatal(FATAL_CORRUPT, "definition %u does not open", (unsigned)registry->added);
    }
    uint8_t *copy = mem_alloc(source.size);
    if (source.size > 0) {
        memcpy(copy, source.data, source.size);
    }
    uint32_t machines_count = registry_machines_count(registry, REGISTRY_STATE);
    int32_t known;
    uint32_t slot = slot_find(registry, machine_name(entry->machine), &known);
    uint32_t machine_number = known >= 0 ? (uint32_t)known : machines_count;

    entry->before = newest_in_view(registry, REGISTRY_STATE, machine_number);
    entry->machines_count = known >= 0 ? machines_count : machines_count + 1;
    entry->definition = (struct definition){
        .number = (uint16_t)registry->added,
        .machine_number = (uint16_t)machine_number,
        .machine = entry->machine,
        .source = bytes_make(copy, source.size),
        .at = at,
    };
    number_names(entry, entry->before);

    registry->entries[registry->added] = entry;
    /* Release: who finds the entry here finds it complete, though it may not be in his view yet. */
    atomic_store_explicit(&registry->newest[machine_number], entry, memory_order_release);
    if (known < 0) {
        atomic_store_explicit(&registry->slots[slot], (uint16_t)(machine_number + 1),
                              memory_order_release);
    }
    registry->added++;
    return &entry->definition;
}

void
registry_publish(struct registry *registry)
{
    atomic_store_explicit(&registry->published, registry->added, memory_order_release);
}

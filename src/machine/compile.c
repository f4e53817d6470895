/* See machine/machine.h. Thread: any; takes milliseconds, so not on the loop. */
#include "draft.h"
#include "machine/machine.h"

/* QO_COMPILED_MAX holds whatever passes: see common/limits.h. */
static void
finish(struct draft *draft, struct buf *compiled_out)
{
    size_t start = compiled_out->size;
    draft_finish(draft);
    definition_encode(compiled_out, &draft->definition);
    struct bytes compiled = bytes_make(compiled_out->data + start, compiled_out->size - start);
    /* What this node writes every node must read: rather stop here than stop all of them. */
    struct machine *machine = machine_open(compiled);
    QO_POST(machine != NULL);
    machine_close(machine);
}

enum qo_error
machine_compile(struct bytes source, struct buf *compiled_out, struct machine_error *error_out)
{
    struct arena arena = {0};
    struct draft draft = {.source = source, .arena = &arena, .error = error_out};
    bool good;
    if (source.size > QO_DEFINITION_SOURCE_MAX) {
        good = tree_refuse(source, 0, error_out, "a definition has at most %u bytes, this has %zu",
                           QO_DEFINITION_SOURCE_MAX, source.size);
    } else {
        const struct node *root = tree_read(source, &arena, error_out);
        good = root != NULL && draft_read(&draft, root) && draft_check(&draft);
    }
    if (good) {
        finish(&draft, compiled_out);
    }
    definition_free(&draft.definition);
    arena_free(&arena);
    QO_POST(good || (error_out->line > 0 && error_out->column > 0 && error_out->why[0] != '\0'));
    return good ? QO_OK : QO_INVALID_MACHINE;
}

/*
 * wire_property: what must hold for any bytes that come over a socket.
 *
 * A stream is cut the same way whole and byte by byte. A message is taken or refused; a refusal
 * encodes to an answer that a client reads; what was taken, encoded and taken again is the same
 * request with the same content, and its attributes are canonical. Reading the bytes as an answer
 * ends too. A violation aborts (QO_POST), so that libFuzzer and the unit test both see it.
 */
#ifndef FUZZ_WIRE_PROPERTY_H
#define FUZZ_WIRE_PROPERTY_H

#include "common/assert.h"
#include "common/limits.h"
#include "wire/reader.h"
#include "wire/request.h"
#include "wire/response.h"

struct wire_property {
    struct wire_decoder decoder;
    struct arena arena;
    struct buf first, second;
    uint64_t taken, refused; /* Messages so far. */
};

static inline void
wire_property_free(struct wire_property *p)
{
    wire_decoder_free(&p->decoder);
    arena_free(&p->arena);
    buf_free(&p->first);
    buf_free(&p->second);
}

static inline void
wire_property_refused(struct wire_property *p, const struct wire_refusal *refusal)
{
    struct wire_answer answer;
    struct wire_failure failure;
    p->refused++;
    QO_POST(refusal->failure.error == QO_BAD_REQUEST ||
            refusal->failure.error == QO_UNKNOWN_METHOD);
    QO_POST(refusal->failure.message.size > 0 && wire_is_text(refusal->failure.message));
    QO_POST(refusal->failure.message.size <= QO_ERROR_MESSAGE_MAX);
    QO_POST(wire_is_text(refusal->failure.field) && wire_is_text(refusal->failure.method));
    buf_clear(&p->first);
    wire_put_error(&p->first, refusal->msgid, &refusal->failure);
    QO_POST(wire_decode_answer(buf_bytes(&p->first), &answer));
    QO_POST(answer.kind == WIRE_ANSWER_ERROR && answer.msgid == refusal->msgid);
    struct wire_reader reader = wire_reader_of(answer.body);
    QO_POST(wire_read_failure(&reader, &p->arena, &failure) && wire_reader_done(&reader));
    QO_POST(failure.error == refusal->failure.error && !failure.unknown_effect);
}

static inline void
wire_property_taken(struct wire_property *p, const struct wire_request *request)
{
    struct wire_request again;
    struct wire_refusal refusal;
    p->taken++;
    for (uint32_t i = 0; i < request->operations_count; i++) {
        QO_POST(attributes_valid(request->operations[i].attributes));
        QO_POST(attributes_encoded_size(request->operations[i].attributes) <= QO_ATTRIBUTES_MAX);
    }
    buf_clear(&p->first);
    buf_clear(&p->second);
    wire_encode_request(&p->first, request);
    QO_POST(wire_decode_request(&p->decoder, buf_bytes(&p->first), &p->arena, &again, &refusal));
    wire_encode_request(&p->second, &again);
    QO_POST(bytes_equal(buf_bytes(&p->first), buf_bytes(&p->second)));
    QO_POST(again.operations_count == request->operations_count && again.class == request->class);
    for (uint32_t i = 0; i < request->operations_count; i++) {
        QO_POST(memcmp(&again.operations[i].content, &request->operations[i].content,
                       sizeof again.operations[i].content) == 0);
    }
}

static inline void
wire_property_message(struct wire_property *p, struct bytes message)
{
    struct wire_request request;
    struct wire_refusal refusal;
    arena_reset(&p->arena);
    if (wire_decode_request(&p->decoder, message, &p->arena, &request, &refusal)) {
        wire_property_taken(p, &request);
    } else {
        wire_property_refused(p, &refusal);
    }
}

/* Any object, read as each thing that a node answers. */
static inline void
wire_property_answer(struct wire_property *p, struct bytes object)
{
    struct wire_order order;
    struct wire_event event;
    struct wire_failure failure;
    struct wire_status status;
    struct wire_page page;
    struct wire_answer answer;
    struct wire_reader reader = wire_reader_of(object);
    arena_reset(&p->arena);
    if (wire_read_order(&reader, &p->arena, &order)) {
        QO_POST(attributes_valid(order.attributes));
    }
    reader = wire_reader_of(object);
    if (wire_read_event(&reader, &p->arena, &event)) {
        QO_POST(attributes_valid(event.attributes));
    }
    reader = wire_reader_of(object);
    (void)wire_read_failure(&reader, &p->arena, &failure);
    reader = wire_reader_of(object);
    (void)wire_read_status(&reader, &p->arena, &status);
    reader = wire_reader_of(object);
    (void)wire_read_page(&reader, &page);
    (void)wire_decode_answer(object, &answer);
}

static inline void
wire_property_stream(struct wire_property *p, struct bytes stream)
{
    struct wire_cutter whole = {0}, piecewise = {0};
    size_t start = 0;
    while (start < stream.size) {
        struct bytes rest = bytes_make(stream.data + start, stream.size - start);
        size_t size = 0, size_piecewise = 0;
        enum wire_cut cut = wire_cut(&whole, rest, &size);
        enum wire_cut last = WIRE_CUT_NEED_MORE;
        for (size_t n = 1; n <= rest.size && last == WIRE_CUT_NEED_MORE; n++) {
            last = wire_cut(&piecewise, bytes_make(rest.data, n), &size_piecewise);
        }
        QO_POST(last == cut && size == size_piecewise);
        if (cut == WIRE_CUT_NEED_MORE) {
            break;
        }
        if (cut != WIRE_CUT_MESSAGE) {
            struct wire_refusal refusal = wire_refuse_cut(cut, rest);
            arena_reset(&p->arena);
            wire_property_refused(p, &refusal);
            break;
        }
        wire_property_message(p, bytes_make(rest.data, size));
        start += size;
    }
    /* Also what no cutter would have let through. */
    wire_property_message(p, stream);
    wire_property_answer(p, stream);
}

#endif

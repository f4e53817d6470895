/*
 * What one command costs in wire, in CPU time, beside msgpack-c: the figures of
 * src/decisions/0003-messagepack.md. Not a test; build a release and run it alone:
 *   cmake --preset release && cmake --build build/release --target wire_benchmark
 *   build/release/tests/wire_benchmark
 */
#include <msgpack.h>
#include <stdio.h>
#include <time.h>

#include "common/arena.h"
#include "wire/cut.h"
#include "wire/request.h"
#include "wire/response.h"

enum { ROUNDS = 1000000 };

static struct wire_decoder decoder;
static struct arena arena;
static struct buf message, answer;
static unsigned sink; /* Printed, so that no work is optimised away. */

static double
cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void
measure(const char *what, void (*once)(void))
{
    double start = cpu_ns();
    for (int i = 0; i < ROUNDS; i++) {
        once();
    }
    printf("%-44s %6.0f ns\n", what, (cpu_ns() - start) / ROUNDS);
}

static const struct wire_receipt receipt = {.id = {(const uint8_t *)"bench-0000012345", 16},
                                            .machine = {(const uint8_t *)"bench", 5},
                                            .machine_version = 1,
                                            .event = {(const uint8_t *)"go", 2},
                                            .from = {(const uint8_t *)"A", 1},
                                            .to = {(const uint8_t *)"B", 1},
                                            .version = 1234,
                                            .seq = 12345678,
                                            .at = 1767225600000000,
                                            .epoch = 1};

static void
make_request(void)
{
    struct buf list = {0};
    static const char note[] = "\xd9\x20"
                               "0123456789abcdef0123456789abcdef";
    struct attributes_builder builder = attributes_build(&list);
    attributes_append(&builder, bytes_text("note"), VALUE_TEXT, bytes_make(note, 34));
    struct wire_operation operation = {.kind = WIRE_TRANSITION,
                                       .id = receipt.id,
                                       .event = receipt.event,
                                       .has_expect_version = true,
                                       .expect_version = 1234,
                                       .attributes = attributes_built(&builder),
                                       .request_id = bytes_text("0123456789abcdef")};
    struct wire_request request = {.method = WIRE_ORDER_TRANSITION,
                                   .msgid = 123456,
                                   .operations = &operation,
                                   .operations_count = 1};
    wire_encode_request(&message, &request);
    buf_free(&list);
}

static void
cut(void)
{
    struct wire_cutter cutter = {0};
    size_t size;
    sink += wire_cut(&cutter, buf_bytes(&message), &size);
}

static void
decode(void)
{
    struct wire_request request;
    struct wire_refusal refusal;
    arena_reset(&arena);
    sink += wire_decode_request(&decoder, buf_bytes(&message), &arena, &request, &refusal);
}

static void
content(void)
{
    static struct wire_operation operation = {.kind = WIRE_TRANSITION};
    operation.id = receipt.id;
    operation.event = receipt.event;
    sink += wire_content_of_operation(&decoder.scratch, &operation).bytes[0];
}

static void
write_receipt(void)
{
    buf_clear(&answer);
    wire_put_result(&answer, 123456);
    wire_put_receipt(&answer, &receipt);
}

static void
read_receipt(void)
{
    struct wire_answer taken;
    struct wire_receipt got;
    sink += wire_decode_answer(buf_bytes(&answer), &taken);
    struct wire_reader reader = wire_reader_of(taken.body);
    sink += wire_read_receipt(&reader, &got);
}

static void
pack_text(msgpack_packer *packer, struct bytes text)
{
    msgpack_pack_str(packer, text.size);
    msgpack_pack_str_body(packer, text.data, text.size);
}

#define PACK_KEY(packer, key) pack_text((packer), bytes_make("" key, sizeof(key) - 1))

static void
pack_receipt(void)
{
    static msgpack_sbuffer out;
    msgpack_packer packer;
    msgpack_sbuffer_clear(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, 4);
    msgpack_pack_uint64(&packer, 1);
    msgpack_pack_uint64(&packer, 123456);
    msgpack_pack_nil(&packer);
    msgpack_pack_map(&packer, 11);
    PACK_KEY(&packer, "id");
    pack_text(&packer, receipt.id);
    PACK_KEY(&packer, "machine");
    pack_text(&packer, receipt.machine);
    PACK_KEY(&packer, "machine_version");
    msgpack_pack_uint64(&packer, receipt.machine_version);
    PACK_KEY(&packer, "event");
    pack_text(&packer, receipt.event);
    PACK_KEY(&packer, "from");
    pack_text(&packer, receipt.from);
    PACK_KEY(&packer, "to");
    pack_text(&packer, receipt.to);
    PACK_KEY(&packer, "version");
    msgpack_pack_uint64(&packer, receipt.version);
    PACK_KEY(&packer, "seq");
    msgpack_pack_uint64(&packer, receipt.seq);
    PACK_KEY(&packer, "at");
    msgpack_pack_int64(&packer, receipt.at);
    PACK_KEY(&packer, "epoch");
    msgpack_pack_uint64(&packer, receipt.epoch);
    PACK_KEY(&packer, "replayed");
    msgpack_pack_false(&packer);
    sink += (unsigned)out.size;
}

static void
unpack_request(void)
{
    static msgpack_zone zone;
    static bool made;
    msgpack_object object;
    size_t offset = 0;
    made = made || msgpack_zone_init(&zone, 2048);
    sink +=
        (unsigned)msgpack_unpack((const char *)message.data, message.size, &offset, &zone, &object);
    msgpack_zone_clear(&zone);
}

int
main(void)
{
    make_request();
    measure("cut a transition", cut);
    measure("decode it whole, with its content", decode);
    measure("content of a command without attributes", content);
    measure("write a receipt", write_receipt);
    measure("read a receipt", read_receipt);
    measure("msgpack-c: write a receipt", pack_receipt);
    measure("msgpack-c: a transition into its tree", unpack_request);
    printf("request %zu bytes, answer %zu bytes (%u)\n", message.size, answer.size, sink);
    wire_decoder_free(&decoder);
    arena_free(&arena);
    buf_free(&message);
    buf_free(&answer);
    return 0;
}

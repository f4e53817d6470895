/* See tree.h. Thread: any. */
#include "tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <yaml.h>

#include "common/assert.h"

/* -- Pointing at things --------------------------------------------------------------- */

/* Bytes of the UTF-8 character at `at`; 1 for what is none. */
static size_t
character_size(struct bytes text, size_t at)
{
    QO_PRE(text.data != NULL && at < text.size);
    uint8_t head = text.data[at];
    size_t size = head < 0xc0 ? 1 : head < 0xe0 ? 2 : head < 0xf0 ? 3 : 4;
    return size <= text.size - at ? size : 1;
}

void
tree_locate(struct bytes source, size_t at, uint32_t *line_out, uint32_t *column_out)
{
    uint32_t line = 1;
    size_t start = 0;
    for (size_t i = 0; i < at && i < source.size; i++) {
        bool crlf = source.data[i] == '\r' && i + 1 < source.size && source.data[i + 1] == '\n';
        if (source.data[i] == '\n' || (source.data[i] == '\r' && !crlf)) {
            line++;
            start = i + 1;
        }
    }
    *line_out = line;
    *column_out = (uint32_t)(at - start + 1);
}

struct quoted
tree_quote(struct bytes text)
{
    enum { SHOWN_MAX = 72 }; /* More than a name may have. */
    struct quoted quoted;
    size_t used = 0;
    for (size_t i = 0; i < text.size;) {
        size_t size = character_size(text, i);
        if (used + size > SHOWN_MAX) {
            memcpy(quoted.text + used, "...", 3);
            used += 3;
            break;
        }
        memcpy(quoted.text + used, text.data + i, size);
        if (text.data[i] < 0x20) {
            quoted.text[used] = '?';
        }
        used += size;
        i += size;
    }
    quoted.text[used] = '\0';
    return quoted;
}

static void write_why(struct machine_error *error_out, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void
write_why(struct machine_error *error_out, const char *format, va_list arguments)
{
    int size = vsnprintf(error_out->why, sizeof error_out->why, format, arguments);
    QO_ASSERT(size > 0);
    if ((size_t)size >= sizeof error_out->why) {
        /* Cut at the start of a character, so that the text stays valid UTF-8. */
        size_t end = sizeof error_out->why - 1;
        while (end > 0 && ((uint8_t)error_out->why[end - 1] & 0xc0) == 0x80) {
            end--;
        }
        if (end > 0 && (uint8_t)error_out->why[end - 1] >= 0xc0) {
            end--;
        }
        error_out->why[end] = '\0';
    }
}

bool
tree_refuse(struct bytes source, size_t at, struct machine_error *error_out, const char *format,
            ...)
{
    va_list arguments;
    tree_locate(source, at, &error_out->line, &error_out->column);
    va_start(arguments, format);
    write_why(error_out, format, arguments);
    va_end(arguments);
    return false;
}

/* -- Texts that are not what they seem ------------------------------------------------- */

static bool
is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* True if `text` is `word` in any case. ASCII only: no locale decides. */
static bool
equals_word(struct bytes text, const char *word)
{
    if (text.size != strlen(word)) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        c = c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
        if (c != (uint8_t)word[i]) {
            return false;
        }
    }
    return true;
}

/* True if all of `text` from `at` on, and at least one character, is in `digits` or `_`. */
static bool
all_of(struct bytes text, size_t at, const char *digits)
{
    bool one = false;
    for (; at < text.size; at++) {
        if (text.data[at] != '_' && strchr(digits, text.data[at]) == NULL) {
            return false;
        }
        one = one || text.data[at] != '_';
    }
    return one;
}

/* True if `text` is what YAML 1.1 or 1.2 takes for a number: 12, -1_000, 0x1F, 0o17, 0b1, 1.5, .5,
 * 1e9, 12:30:45 (base 60), .inf, .nan. */
static bool
is_number(struct bytes text)
{
    static const char *const words[] = {".inf", ".nan"};
    size_t at = text.size > 0 && (text.data[0] == '-' || text.data[0] == '+') ? 1 : 0;
    struct bytes rest = bytes_make(text.data + at, text.size - at);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (equals_word(rest, words[i])) {
            return true;
        }
    }
    if (rest.size > 2 && rest.data[0] == '0') {
        switch (rest.data[1]) {
        case 'x':
            return all_of(rest, 2, "0123456789abcdefABCDEF");
        case 'o':
            return all_of(rest, 2, "01234567");
        case 'b':
            return all_of(rest, 2, "01");
        default:
            break;
        }
    }
    /* Digits, with `_` or `:` between them; a point; digits; an exponent. */
    size_t i = 0, digits = 0;
    for (; i < rest.size &&
           (is_digit(rest.data[i]) || (i > 0 && (rest.data[i] == '_' || rest.data[i] == ':')));
         i++) {
        digits += is_digit(rest.data[i]);
    }
    if (i < rest.size && rest.data[i] == '.') {
        for (i++; i < rest.size && (is_digit(rest.data[i]) || rest.data[i] == '_'); i++) {
            digits += is_digit(rest.data[i]);
        }
    }
    if (digits > 0 && i < rest.size && (rest.data[i] == 'e' || rest.data[i] == 'E')) {
        i++;
        i += i < rest.size && (rest.data[i] == '-' || rest.data[i] == '+');
        return all_of(rest, i, "0123456789");
    }
    return digits > 0 && i == rest.size;
}

bool
tree_ambiguous(const struct node *node)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "null", "~"};
    if (node->kind != NODE_TEXT || !node->plain) {
        return false;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (equals_word(node->text, words[i])) {
            return true;
        }
    }
    return node->text.size == 0 || is_number(node->text);
}

/* -- Building ------------------------------------------------------------------------ */

struct builder {
    struct bytes source;
    struct arena *arena;
    struct machine_error *error;
    const struct node *root;
    struct node *open[QO_DEFINITION_NESTING_MAX]; /* Lists and maps that go on, outermost first. */
    struct node *last[QO_DEFINITION_NESTING_MAX]; /* The newest child of each. */
    bool wants_value[QO_DEFINITION_NESTING_MAX];  /* Of a map: its last child is a key. */
    uint32_t depth;
    uint32_t documents;
    size_t character, offset; /* The parser counts characters: where it was last, in both. */
};

#define REFUSE(b, at, ...) tree_refuse((b)->source, (at), (b)->error, __VA_ARGS__)

/* The bytes before the character that the parser means. Marks come almost in order, so this steps
 * from the last one: a definition is walked once, not once for each node. */
static size_t
offset_of(struct builder *b, const yaml_mark_t *mark)
{
    while (b->character < mark->index && b->offset < b->source.size) {
        b->offset += character_size(b->source, b->offset);
        b->character++;
    }
    while (b->character > mark->index && b->offset > 0) {
        do {
            b->offset--;
        } while (b->offset > 0 && (b->source.data[b->offset] & 0xc0) == 0x80);
        b->character--;
    }
    return b->offset;
}

/* Hangs `node` into the innermost list or map, or makes it the root. */
static bool
attach(struct builder *b, struct node *node)
{
    if (b->depth == 0) {
        b->root = node;
        return true;
    }
    uint32_t top = b->depth - 1;
    struct node *parent = b->open[top];
    bool is_key = parent->kind == NODE_MAP && !b->wants_value[top];
    if (is_key && node->kind != NODE_TEXT) {
        return REFUSE(b, node->at, "a key must be a plain word, not a list or a map");
    }
    if (is_key && node->plain && bytes_equal(node->text, bytes_text("<<"))) {
        return REFUSE(b, node->at, "merge keys are not allowed: write out what `<<` would add");
    }
    if (parent->kind == NODE_MAP) {
        b->wants_value[top] = is_key;
    }
    if (parent->kind == NODE_LIST || is_key) {
        parent->count++;
    }
    if (b->last[top] == NULL) {
        parent->first = node;
    } else {
        b->last[top]->next = node;
    }
    b->last[top] = node;
    return true;
}

static bool
add_node(struct builder *b, const yaml_event_t *event, enum node_kind kind, bool anchor, bool tag)
{
    struct node *node = arena_zalloc(b->arena, sizeof *node);
    node->kind = kind;
    node->at = offset_of(b, &event->start_mark);
    if (anchor) {
        return REFUSE(b, node->at, "anchors are not allowed: write the value out where it is used");
    }
    if (tag) {
        return REFUSE(b, node->at, "tags are not allowed: remove what starts with `!`");
    }
    if (kind == NODE_TEXT) {
        node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        node->text =
            arena_copy(b->arena, bytes_make(event->data.scalar.value, event->data.scalar.length));
    }
    if (!attach(b, node)) {
        return false;
    }
    if (kind != NODE_TEXT) {
        if (b->depth == QO_DEFINITION_NESTING_MAX) {
            return REFUSE(b, node->at,
                          "lists and maps are nested too deeply: a definition needs "
                          "no more than four levels");
        }
        b->open[b->depth] = node;
        b->last[b->depth] = NULL;
        b->wants_value[b->depth] = false;
        b->depth++;
    }
    return true;
}

static bool
start_document(struct builder *b, const yaml_event_t *event)
{
    b->documents++;
    if (b->documents > 1) {
        return REFUSE(b, offset_of(b, &event->start_mark),
                      "a second document starts here: a definition is one document");
    }
    if (event->data.document_start.tag_directives.start !=
        event->data.document_start.tag_directives.end) {
        return REFUSE(b, offset_of(b, &event->start_mark),
                      "tags are not allowed: remove the %%TAG line");
    }
    return true;
}

static bool
take_event(struct builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return start_document(b, event);
    case YAML_ALIAS_EVENT:
        return REFUSE(b, offset_of(b, &event->start_mark),
                      "aliases are not allowed: write the value out where it is used");
    case YAML_SCALAR_EVENT:
        return add_node(b, event, NODE_TEXT, event->data.scalar.anchor != NULL,
                        event->data.scalar.tag != NULL);
    case YAML_SEQUENCE_START_EVENT:
        return add_node(b, event, NODE_LIST, event->data.sequence_start.anchor != NULL,
                        event->data.sequence_start.tag != NULL);
    case YAML_MAPPING_START_EVENT:
        return add_node(b, event, NODE_MAP, event->data.mapping_start.anchor != NULL,
                        event->data.mapping_start.tag != NULL);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        QO_ASSERT(b->depth > 0);
        b->depth--;
        return true;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return true;
    }
    return true;
}

/* The parser gave up: says where and why. */
static bool
refuse_syntax(struct builder *b, const yaml_parser_t *parser)
{
    if (parser->error == YAML_MEMORY_ERROR) {
        qo_fatal(FATAL_MEMORY, "no memory to parse a definition");
    }
    const char *problem = parser->problem == NULL ? "it cannot be read" : parser->problem;
    /* For bytes that are no text the parser says which; then its mark is elsewhere. */
    size_t at = parser->error == YAML_READER_ERROR ? parser->problem_offset
                                                   : offset_of(b, &parser->problem_mark);
    return REFUSE(b, at, "this is not YAML: %s", problem);
}

static bool
build(struct builder *b, yaml_parser_t *parser)
{
    for (bool more = true; more;) {
        yaml_event_t event;
        if (yaml_parser_parse(parser, &event) == 0) {
            return refuse_syntax(b, parser);
        }
        bool taken = take_event(b, &event);
        more = event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
        if (!taken) {
            return false;
        }
    }
    return true;
}

const struct node *
tree_read(struct bytes source, struct arena *arena, struct machine_error *error_out)
{
    struct builder b = {.source = source, .arena = arena, .error = error_out};
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0) {
        qo_fatal(FATAL_MEMORY, "no memory to parse a definition");
    }
    /* Said, not guessed: a text that begins like UTF-16 is refused as what it is. */
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    static const uint8_t nothing[1];
    yaml_parser_set_input_string(&parser, source.data == NULL ? nothing : source.data, source.size);
    bool built = build(&b, &parser);
    yaml_parser_delete(&parser);
    if (!built) {
        return NULL;
    }
    if (b.root == NULL) {
        (void)REFUSE(&b, 0, "there is no definition: the text is empty");
        return NULL;
    }
    return b.root;
}

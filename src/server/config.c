/* See config.h. Thread: main, before anything runs. */
#include "config.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "address.h"
#include "common/assert.h"
#include "common/limits.h"

/* A setting that is a number. */
struct number_setting {
    const char *name;
    uint64_t min, max;
    size_t offset;
    size_t size; /* Of the field. */
};

#define NUMBER(name, field, min, max)                                                              \
    {                                                                                              \
        name, min, max, offsetof(struct config, node.field),                                       \
            sizeof(((struct config *)0)->node.field)                                               \
    }

static const struct number_setting numbers[] = {
    NUMBER("disk_reserve", disk_reserve, 0, UINT64_MAX - 1),
    NUMBER("log_bytes", log_bytes_max, 1u << 20, UINT64_C(1) << 40),
    NUMBER("cache_bytes", cache_bytes, 1u << 20, UINT64_C(1) << 44),
    NUMBER("block_cache_bytes", block_cache_bytes, 1u << 20, UINT64_C(1) << 44),
    NUMBER("memtable_bytes", memtable_bytes, 1u << 20, UINT64_C(1) << 36),
    NUMBER("heartbeat_ms", heartbeat_ms, 5, 10000),
    NUMBER("election_ms", election_ms, 50, 60000),
};

void
config_init(struct config *config)
{
    *config = (struct config){.log_level = LOG_INFO};
    config->node.disk_reserve = UINT64_MAX;
}

bool
config_number(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *number_out,
              char *why_out)
{
    const char *digits = text[0] == '-' ? text + 1 : text;
    if (digits[0] == '\0' || digits[strspn(digits, "0123456789")] != '\0') {
        (void)snprintf(why_out, CONFIG_WHY_MAX, "%s: \"%.64s\" is not a whole number", name, text);
        return false;
    }
    errno = 0;
    unsigned long long number = strtoull(digits, NULL, 10);
    if (text[0] == '-' || errno != 0 || number < min || number > max) {
        (void)snprintf(why_out, CONFIG_WHY_MAX, "%s: must be from %llu to %llu, not %.64s", name,
                       (unsigned long long)min, (unsigned long long)max, text);
        return false;
    }
    *number_out = number;
    return true;
}

static bool
set_number(struct config *config, const struct number_setting *setting, const char *value,
           char *why_out)
{
    uint64_t wide;
    if (!config_number(setting->name, value, setting->min, setting->max, &wide, why_out)) {
        return false;
    }
    uint32_t narrow = (uint32_t)wide;
    char *field = (char *)config + setting->offset;
    memcpy(field, setting->size == sizeof narrow ? (void *)&narrow : (void *)&wide, setting->size);
    return true;
}

static bool
set_log_level(struct config *config, const char *value, char *why_out)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(value, names[i]) == 0) {
            config->log_level = (enum log_level)i;
            return true;
        }
    }
    (void)snprintf(why_out, CONFIG_WHY_MAX,
                   "log_level: \"%.64s\" is none of debug, info, warn, error", value);
    return false;
}

static bool
set_text(char text[CONFIG_TEXT_MAX], const char **field, const char *name, const char *value,
         char *why_out)
{
    size_t size = strlen(value);
    if (size == 0 || size >= CONFIG_TEXT_MAX) {
        (void)snprintf(why_out, CONFIG_WHY_MAX, "%s: must have 1 to %u bytes", name,
                       CONFIG_TEXT_MAX - 1);
        return false;
    }
    memcpy(text, value, size + 1);
    *field = text;
    return true;
}

bool
config_set(struct config *config, const char *name, const char *value, char *why_out)
{
    if (strcmp(name, "data") == 0) {
        return set_text(config->data, &config->node.directory, name, value, why_out);
    }
    if (strcmp(name, "listen") == 0) {
        if (!address_valid(value)) {
            (void)snprintf(why_out, CONFIG_WHY_MAX,
                           "listen: \"%.64s\" is not host:port with a port from 1 to 65535", value);
            return false;
        }
        return set_text(config->listen, &config->node.listen, name, value, why_out);
    }
    if (strcmp(name, "secret_file") == 0) {
        return set_text(config->secret_path, &config->secret_file, name, value, why_out);
    }
    if (strcmp(name, "log_level") == 0) {
        return set_log_level(config, value, why_out);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            return set_number(config, &numbers[i], value, why_out);
        }
    }
    (void)snprintf(
        why_out, CONFIG_WHY_MAX,
        "%.64s: no such setting; there are data, listen, secret_file, log_level, "
        "disk_reserve, log_bytes, cache_bytes, block_cache_bytes, memtable_bytes, heartbeat_ms, "
        "election_ms",
        name);
    return false;
}

/* The root of a file is one flat map of texts. */
static bool
set_all(struct config *config, yaml_document_t *document, const char *path, char *why_out)
{
    char why[CONFIG_WHY_MAX];
    yaml_node_t *root = yaml_document_get_root_node(document);
    if (root == NULL || root->type != YAML_MAPPING_NODE) {
        (void)snprintf(why_out, CONFIG_WHY_MAX, "%.128s: not a list of `setting: value`", path);
        return false;
    }
    size_t told = 0;
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = yaml_document_get_node(document, pair->key);
        yaml_node_t *value = yaml_document_get_node(document, pair->value);
        bool scalars = key->type == YAML_SCALAR_NODE && value->type == YAML_SCALAR_NODE;
        if (!scalars || !config_set(config, (const char *)key->data.scalar.value,
                                    (const char *)value->data.scalar.value, why)) {
            int size = snprintf(why_out + told, CONFIG_WHY_MAX - told, "%s%.128s:%zu:%zu: %.300s",
                                told == 0 ? "" : "\n", path, key->start_mark.line + 1,
                                key->start_mark.column + 1,
                                scalars ? why : "a setting has one plain value");
            QO_ASSERT(size > 0);
            if ((size_t)size >= CONFIG_WHY_MAX - told) {
                return false; /* The rest comes once these are mended. */
            }
            told += (size_t)size;
        }
    }
    return told == 0;
}

bool
config_read(struct config *config, const char *path, char *why_out)
{
    yaml_parser_t parser;
    yaml_document_t document;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        (void)snprintf(why_out, CONFIG_WHY_MAX, "%.256s: %s", path, strerror(errno));
        return false;
    }
    if (!yaml_parser_initialize(&parser)) {
        qo_fatal(FATAL_MEMORY, "no memory to read %s", path);
    }
    yaml_parser_set_input_file(&parser, file);
    bool read = yaml_parser_load(&parser, &document) != 0;
    if (read) {
        read = set_all(config, &document, path, why_out);
        yaml_document_delete(&document);
    } else {
        (void)snprintf(why_out, CONFIG_WHY_MAX, "%.128s:%zu:%zu: not YAML: %s", path,
                       parser.problem_mark.line + 1, parser.problem_mark.column + 1,
                       parser.problem == NULL ? "unreadable" : parser.problem);
    }
    yaml_parser_delete(&parser);
    (void)fclose(file);
    return read;
}

bool
config_check(const struct config *config, char *why_out)
{
    uint32_t heartbeat_ms =
        config->node.heartbeat_ms == 0 ? QO_HEARTBEAT_MS_DEFAULT : config->node.heartbeat_ms;
    uint32_t election_ms =
        config->node.election_ms == 0 ? QO_ELECTION_MS_DEFAULT : config->node.election_ms;
    if (election_ms < 4 * heartbeat_ms) {
        (void)snprintf(why_out, CONFIG_WHY_MAX,
                       "election_ms: %u is too short for heartbeats of %u ms; it must be at least "
                       "4 times as long",
                       election_ms, heartbeat_ms);
        return false;
    }
    if (config->node.directory == NULL) {
        (void)snprintf(why_out, CONFIG_WHY_MAX, "data: no data directory is given");
        return false;
    }
    return true;
}

bool
config_read_secret(struct config *config, char *why_out)
{
    static_assert(SECRET_WHY_MAX <= CONFIG_WHY_MAX, "its sentence fits");
    if (config->secret_file == NULL) {
        return true;
    }
    bool read = secret_read(config->secret_file, &config->secret, why_out);
    config->node.secret = read ? secret_bytes(&config->secret) : BYTES_NONE;
    return read;
}

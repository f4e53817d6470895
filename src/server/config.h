/*
 * config: the settings of a node: a small YAML file, or flags, which win over it.
 *
 *   data: /var/lib/quorder      the directory that `quorderd init` made
 *   listen: 0.0.0.0:7401        default: this member's own address
 *   secret_file: /etc/quorder/secret  known to all members, else to nobody (secret.h)
 *   log_level: info             debug, info, warn, error
 *   disk_reserve: 1073741824    bytes; writes are refused below it
 *   log_bytes: 268435456        of log between two snapshots
 *   cache_bytes: 268435456      of hot records
 *   block_cache_bytes: 268435456  of the store's files, for reads
 *   memtable_bytes: 67108864
 *   heartbeat_ms: 50
 *   election_ms: 500
 *
 * Thread: main, before anything runs.
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/log.h"
#include "node.h"
#include "secret.h"

#define CONFIG_WHY_MAX 2048u
#define CONFIG_TEXT_MAX 4096u

struct config {
    /* `directory` and `listen` point to the texts below, or are NULL; `secret` to what is below,
     * once config_read_secret() has read it. */
    struct node_options node;
    enum log_level log_level;
    char data[CONFIG_TEXT_MAX], listen[CONFIG_TEXT_MAX], secret_path[CONFIG_TEXT_MAX];
    const char *secret_file; /* NULL: none. */
    struct secret secret;
};

/* The defaults of every setting. */
void config_init(struct config *config);

/* Sets one by its name, from a file or a flag. False: `why_out` (CONFIG_WHY_MAX bytes) says what is
 * wrong with it. */
bool config_set(struct config *config, const char *name, const char *value, char *why_out);

/* Reads a whole number in decimal. False: `why_out` says what is wrong with the value of `name`. */
bool config_number(const char *name, const char *text, uint64_t min, uint64_t max,
                   uint64_t *number_out, char *why_out);

/* Reads a file over what is set. False: `why_out` has a line with file, line and column for each
 * mistake, as many as fit. */
bool config_read(struct config *config, const char *path, char *why_out);

/* Rules between settings. False: `why_out` says which is broken. */
bool config_check(const struct config *config, char *why_out);

/* Reads what `secret_file` names, if it is set: last, since a flag may name another file than the
 * configuration. False: `why_out` says what is wrong with the file. */
bool config_read_secret(struct config *config, char *why_out);

#endif

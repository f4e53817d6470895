/*
 * checkpoint: where a store's files stand.
 *
 *   <directory>/db                   the live database
 *   <directory>/checkpoints/<index>  a whole database as of that log index, never written again
 *   <directory>/checkpoints/new.tmp  one in the making; removed when the store is opened
 *
 * Files are hard links, so a checkpoint costs space only for what the live database has since
 * replaced. Thread: any one.
 */
#ifndef STORE_CHECKPOINT_H
#define STORE_CHECKPOINT_H

enum {
    CHECKPOINT_PATH_MAX = 4096,
    CHECKPOINTS_KEPT = 2, /* The newest, and the one before it in case of its loss. */
};

/* `directory`/`name`, NUL-terminated; too long is fatal. */
void checkpoint_path(char path_out[CHECKPOINT_PATH_MAX], const char *directory, const char *name);
/* Makes the directory of checkpoints and removes what a crash left half made. */
void checkpoint_prepare(const char *directory);

#endif

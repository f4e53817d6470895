/*
 * files: how many connections the system's limit of open files leaves to clients.
 *
 * The store, the log and the links of members must find files when clients have taken all that they
 * may: a node that can write no more for want of files is a node less.
 *
 * Thread: main, before anything runs.
 */
#ifndef SERVER_FILES_H
#define SERVER_FILES_H

#include <stdint.h>

/* Raises the soft limit to the hard one. Gives QO_CONNECTIONS_MAX, or what a lower limit allows:
 * one in QO_CONNECTIONS_SHARE files, with a line in the log. */
uint32_t files_connections_max(void);

#endif

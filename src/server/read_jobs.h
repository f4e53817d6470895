/*
 * read_jobs: what runs on a reader thread: from a message to a whole response, on one view.
 *
 * Thread: reader. Every function is a read_job's `run`: it touches the job, the store and the view
 * and nothing else.
 */
#ifndef SERVER_READ_JOBS_H
#define SERVER_READ_JOBS_H

#include "readers.h"

/* order.get, order.get_many, order.history, order.list, machine.get, machine.list: decodes
 * job->message (which decoded before) and leaves the response in job->out. */
void read_job_order(struct read_job *job, struct store *store, struct store_view *view);

/* feed.read, by job->wire, whose `from_seq` is set: the response in job->out; next_seq, high_seq
 * and events_count in the job. */
void read_job_feed(struct read_job *job, struct store *store, struct store_view *view);

/* A subscription's next events, at most job->wire.limit: a whole notification in job->out. */
void read_job_feed_events(struct read_job *job, struct store *store, struct store_view *view);

#endif

/*
 * Included before anything else (-include) where media.c stands beside the real store: the same
 * functions under names of their own. Thread: the run's.
 */
#ifndef SIMULATION_MEDIA_NAMES_H
#define SIMULATION_MEDIA_NAMES_H

#define STORE_FACE media_face
#define store_applied media_store_applied
#define store_checkpoint media_store_checkpoint
#define store_close media_store_close
#define store_commit media_store_commit
#define store_deadline_left media_store_deadline_left
#define store_delete_unique media_store_delete_unique
#define store_events_begin media_store_events_begin
#define store_events_end media_store_events_end
#define store_events_next media_store_events_next
#define store_get_event media_store_get_event
#define store_get_order media_store_get_order
#define store_get_orders media_store_get_orders
#define store_get_page media_store_get_page
#define store_get_spilled media_store_get_spilled
#define store_get_unique media_store_get_unique
#define store_list_begin media_store_list_begin
#define store_list_end media_store_list_end
#define store_list_left media_store_list_left
#define store_list_next media_store_list_next
#define store_list_position media_store_list_position
#define store_open media_store_open
#define store_put_deadline media_store_put_deadline
#define store_put_definition media_store_put_definition
#define store_put_event media_store_put_event
#define store_put_list media_store_put_list
#define store_put_order media_store_put_order
#define store_put_page media_store_put_page
#define store_put_spilled media_store_put_spilled
#define store_put_unique media_store_put_unique
#define store_registry media_store_registry
#define store_scan_deadlines media_store_scan_deadlines
#define store_shards media_store_shards
#define store_sweep media_store_sweep
#define store_view_applied media_store_view_applied
#define store_view_begin media_store_view_begin
#define store_view_end media_store_view_end
#define store_view_get_event media_store_view_get_event
#define store_view_get_order media_store_view_get_order
#define store_view_get_unique media_store_view_get_unique
#define store_view_store media_store_view_store

#endif

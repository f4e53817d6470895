/*
 * scenes: what a run ends with, in a part of the runs, when all is mended: one thing that faults
 * drawn by chance hardly ever bring about, with a check of its own.
 *
 *   stream    writes come without waiting, over links so slow that one is always under way: each
 *             is answered in a few round trips
 *   backlog   a member that hears nobody lacks more entries than a message may have; then it gets
 *             them, in messages of bounded size (network.c)
 *   hang      a disk ends no operation any more: its member ends itself, within the shim's bound
 *   terms     of three that vote the leader is cut off, with entries that the others lack; their
 *             elections fail for so long that they are terms ahead; one of them ends for good and
 *             one starts again: the two that are left go on
 *   unheard   a leader hears nothing of a follower that hears all, until its log has lost what the
 *             follower was last known to hold; then the follower misses a little: as all others it
 *             must have everything in the end
 *   rebirth   of three that vote one is cut off from the leader, and the third one ends and starts
 *             again at once, several times: what elections.h checks of it
 *   turns     of five that vote one alone hears the leader's last entries and is long writing them;
 *             another one leads, that one alone hears it, and at once the first leads again and
 *             sends the same: what acks.h checks of that one then
 *
 * Thread: the run's.
 */
#ifndef SIMULATION_SCENES_H
#define SIMULATION_SCENES_H

enum scene {
    SCENE_NONE,
    SCENE_STREAM,
    SCENE_BACKLOG,
    SCENE_HANG,
    SCENE_UNHEARD,
    SCENE_REBIRTH,
    SCENE_TERMS,
    SCENE_TURNS
};

/* While clients ask: hang, terms, unheard and turns. Returns when it is over. */
void scenes_play_busy(enum scene scene);

/* While no client asks: stream, backlog and rebirth. */
void scenes_play_quiet(enum scene scene);

#endif

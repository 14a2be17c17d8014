"""A move from PostgreSQL to ClickHouse or chDB, while events come in.

Two parts. The *mover* is a process of its own (``mover``): it reads one store, writes the other, and does one bounded
step per call; it remembers nothing that it could not find out again. The task ``migrate`` (``task_migrate``, in the
supervisor) tells it what is next, keeps the place in its checkpoint, starts it again when it dies, and does the cutover
together with the flusher.

Exactly once. A row keeps its ``_batch`` on the move, and both stores can say quickly how many rows of which batch they
hold. So what is missing is never remembered, it is asked for: of a *chunk* (batches of one month, next to each other in
the order of their ids, ``chunks``) the source's rows per batch are held against the target's, and what the target lacks
is sent as one insert, one block of one partition, hence one part: there wholly or not at all. It is sent by the rules
the flusher sends a batch by (``settle``): earlier sendings are ended first, then the target is asked, then it is sent,
and after any doubt it is asked again. Killed anywhere, the next mover asks and finds what is there.

The order of steps, and why it is this one:

1. *plan*: months, rows and sizes of the source, a sample read to guess the time. Nothing is written.
2. *copy*: month by month, in the order of batch ids, chunk by chunk. The daemon goes on writing to the source.
3. *verify*: the same walk again. Per chunk rows and a checksum per column (``checksums``) are computed by each store by
   itself; a chunk that differs (rows were corrected or erased at the source meanwhile, or a batch landed late) is
   narrowed down to its batches, and these are copied anew. A chunk that differs again fails the move.

Without a cutover that is all. With one:

4. *catch up*: batches that landed since the verify began (the source notes when) are copied and verified, again and
   again until a round is short.
5. *hold*: the flusher cuts no more batches (``cutover``); events wait in the rings and are answered as ever.
6. *settle*: batches that were cut before are bound to the source, those in doubt and those in the spool too. They are
   waited for: only when none is open can nothing land in the source any more.
7. *last round*: what landed since is copied and verified; then the rows of each month are counted in both stores and
   have to be equal. It comes after 6 because only then is it the last.
8. *hand over*: the mover ends, and with it its hold on the files of a chDB target, which one process may have open.
9. *switch*: one rename in the journal. The flusher ends; the next one opens the target and cuts the first batch for
   it.

Up to 9 everything is undone by letting go of the hold, which happens by itself when anybody involved dies or a ring
fills up; then the task begins again at 4. After 9 nothing is left to do but to say so.
"""

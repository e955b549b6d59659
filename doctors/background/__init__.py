"""
Background work: runs the tasks that Django's task framework keeps in the database, each until it succeeds.

`django_tasks_db` owns the table, the way in (`task.enqueue(…)`, one INSERT in the caller's transaction) and the pages
of the admin. What its own worker lacks is here: a task whose worker died is taken over at once, one that fails is tried
again with growing pauses, and a database that is away is waited for.
"""

from doctors.background.outcomes import GiveUp

__all__ = ["GiveUp"]

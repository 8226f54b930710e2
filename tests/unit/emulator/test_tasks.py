from __future__ import annotations

from qwenbuild.emulator.tasks import Task, TaskQueue
from tests.support.orders import NOON_S, exchange, order


def tasks(queue: TaskQueue, *submitted_s: float) -> list[Task]:
    """Put one task for each time after noon into the queue."""
    made = [Task(f"task-{at}", "someone", order(), exchange(), NOON_S + at) for at in submitted_s]
    queue.pending.extend(made)
    return made


def advanced(queue: TaskQueue, at: float) -> list[tuple[str, float]]:
    """Advance the queue to a time after noon. Return the tasks that ended, and when."""
    ended: list[tuple[str, float]] = []
    queue.advance(NOON_S + at, lambda task, at_s: ended.append((task.id, at_s - NOON_S)))
    return ended


def test_a_task_waits_and_then_runs() -> None:
    """A task is PENDING for `queue_s` seconds and RUNNING for `latency_s` seconds."""
    queue = TaskQueue(0, queue_s=2, latency_s=10)
    (task,) = tasks(queue, 0)
    assert (advanced(queue, 1.5), task.status, task.scheduled_s) == ([], "PENDING", None)
    assert (advanced(queue, 2), task.status, task.scheduled_s) == ([], "RUNNING", NOON_S + 2)
    assert advanced(queue, 100) == [("task-0", 12)]
    assert advanced(queue, 200) == []


def test_at_most_two_tasks_run_at_once() -> None:
    """With `most` = 2 the next task starts when one ends, in the order of submission."""
    queue = TaskQueue(2, queue_s=0, latency_s=10)
    made = tasks(queue, 0, 1, 2, 3)
    advanced(queue, 5)
    assert [task.status for task in made] == ["RUNNING", "RUNNING", "PENDING", "PENDING"]
    assert advanced(queue, 100) == [("task-0", 10), ("task-1", 11), ("task-2", 20), ("task-3", 21)]


def test_without_a_limit_all_tasks_run_at_once() -> None:
    """0 means no limit: each task starts when it is submitted."""
    queue = TaskQueue(0, queue_s=0, latency_s=100)
    made = tasks(queue, *range(50))
    advanced(queue, 49)
    assert [(task.status, task.scheduled_s) for task in made] == [("RUNNING", NOON_S + at) for at in range(50)]

"""Items made ahead of time by threads, in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def prefetched(function: Callable[[int], Result], numbers: Iterable[int], workers: int = 1) -> Iterator[Result]:
    """Results of a function in the order of its arguments, computed ahead by threads.

    Parameters
    ----------
    function : called with each number; its errors are raised here.
    numbers : the arguments.
    workers : threads, at least 1; results do not depend on them.

    Notes
    -----
    Memory: at most ``workers + 1`` results wait.
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
    try:
        for number in numbers:
            waiting.append(pool.submit(function, number))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        pool.shutdown(wait=True)

"""`timeout:` of the recipe: a unit that takes longer is ended, whatever engine it runs on."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import threading
from collections.abc import Iterator
from typing import NoReturn

GRACE_SECONDS = 10.0
"""What code that catches the error, or hangs outside Python, has until its process ends."""


@contextlib.contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """End what runs inside after so many seconds: by an error where Python runs or waits, else with the process.

    Raises:
        TimeoutError: it took longer; the error stands where the code was.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(_number: int, _frame: object) -> NoReturn:
        raised.append(TimeoutError(said))
        raise raised[0]

    raised: list[TimeoutError] = []
    said = f"it took longer than the {seconds:g} s that `timeout` of the recipe allows"
    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    with contextlib.suppress(ValueError, OSError):  # a standard error that is no file
        faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True)
    try:
        yield
    except Exception as error:
        if raised and said not in str(error):  # code that it hit made another error of it
            raise TimeoutError(said) from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)

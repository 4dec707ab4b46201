"""Handling of signals in the process that runs Snakemake. Imports no torch."""

import _thread
import signal


def handle_in_thread(number: signal.Signals) -> None:
    """Make the present handler of a signal run in a new thread.

    Snakemake's handler of SIGTERM acquires locks that the interrupted main thread may hold, which would be a deadlock.
    The thread is started through `_thread`, as `threading` would acquire a lock itself.
    """
    handler = signal.getsignal(number)
    if callable(handler):
        signal.signal(number, lambda *arguments: _thread.start_new_thread(handler, arguments))

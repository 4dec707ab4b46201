"""Signals to the process that runs Snakemake. Imports no torch."""

import _thread
import signal


def handle_beside(number: signal.Signals) -> None:
    """Have a signal's present handler called in a thread of its own.

    Snakemake's handler of SIGTERM takes locks that the main thread, which it interrupts, may hold: then the process
    would wait for itself for ever. The thread starts without any lock, which `threading` would take.
    """
    handler = signal.getsignal(number)
    if callable(handler):
        signal.signal(number, lambda *arguments: _thread.start_new_thread(handler, arguments))

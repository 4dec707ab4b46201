"""A signal whose handler needs what the interrupted main thread holds."""

import os
import signal
import threading

import pytest

from deepgen_bench.runtime.signals import handle_in_thread


@pytest.fixture
def before():
    found = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, found)


def test_a_handler_may_take_a_lock_that_the_main_thread_holds(before):
    lock, handled = threading.Lock(), threading.Event()

    def handler(number, frame):
        with lock:
            handled.set()

    signal.signal(signal.SIGTERM, handler)
    handle_in_thread(signal.SIGTERM)
    with lock:
        os.kill(os.getpid(), signal.SIGTERM)
        assert not handled.wait(0.2)
    assert handled.wait(10)


def test_default_handling_stays(before):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    handle_in_thread(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

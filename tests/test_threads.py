"""Modes belong to one thread or task; gradients computed at once are right; exceptions restore."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import autograd_lite as ag

THREADS = 8


def _variable() -> ag.Tensor:
    return ag.Tensor([1.0, 2.0, 3.0], requires_grad=True)


def _records() -> bool:
    return bool((_variable() * 2).requires_grad)


def _together(work: Callable[[int], Any]) -> list[Any]:
    """Return what a function gives in several threads that start at the same moment."""
    barrier = threading.Barrier(THREADS)

    def start(i: int) -> Any:
        barrier.wait()
        return work(i)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(start, range(THREADS)))


def test_no_grad_in_one_thread_does_not_touch_another() -> None:
    inside, done = threading.Event(), threading.Event()

    def quiet() -> None:
        with ag.no_grad():
            inside.set()
            assert done.wait(10)

    thread = threading.Thread(target=quiet)
    thread.start()
    assert inside.wait(10)
    assert _records()
    done.set()
    thread.join()


def test_no_grad_does_not_reach_threads_that_are_started_under_it() -> None:
    with ag.no_grad(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(_records).result()
        assert not pool.submit(contextvars.copy_context().run, _records).result()
        assert not _records()


def test_no_grad_in_one_task_does_not_touch_another() -> None:
    async def quiet(inside: asyncio.Event, done: asyncio.Event) -> bool:
        with ag.no_grad():
            inside.set()
            await done.wait()
            return _records()

    async def main() -> tuple[bool, bool, bool]:
        inside, done = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(quiet(inside, done))
        await inside.wait()
        during = _records()
        done.set()
        return during, await task, _records()

    assert asyncio.run(main()) == (True, False, True)


def test_one_no_grad_object_used_again_and_nested() -> None:
    quiet = ag.no_grad()
    with quiet:
        with quiet:
            assert not _records()
        assert not _records()
    assert _records()


def test_one_no_grad_object_shared_by_threads() -> None:
    quiet = ag.no_grad()

    def work(_: int) -> bool:
        ok = True
        for _ in range(200):
            with quiet:
                ok &= not _records()
            ok &= _records()
        return ok

    assert all(_together(work))


def test_no_grad_decorator_shared_by_threads() -> None:
    quiet = ag.no_grad()(_records)
    assert not any(_together(lambda i: any(quiet() for _ in range(100))))
    assert _records()


def test_generators_may_not_be_decorated_but_may_use_it() -> None:
    def values() -> Iterator[bool]:
        with ag.no_grad():
            yield _records()

    assert list(values()) == [False]
    assert _records()


def test_gradients_in_several_threads_are_right() -> None:
    shared = np.random.default_rng(0).normal(size=(4, 3))

    def work(i: int) -> int:
        wrong = 0
        w = ag.Tensor(np.full((3, 2), 0.1 * (i + 1)), requires_grad=True)
        for step in range(150):
            x = shared * (1 + step % 5)
            w.zero_grad()
            np.sum(np.tanh(x @ w)).backward()
            expected = x.T @ (1 - np.tanh(x @ w.data) ** 2)
            wrong += not np.allclose(w.grad, expected, rtol=1e-12, atol=1e-14)
            second = ag.grad(ag.grad(lambda v: v**4))(float(i + step))
            wrong += second != pytest.approx(12.0 * (i + step) ** 2, rel=1e-12)
        return wrong

    assert _together(work) == [0] * THREADS


@pytest.mark.slow
def test_many_gradients_in_several_threads() -> None:
    def work(i: int) -> int:
        w = ag.Tensor(np.array([0.1 * (i + 1), 0.3]), requires_grad=True)
        wrong = 0
        for _ in range(10_000):
            w.zero_grad()
            np.sum(np.exp(w) * w).backward()
            wrong += not np.allclose(w.grad, np.exp(w.data) * (1 + w.data), rtol=1e-13)
        return wrong

    assert _together(work) == [0] * THREADS


def test_one_graph_pulled_back_by_several_threads() -> None:
    w = _variable()
    loss = np.sum(w * w)
    _together(lambda i: [loss.backward() for _ in range(50)])
    np.testing.assert_array_equal(w.grad, 2 * w.data * 50 * THREADS)


def test_one_leaf_used_by_several_threads() -> None:
    w = _variable()
    _together(lambda i: [np.sum(w * (i + 1.0)).backward() for _ in range(50)])
    np.testing.assert_array_equal(w.grad, 50 * sum(range(1, THREADS + 1)))


# ---------------------------------------------------------------------------- exceptions


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_exception_ends_no_grad(error: type[BaseException]) -> None:
    with pytest.raises(error), ag.no_grad():
        raise error
    assert _records()


def test_exception_in_a_decorated_function() -> None:
    @ag.no_grad()
    def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    assert _records()


def test_exception_in_a_transform_under_no_grad() -> None:
    def fail(x: Any) -> Any:
        assert (x * 2).requires_grad
        raise KeyError("mine")

    with ag.no_grad():
        with pytest.raises(KeyError, match="mine"):
            ag.grad(fail)(1.0)
        assert not _records()
    assert _records()


def test_exception_in_a_rule_keeps_gradients_and_error_state() -> None:
    def broken(g: Any) -> Any:
        raise KeyError("mine")

    @ag.primitive(broken)
    def half(x: Any) -> Any:
        return x / 2

    w, v = _variable(), _variable()
    np.sum(w * v).backward()
    before = np.geterr(), w.grad.copy(), v.grad.copy()
    for create_graph in (False, True):
        with pytest.raises(KeyError, match="mine"):
            np.sum(half(w) * v).backward(create_graph=create_graph)
    assert np.geterr() == before[0]
    np.testing.assert_array_equal(w.grad, before[1])
    np.testing.assert_array_equal(v.grad, before[2])
    assert _records()


def test_error_in_one_thread_leaves_another_thread_recording() -> None:
    def work(i: int) -> bool:
        for _ in range(50):
            try:
                with ag.no_grad():
                    if i % 2:
                        raise KeyError
            except KeyError:
                pass
            if not _records():
                return False
        return True

    assert all(_together(work))


def test_no_grad_and_an_observer_in_generators_that_overlap() -> None:
    def silent() -> Any:
        with ag.no_grad():
            yield

    def watched() -> Any:
        with ag.find_nonfinite():
            yield

    first, second = silent(), watched()
    next(first)
    next(second)
    first.close()
    second.close()
    assert np.sum(ag.Tensor([1.0], requires_grad=True) * 1).requires_grad

# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Threads, event loops, processes, and the end of the interpreter."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection

import pytest
from cms_py import ClosedError, Cms, NotFound
from conftest import PATIENCE, Place, async_opened, onboard, opened


async def test_the_async_client_does_what_the_other_does(place: Place) -> None:
    async with await async_opened(place) as cms:
        assert await cms.allow("shop/allow", {"user": "eve"})
        batch = await cms.decide_batch("shop/allow", [{"user": "eve"}, {}])
        assert [decision.allowed for decision in batch] == [True, False]
        await cms.api("PUT", "projects/shop/secrets/a", {"data": {"value": "v"}})
        await cms.api("PUT", "projects/shop/configs/app", {"n": 1})
        secrets = await asyncio.gather(*[cms.reveal("a") for _ in range(50)])
        assert {secret["value"] for secret in secrets} == {"v"}
        assert (await cms.config("app")).value == {"n": 1}
        assert (await cms.authenticate(place.root)).kind == "root"
        with pytest.raises(NotFound):
            await cms.reveal("b")
    with pytest.raises(ClosedError):
        await cms.decide("shop/allow")


async def test_whoever_is_cancelled_leaves_the_client_usable(place: Place) -> None:
    async with await async_opened(place) as cms:
        task = asyncio.create_task(cms.api("GET", "projects/shop/events"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await cms.allow("shop/allow", {"user": "eve"})


def test_each_event_loop_is_answered(place: Place) -> None:
    async def ask() -> bool:
        async with await async_opened(place) as cms:
            await cms.api("GET", "projects")
            return await cms.allow("shop/allow", {"user": "eve"})

    assert asyncio.run(ask()) and asyncio.run(ask())


def test_threads_share_a_client(cms: Cms) -> None:
    def ask(number: int) -> bool:
        user = "eve" if number % 2 else "bob"
        return cms.allow("shop/allow", {"user": user, "number": number}) == (user == "eve")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(400)))


def test_python_runs_on_while_rust_waits(cms: Cms) -> None:
    cms.api("PUT", "projects/shop/configs/app", {"n": 1})
    tag, done = cms.config("app").tag, threading.Event()
    # A long poll: nothing changes, so it lasts as long as it was told to.

    def wait() -> None:
        cms._client.config(True, "shop", None, "app", (tag, 2.0))
        done.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    rounds = 0
    while not done.is_set() and rounds < 1_000:
        rounds += 1
    waiting.join()
    assert rounds == 1_000


def follow(place: Place, pipe: Connection) -> None:
    """A worker: it is told what to expect, and answers when it sees it."""
    with opened(place) as cms:
        pipe.send("open")
        for user in iter(pipe.recv, None):
            end = time.monotonic() + PATIENCE
            while not cms.allow("shop/allow", {"user": user}) and time.monotonic() < end:
                time.sleep(0.01)
            pipe.send(cms.allow("shop/allow", {"user": user}))


def test_four_processes_see_each_other_s_changes(place: Place) -> None:
    context = multiprocessing.get_context("spawn")
    workers = []
    for _ in range(4):
        ours, theirs = context.Pipe()
        worker = context.Process(target=follow, args=(place, theirs))
        worker.start()
        workers.append((worker, ours))
    assert all(pipe.poll(PATIENCE) and pipe.recv() == "open" for _, pipe in workers)
    with opened(place) as cms:
        for user in ("ann", "bob", "cid"):
            cms.api("PUT", "projects/shop/policies/shop", f'package shop\n\nallow if input.user == "{user}"\n')
            for _, pipe in workers:
                pipe.send(user)
            assert all(pipe.poll(PATIENCE) and pipe.recv() for _, pipe in workers)
    for worker, pipe in workers:
        pipe.send(None)
        worker.join(PATIENCE)
        assert worker.exitcode == 0


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in an interpreter of its own."""
    text = textwrap.dedent(program)
    command = [sys.executable, "-W", "error", "-c", text, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


def test_a_forked_process_is_told_so_and_can_open_its_own(place: Place) -> None:
    ended = run(
        """
        import os, sys
        from cms_py import Cms, ForkedProcessError
        url, key, root = sys.argv[1:]
        cms = Cms.open(url, seal_key_file=key, credential=root, project="shop")
        assert cms.allow("shop/allow", {"user": "eve"})
        child = os.fork()
        if child == 0:
            try:
                cms.decide("shop/allow")
                sys.exit(1)
            except ForkedProcessError as error:
                assert "lifespan" in error.hint
            cms.close()
            with Cms.open(url, seal_key_file=key, credential=root, project="shop") as own:
                assert own.allow("shop/allow", {"user": "eve"})
                own.api("PUT", "projects/shop/configs/child", {"n": 1})
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status
        assert cms.config("child").value == {"n": 1}
        """,
        place.url,
        place.seal_key_file,
        place.root,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    "last", ["pass", "import sys; sys.exit(0)", "import threading; threading.Thread(target=many).start()"]
)
def test_the_interpreter_ends_cleanly_with_a_client_open(place: Place, last: str) -> None:
    ended = run(
        f"""
        import sys
        from cms_py import Cms
        cms = Cms.open(sys.argv[1], seal_key_file=sys.argv[2], credential=sys.argv[3], project="shop")
        def many():
            for _ in range(200):
                cms.decide("shop/allow", {{"user": "eve"}})
        many()
        {last}
        """,
        place.url,
        place.seal_key_file,
        place.root,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_interpreter_ends_while_an_event_loop_waits(place: Place) -> None:
    ended = run(
        """
        import asyncio, sys
        from cms_py import AsyncCms
        async def main():
            cms = await AsyncCms.open(sys.argv[1], seal_key_file=sys.argv[2], credential=sys.argv[3], project="shop")
            asyncio.create_task(cms.api("GET", "projects/shop/events"))
            await asyncio.sleep(0.05)
        asyncio.run(main())
        """,
        place.url,
        place.seal_key_file,
        place.root,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_ctrl_c_interrupts_what_waits(place: Place) -> None:
    with opened(place) as cms:
        cms.api("PUT", "projects/shop/configs/app", {"n": 1})
        tag = cms.config("app").tag
        main = threading.main_thread().ident
        assert main is not None
        # Who runs the tests in the background may have the signal ignored, which Python takes over.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT))
        timer.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                cms._client.config(True, "shop", None, "app", (tag, PATIENCE))
            timer.join()
        finally:
            signal.signal(signal.SIGINT, before)
        assert cms.allow("shop/allow", {"user": "eve"})


def test_many_calls_leave_nothing_behind(cms: Cms) -> None:
    def calls(count: int) -> None:
        for number in range(count):
            cms.decide("shop/verdict", {"n": number}).value

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    calls(10_000)
    before, threads = resident(), len(os.listdir("/proc/self/task"))
    calls(100_000)
    # 20 bytes a call would show; what an allocator keeps would not.
    assert resident() - before < 8 * 1024 * 1024
    assert len(os.listdir("/proc/self/task")) <= threads


def test_clients_that_come_and_go_leave_no_threads() -> None:
    def one() -> None:
        cms, _ = Cms.create("memory:", project="shop")
        with cms:
            onboard(cms)
            assert cms.allow("shop/allow", {"user": "eve"})

    one()
    before = len(os.listdir("/proc/self/task"))
    for _ in range(10):
        one()
    assert len(os.listdir("/proc/self/task")) <= before + 4


def test_a_client_that_is_forgotten_is_closed() -> None:
    cms, root = Cms.create("memory:", project="shop")
    acting = cms.acting_as(root)
    del cms
    with pytest.raises(ClosedError):
        acting.decide("shop/allow")


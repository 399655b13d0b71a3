# SPDX-License-Identifier: Apache-2.0 OR MIT
"""OPA's own engine (Go, as a shared library), by way of its C functions."""

import ctypes
import json
import multiprocessing
import os
import sys

if not os.environ.get("OPA_LIBRARY"):
    sys.exit("OPA_LIBRARY names no library")


class Refused(Exception):
    """The engine answers with an error."""


class Engine:
    def __init__(self):
        self.library = ctypes.CDLL(os.environ["OPA_LIBRARY"])
        self.library.OpaNew.restype = ctypes.c_uint64
        for name in ["OpaAddPolicy", "OpaAddData", "OpaEvalQuery", "OpaEvalDocument"]:
            getattr(self.library, name).restype = ctypes.c_void_p
        self.library.OpaFreeString.argtypes = [ctypes.c_void_p]
        self.handle = ctypes.c_uint64(self.library.OpaNew())

    def call(self, name, *texts):
        numbers = [0, 0] if name.startswith("OpaEval") else []
        answer = getattr(self.library, name)(self.handle, *[text.encode() for text in texts], *numbers)
        text = ctypes.string_at(answer)
        self.library.OpaFreeString(answer)
        envelope = json.loads(text)
        if envelope.get("error"):
            raise Refused(envelope["error"].get("message", ""))
        return envelope.get("result")

    def value(self, path, given):
        rows = self.call("OpaEvalDocument", path, json.dumps(given))
        return rows[0]["expressions"][0]["value"] if rows else None


class Guarded:
    """The engine in a process of its own, as some calls of it never end."""

    def __init__(self, seconds=5):
        self.seconds = seconds
        self.process = None

    def ask(self, policy, questions):
        """The answer to each question, a path with an input; `TimeoutError` when it takes too long."""
        if self.process is None:
            self.pipe, theirs = multiprocessing.Pipe()
            self.process = multiprocessing.Process(target=_serve, args=(theirs,), daemon=True)
            self.process.start()
        self.pipe.send((policy, questions))
        if not self.pipe.poll(self.seconds):
            self.process.kill()
            self.process = None
            raise TimeoutError(policy)
        return self.pipe.recv()


def _serve(pipe):
    while True:
        policy, questions = pipe.recv()
        pipe.send([_answer(policy, path, given) for path, given in questions])


def _answer(policy, path, given):
    """The value, that there is none, or the text of an error."""
    engine = Engine()
    try:
        engine.call("OpaAddPolicy", "policy.rego", policy)
        rows = engine.call("OpaEvalQuery", f"x := data.{path}", json.dumps(given))
        return ("value", rows[0]["bindings"]["x"]) if rows else ("undefined", None)
    except Refused as refused:
        return ("error", str(refused))
    finally:
        engine.library.OpaDestroy(engine.handle)

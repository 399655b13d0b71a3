# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Random policies and inputs have the answers that OPA's own engine gives.

Each round makes a policy of several rules. Rules refer to the input, whose types no compiler knows, and to
rules before them. Sets stand beside no objects, as the two engines order them otherwise. `SEED` and `ROUNDS` choose others than the usual ones; a difference is told with its policy.
"""

import json
import os
import random
import urllib.error

from opa_engine import Guarded
from reporting import DECIDER, OPA_URL, WRITER, fetch, run

SEED = int(os.environ.get("SEED", "1"))
ROUNDS = int(os.environ.get("ROUNDS", "150"))
FIELDS = ["input.n", "input.m", "input.s", "input.t", "input.l", "input.o", "input.none", "input.o.k", "input.l[0]"]


class Maker:
    """Makes the text of one policy."""

    def __init__(self, random):
        self.random = random
        self.known = []
        self.bound = []

    def any(self, *choices):
        return self.random.choice(choices)

    def term(self, depth=2):
        simple = [
            lambda: self.any(*FIELDS),
            lambda: str(self.random.randint(-3, 12)),
            lambda: self.any("0.5", "1.25", "\"a\"", "\"b,c\"", "\"\"", "true", "false", "null", "[]", "{}"),
        ]
        if self.bound:
            simple += [lambda: self.any(*self.bound)] * 2
        if self.known:
            simple += [lambda: self.any(*self.known)]
        if depth == 0:
            return self.random.choice(simple)()
        inner = lambda: self.term(depth - 1)
        return self.random.choice(simple + [
            self.number,
            lambda: f"[{inner()}, {inner()}]",
            lambda: f"{{\"k\": {inner()}, \"j\": {inner()}}}",
            self.call,
            self.comprehension,
        ])()

    def number(self):
        operand = lambda: self.any("input.n", "input.m", "input.l[1]", "2", "3", "0.1", "7", "count(input.l)")
        return f"({operand()} {self.any('+', '-', '*', '/')} {operand()})"

    def call(self):
        number, text = self.any("input.n", "input.m"), self.any("input.s", "input.t")
        several, fields, anything = "input.l", "input.o", self.any(*FIELDS)
        return self.any(
            f"count({self.any(several, fields, text)})", f"sum({several})", f"max({several})", f"min({several})",
            f"sort({several})", f"upper({text})", f"lower({text})", f"split({text}, \",\")", f"concat(\"-\", {several})",
            f"trim({text}, \"a \")", f"substring({text}, 1, 2)", f"replace({text}, \"a\", \"zz\")",
            f"contains({text}, \"a\")", f"startswith({text}, \"a\")", f"indexof({text}, \"b\")",
            f"object.keys({fields})", f"object.get({fields}, \"k\", 7)", f"object.get({fields}, [\"k\"], 7)",
            f"json.marshal({anything})", f"type_name({anything})", f"is_number({anything})", f"abs({number})",
            f"round({number})", f"floor({number})", f"ceil({number})", f"to_number({self.any(number, text)})",
            f"array.slice({several}, 0, 1)", f"array.concat({several}, [1])", f"array.reverse({several})",
            f"sprintf(\"%v|%s|%d|%5.2f\", [{anything}, {text}, {number}, {number}])",
            f"sprintf(\"%v\", [{anything}])", f"format_int({number}, 16)", f"numbers.range({number}, 4)",
            f"union({{{{1}}, {{{number}}}}})", f"object.union({fields}, {{\"z\": 1}})",
            f"object.remove({fields}, [\"k\"])", f"strings.reverse({text})", f"[p | walk({anything}, [p, _])]",
            f"regex.split(\",\", {text})", f"regex.match(\"^a\", {text})", f"base64.encode({text})",
            f"json.filter({fields}, [\"k\"])", f"$\"<{{{anything}}}>\"",
        )

    def comprehension(self):
        name = f"x{len(self.bound)}"
        collection = self.any("input.l", "input.o", "{1, 2}", "[3, \"a\"]", "input.s")
        self.bound.append(name)
        head, test = self.term(0), self.condition(0)
        self.bound.pop()
        return self.any(
            f"[{head} | some {name} in {collection}; {test}]",
            f"{{{name}: 1 | some {name} in {collection}; {test}}}",
        )

    def condition(self, depth=1):
        term = lambda: self.term(depth)
        plain = [
            f"{term()} {self.any('==', '!=')} {self.any(*FIELDS)}",
            f"{self.number()} {self.any('<', '>=')} {self.any(*FIELDS)}",
            self.any(*FIELDS),
            f"{self.any(*FIELDS)} in {self.any('input.l', '[1, 2]', 'input.o')}",
            f"is_string({term()})",
        ]
        test = self.random.choice(plain)
        return f"not {test}" if self.random.random() < 0.2 else test

    def body(self):
        self.bound = []
        parts = []
        for _ in range(self.random.randint(1, 3)):
            kind = self.random.random()
            name = f"v{len(parts)}"
            if kind < 0.25:
                parts.append(f"{name} := {self.term(1)}")
                self.bound.append(name)
            elif kind < 0.45:
                parts.append(f"some {name} in {self.any('input.l', 'input.o', '[1, 2]')}")
                self.bound.append(name)
            elif kind < 0.55:
                parts.append(f"every e in input.l {{ e {self.any('!=', '<', '==')} {self.any(*FIELDS)} }}")
            else:
                parts.append(self.condition())
        return "{ " + "; ".join(parts) + " }"

    def rule(self, name):
        kind = self.random.random()
        body = self.body()
        if kind < 0.35:
            text = f"{name} := {self.term(1)} if {body}\n"
            self.bound = []
            if self.random.random() < 0.4:
                text = text[:-1] + f" else := {self.term(1)}\n"
            if self.random.random() < 0.3:
                text = f"default {name} := 0\n" + text
        elif kind < 0.55:
            text = f"{name} contains {self.term(1)} if {body}\n"
        elif kind < 0.75:
            text = f"{name}[{self.any('input.t', 'input.s', 'input.n')}] := {self.term(1)} if {body}\n"
        elif kind < 0.85:
            text = f"{name} if {body}\n"
        else:
            self.bound = ["a"]
            text = f"f_{name}(a) := {self.term(1)}\n{name} := f_{name}({self.any(*FIELDS)})\n"
        self.bound = []
        self.known.append(name)
        return text

    def policy(self):
        return "package random\n\n" + "".join(self.rule(f"r{index}") for index in range(4))


def inputs(random):
    """Inputs whose fields have random types, or are missing."""
    scalars = [0, 1, 2, -3, 0.5, 12345678901, "a", "b", "a,b", "", "Ab c", True, False, None]
    scalar = lambda: random.choice(scalars)
    lists = [[], [1, 2, 3], ["a", "b"], [1, "a", None, [2]], [0.1, 0.2], [{"k": 1}, {"k": 2}]]
    objects = [{}, {"k": 1}, {"k": "a", "j": [1]}, {"k": {"i": None}, "1": True}]
    wide = lambda usual: random.choice(usual) if random.random() < 0.95 else scalar()
    for _ in range(3):
        fields = {
            "n": wide([0, 1, 2, 5, -4, 0.25]),
            "m": wide([1, 3, 10, 1.5]),
            "s": wide(["a", "b,c", "", "abc"]),
            "t": wide(["a,b", "Ab c", "12", ""]),
            "l": wide(lists),
            "o": wide(objects),
        }
        yield {name: value for name, value in fields.items() if random.random() < 0.9}


def ours(path, given):
    body = json.dumps({"input": given}).encode()
    place = f"{OPA_URL}/v1/data/{path.replace('.', '/')}"
    try:
        answer = json.loads(fetch(place, DECIDER, "POST", body, Content_Type="application/json"))
    except urllib.error.HTTPError as error:
        return ("error", error.read().decode())
    return ("value", answer["result"]) if "result" in answer else ("undefined", None)


def same(mine, theirs):
    """Values are the same if their JSON is. Of conflicts, only that there is one is compared."""
    if mine[0] == "error" or theirs[0] == "error":
        return mine[0] == theirs[0]
    return json.dumps(mine, sort_keys=True) == json.dumps(theirs, sort_keys=True)


def agrees():
    """It gives the same answers to random policies and inputs."""
    engine = Guarded()
    counts = dict.fromkeys(["compared", "refused by OPA", "failed in OPA", "too slow for OPA", "in conflict only here"], 0)
    for round in range(ROUNDS):
        chance = random.Random(SEED * 1_000_000 + round)
        policy = Maker(chance).policy()
        questions = [(f"random.r{index}", given) for given in inputs(chance) for index in range(4)]
        try:
            answers = engine.ask(policy, questions)
        except TimeoutError:
            counts["too slow for OPA"] += 1
            continue
        if any(kind == "error" and "rego_" in text for kind, text in answers):
            counts["refused by OPA"] += 1
            continue
        try:
            fetch(f"{OPA_URL}/v1/policies/random", WRITER, "PUT", policy.encode())
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{policy}\nis refused: {error.read().decode()}") from error
        for (path, given), theirs in zip(questions, answers):
            # The engine ends at the first function that fails, where OPA's server goes on.
            if theirs[0] == "error" and "conflict" not in theirs[1]:
                counts["failed in OPA"] += 1
                continue
            mine = ours(path, given)
            if "conflict" in str(mine[1]) and theirs[0] != "error":
                # Which of two statements comes first decides whether a conflict is met.
                counts["in conflict only here"] += 1
                continue
            question = f"{policy}\n{path} {json.dumps(given)}"
            assert same(mine, theirs), f"{question}\n{mine}\nbut OPA says {theirs}"
            counts["compared"] += 1
    print(f"{counts} (SEED={SEED})")
    assert counts["compared"] > ROUNDS, "too few policies are accepted"


run("OPA's engine, random policies", [agrees])

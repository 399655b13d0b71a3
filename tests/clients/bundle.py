# SPDX-License-Identifier: Apache-2.0 OR MIT
"""OPA's own engine (Go, as a shared library) with a signed bundle of ours.

The library has no entry for bundles. So the engine checks the signature with its own functions, and then
gets the files: the hashes that OPA's loader would compute are computed here, as its documentation says.
"""

import base64
import gzip
import hashlib
import io
import json
import tarfile

from opa_engine import Engine
from reporting import DECIDER, OPA_URL, ROOT, URL, WRITER, fetch, run

BUNDLE = f"{URL}/api/v1/projects/clients/environments/default/bundle.tar.gz"
KEYS = f"{URL}/api/v1/projects/clients/bundle-keys"
POLICY = "package signed\n\nallow if input.level >= data.levels[input.area].least\n"
LEVELS = '{ "docs": {"least": 2.50, "note": "\u2028<&>"}, "build": {"least": 1e1} }'


def files():
    packed = gzip.decompress(fetch(BUNDLE, ROOT))
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}


class Number:
    """A number as it was written."""

    def __init__(self, text):
        self.text = text


def canonical(value):
    """JSON as OPA hashes it."""
    if isinstance(value, Number):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def digest(name, content):
    if not name.endswith(".rego"):
        content = canonical(json.loads(content, parse_float=Number, parse_int=Number)).encode()
    return hashlib.sha256(content).hexdigest()


def signature(files):
    [token] = json.loads(files[".signatures.json"])["signatures"]
    header, payload, _ = token.split(".")
    decode = lambda part: json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return token, decode(header), decode(payload)


def prepare():
    """It is given policies and data to release."""
    fetch(f"{OPA_URL}/v1/policies/signed", WRITER, "PUT", POLICY.encode())
    fetch(f"{URL}/api/v1/projects/clients/data/levels", ROOT, "PUT", LEVELS.encode(), Content_Type="application/json")


def verifies():
    """It verifies the signature with the published key, and refuses it for changed claims."""
    token, header, _ = signature(files())
    keys = {key["kid"]: key["pem"] for key in json.loads(fetch(KEYS, ROOT))["keys"]}
    engine = Engine()
    engine.call("OpaAddPolicy", "v.rego", "package v\n\nvalid if io.jwt.verify_es256(input.token, input.key)\n")
    head, payload, tail = token.split(".")
    forged = base64.urlsafe_b64encode(b'{"files":[]}').decode().rstrip("=")
    asked = lambda text: engine.value("v.valid", {"token": text, "key": keys[header["kid"]]})
    assert asked(token) is True
    assert asked(f"{head}.{forged}.{tail}") is None


def covers():
    """Every file has the hash that OPA's loader computes for it."""
    found = files()
    claimed = {file["name"]: file["hash"] for file in signature(found)[2]["files"]}
    computed = {name: digest(name, content) for name, content in found.items() if name != ".signatures.json"}
    assert claimed == computed, (claimed, computed)


def decides():
    """It loads the bundle's files and decides as we do."""
    engine = Engine()
    for name, content in files().items():
        if name.endswith(".rego"):
            engine.call("OpaAddPolicy", name, content.decode())
        elif name.endswith("/data.json"):
            path = name.removesuffix("/data.json").replace("/", ".")
            engine.call("OpaAddData", path, content.decode())
    for area, level in [("docs", 2), ("docs", 3), ("build", 10), ("build", 9.9), ("absent", 5)]:
        given = {"area": area, "level": level}
        body = json.dumps({"input": given}).encode()
        ours = json.loads(fetch(f"{OPA_URL}/v1/data/signed/allow", DECIDER, "POST", body)).get("result")
        assert engine.value("signed.allow", given) == ours, (given, ours)


def rotates():
    """It verifies a bundle that another key has signed, after that key took over."""
    before = signature(files())[1]["kid"]
    fetch(f"{KEYS}/rotate", ROOT, "POST", b"{}", Content_Type="application/json")
    assert signature(files())[1]["kid"] != before
    verifies()


run("OPA's engine", [prepare, verifies, covers, decides, rotates])

# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A configuration service as it is usually written: FastAPI, an API key, and etcd or a dictionary behind."""

import hashlib
import json
import os
from contextlib import asynccontextmanager

import aetcd
from fastapi import Depends, FastAPI, Header, HTTPException, Response

KEYS = {hashlib.sha256(os.environ["BENCH_KEY"].encode()).hexdigest(): "bench"}
MEMORY = {"retrieval": json.loads(os.environ["BENCH_DOCUMENT"])}
state = {}


@asynccontextmanager
async def lifespan(app: FastAPI):
    if os.environ["BENCH_BACKEND"] == "etcd":
        client = aetcd.Client(host="127.0.0.1", port=int(os.environ["BENCH_ETCD_PORT"]))
        await client.connect()
        await client.put(b"/config/retrieval", json.dumps(MEMORY["retrieval"]).encode())
        state["etcd"] = client
    yield
    if "etcd" in state:
        await state["etcd"].close()


app = FastAPI(lifespan=lifespan)


def project(x_api_key: str = Header()) -> str:
    known = KEYS.get(hashlib.sha256(x_api_key.encode()).hexdigest())
    if known is None:
        raise HTTPException(401)
    return known


@app.get("/config/{name}")
async def read(name: str, owner: str = Depends(project)):
    if "etcd" in state:
        found = await state["etcd"].get(f"/config/{name}".encode())
        if found is None:
            raise HTTPException(404)
        return Response(found.value, media_type="application/json")
    found = MEMORY.get(name)
    if found is None:
        raise HTTPException(404)
    return found

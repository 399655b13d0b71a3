# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What the clients' tests share: a server's place from the environment, and one line for each result.

`ok NAME` or `not ok NAME: WHY`; `bash tests/run clients` counts them.
"""

import asyncio
import inspect
import os
import sys
import traceback
import urllib.parse
import urllib.request

URL = os.environ["CMS_URL"]
OPA_URL = os.environ["CMS_OPA_URL"]
ROOT = os.environ["CMS_ROOT"]
DECIDER = os.environ["CMS_DECIDER"]
WRITER = os.environ["CMS_WRITER"]
PLACE = urllib.parse.urlsplit(OPA_URL)


def fetch(url, token, method="GET", body=None, **headers):
    """The body of an answer, which must be a success."""
    request = urllib.request.Request(url, data=body, method=method)
    request.add_header("Authorization", f"Bearer {token}")
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def run(client, checks):
    """Runs checks in their order and tells what came of each."""
    failed = False
    for check in checks:
        name = f"{client}: {check.__doc__.strip().rstrip('.')}"
        try:
            asyncio.run(check()) if inspect.iscoroutinefunction(check) else check()
            print(f"ok {name}", flush=True)
        except Exception as error:  # A client raises what it likes; the next check must run.
            failed = True
            traceback.print_exc()
            print(f"not ok {name}: {error!r}", flush=True)
    sys.exit(failed)

"""Speaks HTTP from inside the cluster's network: one request a line on standard input, one answer a line on standard output."""

import json
import sys
import urllib.error
import urllib.request


def ask(method, url, body=None, headers=None, seconds=10):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    if data:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return {"status": answer.status, "body": answer.read().decode()}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "body": error.read().decode()}
    except (OSError, ValueError) as error:
        return {"status": 0, "body": repr(error)}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(ask(**json.loads(line))), flush=True)

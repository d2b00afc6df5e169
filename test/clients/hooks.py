"""What schemathesis cannot know: each request needs a key of its own, and ten million records in one request are many."""

import itertools
import re

import schemathesis

numbers = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch("[0-9A-Za-z]{1,64}", key):
        case.headers["Idempotency-Key"] = f"{key}-{next(numbers)}"
    parameters = case.path_parameters or {}
    count = str(parameters.get("n"))
    if re.fullmatch("[0-9]{1,8}", count) and 50 < int(count) <= 10_000_000:
        parameters["n"] = int(count) % 50

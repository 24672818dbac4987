"""Lines of batch files, and other objects of the Batch API, as OpenAI writes them."""

from __future__ import annotations

from typing import Any

from tests.support.provider.errors import error_body


def result_line(record: dict[str, Any], response: Any, error: Any) -> dict[str, Any]:
    """Return the line that answers the request line `record`."""
    name = record["custom_id"]
    return {"id": f"breq-{name}", "custom_id": name, "response": response, "error": error}


def failed_line(record: dict[str, Any], index: int) -> dict[str, Any]:
    """Return a line with an error status: 400, 429 and 500 in turn."""
    status = (400, 429, 500)[index % 3]
    body = error_body(status, "line failed")
    return result_line(record, {"status_code": status, "request_id": "req", "body": body}, None)


def unprocessed_line(record: dict[str, Any], code: str) -> dict[str, Any]:
    """Return the line of a request that the batch ended without."""
    message = "This request was not executed."
    return result_line(record, None, {"code": code, "message": message})


def batch_error(code: str, message: str, line: int | None = None) -> dict[str, Any]:
    """Return an error of a whole file, or of one line of it (counted from 1)."""
    return {"code": code, "message": message, "line": line, "param": None}


def list_page(items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """Return the page of `items` after the id `after`."""
    ids = [item["id"] for item in items]
    start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
    limit = int(query.get("limit", 20))
    data = items[start : start + limit]
    more = start + limit < len(items)
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more}

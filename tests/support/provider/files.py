"""Files that are uploaded, listed, read and deleted."""

from __future__ import annotations

import re
import time
from typing import Any

from tests.support.provider.batch_lines import list_page
from tests.support.provider.connection import Request
from tests.support.provider.errors import error_body

Reply = tuple[int, Any]


class FileService:
    """The files of a provider: their objects and contents, by id."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self._made = 0

    def route(self, request: Request, name: str | None, rest: list[str]) -> Reply:
        if name is None:
            if request.method == "POST":
                return 200, self._upload(request)
            return 200, list_page(list(reversed(self.objects.values())), request.query)
        if name not in self.objects:
            return 404, error_body(404, f"No such File object: {name}")
        if request.method == "DELETE":
            del self.objects[name], self.contents[name]
            return 200, {"id": name, "object": "file", "deleted": True}
        return 200, self.contents[name] if rest == ["content"] else self.objects[name]

    def keep(self, content: bytes, filename: str, purpose: str) -> dict[str, Any]:
        """Keep a file under a new id and return its object."""
        self._made += 1
        name = f"file-{self._made}"
        self.contents[name] = content
        self.objects[name] = {
            "id": name,
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "filename": filename,
            "purpose": purpose,
            "status": "processed",
        }
        return self.objects[name]

    def _upload(self, request: Request) -> dict[str, Any]:
        boundary = re.search(r'boundary="?([^";]+)', request.headers["content-type"])
        assert boundary is not None
        fields: dict[str, tuple[str | None, bytes]] = {}
        for part in request.body.split(b"--" + boundary[1].encode())[1:-1]:
            top, _, content = part[2:-2].partition(b"\r\n\r\n")
            text = top.decode()
            name = re.search(r'name="([^"]*)"', text)
            filename = re.search(r'filename="([^"]*)"', text)
            assert name is not None
            fields[name[1]] = (filename[1] if filename else None, content)
        filename_sent, content = fields["file"]
        return self.keep(content, filename_sent or "file", fields["purpose"][1].decode())

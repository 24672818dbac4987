"""The web application: its pages and their addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from random import Random
from typing import Any

from markupsafe import Markup
from sqlalchemy import func, select
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from annoy_store.analysis.lineage import lineage
from annoy_store.analysis.lineage_edges import KINDS, SUBJECT_KINDS
from annoy_store.analysis.lineage_summary import summary
from annoy_store.analysis.lineage_text import format_attempt
from annoy_store.analysis.random_row import random_row
from annoy_store.db.engine import Database
from annoy_store.db.tables import verdicts, workers
from annoy_store.errors import UsageError
from annoy_store.queue.counters import funnel
from annoy_store.report import ReportData, collect
from annoy_store.report.figure import Ref
from annoy_store.report.html_page import render_section, render_tiles
from annoy_store.report.html_page import style_sheet as report_style
from annoy_store.report.pipeline_figures import FAILURES, FUNNEL
from annoy_store.web import highlight
from annoy_store.web.background import Background
from annoy_store.web.compare import compare
from annoy_store.web.counts import count_rows, known_counts
from annoy_store.web.jinja import link, templates, url
from annoy_store.web.list_index import ListIndex
from annoy_store.web.list_page import list_view, row_links
from annoy_store.web.listings import LISTINGS, Listing
from annoy_store.web.marks import PATH as MARKS
from annoy_store.web.marks import MarkWriter, list_marks
from annoy_store.web.middleware import Guard
from annoy_store.web.pagination import ListQuery, listed_rows
from annoy_store.web.row_view import (
    build_row_view,
    chain_of,
    descendant_rows,
    failed_jobs,
    marks_of_chain,
    read_chain,
)
from annoy_store.web.side_by_side import answers_to, question_table
from annoy_store.web.sql_page import SqlPage

SQL_ROWS, SQL_SECONDS = 500, 20.0
FAILED_ROWS = 100
MAX_DESCENDANTS = 12
FIRST_COUNT_SECONDS = 0.3  # to wait for the first counts: enough for a small store
NUMERIC_COLUMNS = frozenset(("turn", "tokens", "latency", "cost", "characters", "pairs"))
_STATIC = {"view.css": "text/css", "view.js": "text/javascript", "icon.svg": "image/svg+xml"}


def application(store: Database, names: Iterable[str] = (), author: str | None = None) -> Starlette:
    """Return the web application of a store.

    Args:
        store: The store; nothing but marks is written to it.
        names: Host names to accept besides those of this machine.
        author: Name that is stored with marks; None to write none.
    """
    pages = _Pages(store, MarkWriter(store, author) if author is not None else None)
    routes = [
        Route("/", pages.home),
        Route("/figures", pages.figures),
        Route("/failures", pages.failures),
        Route("/sql", pages.sql),
        Route("/sql/download", pages.download),
        Route("/models", pages.models),
        Route("/random/{of}", pages.random),
        Route("/go", pages.go_to_row),
        Route(MARKS, pages.marked, methods=["GET"]),
        Route("/static/{name}", pages.static),
        Route("/row/{kind}/{id:int}", pages.row),
        Route("/chain/{id:int}", pages.chain),
        Route("/{listing}", pages.listing),
        Route("/{listing}/{id:int}", pages.read),
    ]
    if pages.writer is not None:
        routes.insert(0, Route(MARKS, pages.writer.write, methods=["POST"]))
    writable = (MARKS,) if pages.writer else ()
    handlers: dict[Any, Any] = {HTTPException: pages.error, UsageError: pages.error}
    app = Starlette(
        routes=routes,
        exception_handlers=handlers,
        middleware=[Middleware(Guard, names=names, writable=writable)],
    )
    app.state.background = (pages.figure_cache, pages.counts)
    return app


class _Pages:
    """One method per page."""

    def __init__(self, store: Database, writer: MarkWriter | None = None) -> None:
        self.store, self.writer = store, writer
        self.figure_cache = Background("rendering the figures", lambda: _figures(store))
        self.counts = Background("counting", lambda: count_rows(store), lambda: known_counts(store))
        self.templates = templates()
        self.sql_page = SqlPage(store)

    def _render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        shared = {
            "store": str(self.store),
            "store_name": self.store.name,
            "listings": LISTINGS,
            "here": template,
        }
        return HTMLResponse(self.templates.get_template(template).render(shared | values), status)

    def _with_form(self, template: str, request: Request, **values: Any) -> HTMLResponse:
        """Render a page whose row can be marked, unless nothing is written."""
        if self.writer is None:
            return self._render(template, form=None, **values)
        page = self._render(template, form=self.writer.form(request), **values)
        self.writer.add_cookie(page)
        return page

    # Overview ------------------------------------------------------------------------------------

    def home(self, _: Request) -> Response:
        """Overview: active workers, key numbers and jobs by stage."""
        with self.store.read() as connection:
            jobs = funnel(connection)
            alive = connection.execute(select(workers).where(workers.c.alive == 1)).all()
        rows = [(stage, state, n) for stage, of in jobs.items() for state, n in of.items()]
        report = self.figure_cache.latest()
        counted = self.counts.latest(FIRST_COUNT_SECONDS)
        return self._render(
            "home.html",
            funnel=Markup(render_section(FUNNEL.render(rows), link)),
            workers=alive,
            tiles=Markup(render_tiles(report.tiles)) if report else "",
            at=report.created_at if report else "",
            counted=counted,
            rates=counted.of["answers"].pass_rates() if counted else [],
            subject_kinds=SUBJECT_KINDS,
        )

    def random(self, request: Request) -> Response:
        """Redirect to a random row of a kind, status, mismatch or reason."""
        with self.store.read() as connection:
            name = random_row(connection, request.path_params["of"], Random())
        kind, _, key = name.partition(":")
        return RedirectResponse(link(Ref(kind, int(key))), 303)

    def models(self, request: Request) -> Response:
        """Two models on the same questions."""
        counted = self.counts.latest(FIRST_COUNT_SECONDS)
        models = counted.of["answers"].models() if counted else []
        given = request.query_params
        a, b = given.get("a", "") or "".join(models[:1]), given.get("b", "") or "".join(models[1:2])
        cell = {"11": (1, 1), "10": (1, 0), "01": (0, 1)}.get(given.get("cell", ""), (0, 0))
        found = compare(counted.index, a, b, cell) if counted and a != b and a and b else None
        ids = [key for row in found.questions for key in row[2:4]] if found else []
        with self.store.read() as connection:
            answers = {row["id"]: row for row in listed_rows(connection, LISTINGS["answers"], ids)}
        return self._render(
            "models.html", models=models, a=a, b=b, cell=cell, found=found, answers=answers
        )

    def figures(self, _: Request) -> Response:
        """The figures of the report."""
        report = self.figure_cache.latest()
        figures = report.figures if report else ()
        return self._render(
            "figures.html",
            sections=[Markup(render_section(figure, link)) for figure in figures],
            report=report,
            is_rendering=self.figure_cache.is_running,
            error=self.figure_cache.error,
        )

    def failures(self, request: Request) -> Response:
        """Rejected and failed jobs by reason; with `stage` and `reason`, the jobs of one reason."""
        stage, reason = (request.query_params.get(name, "") for name in ("stage", "reason"))
        if not stage:
            counted = self.counts.latest(FIRST_COUNT_SECONDS)
            groups = counted.failures if counted else ListIndex(self.store, None).whole("failures")
            figure = FAILURES.render(list(groups[:16]))
            return self._render(
                "failures.html",
                groups=groups,
                at=counted.at if counted else "",
                figure=Markup(render_section(figure, link)),
            )
        before = _number(request, "before")
        with self.store.read() as connection:
            rows = failed_jobs(connection, stage, reason, before, FAILED_ROWS)
        kind = SUBJECT_KINDS.get(stage, "source")
        older = rows[-1]["subject_id"] if len(rows) == FAILED_ROWS else None
        return self._render(
            "failed.html", rows=rows, stage=stage, reason=reason, kind=kind, older=older
        )

    # Lists and rows ------------------------------------------------------------------------------

    def listing(self, request: Request) -> Response:
        """A page of a listing."""
        listing, query = self._list_query(request)
        counted = self.counts.latest(FIRST_COUNT_SECONDS)
        view = list_view(self.store, counted, listing, query, request.query_params)
        return self._render(
            "list.html", listing=listing, query=query, view=view, numeric=NUMERIC_COLUMNS
        )

    def read(self, request: Request) -> Response:
        """A row of a listing, with links to the adjacent rows."""
        listing, query = self._list_query(request)
        key = _key(request)
        counted = self.counts.latest(FIRST_COUNT_SECONDS)
        links = row_links(self.store, counted, listing, query, request.query_params, key)
        with self.store.read() as connection:
            chain = self._chain_of_row(connection, listing.kind, key)
        if chain is not None:
            return self._read_chain(request, chain, links, (listing.kind, key))
        return self._read_row(request, listing.kind, key, links)

    def _chain_of_row(self, connection: Any, kind: str, key: int) -> int | None:
        if kind == "verdict":
            chosen = select(verdicts.c.response_id).where(verdicts.c.id == key)
            key = connection.scalar(chosen) or 0
        return chain_of(connection, key) if kind in ("response", "verdict") else None

    def row(self, request: Request) -> Response:
        """A row of any kind."""
        kind, key = request.path_params["kind"], _key(request)
        if kind not in KINDS:
            raise HTTPException(404, f"there is no kind of row named {kind}")
        if kind == "chain":
            return RedirectResponse(f"/chain/{key}", 303)
        return self._read_row(request, kind, key, {})

    def chain(self, request: Request) -> Response:
        """A chain with its turns side by side."""
        key = _key(request)
        return self._read_chain(request, key, {}, ("chain", key))

    def marked(self, request: Request) -> Response:
        """The marked rows."""
        with self.store.read() as connection:
            return self._render("marks.html", **list_marks(connection, request.query_params))

    def _read_row(
        self, request: Request, kind: str, key: int, links: Mapping[str, str]
    ) -> Response:
        with self.store.read() as connection:
            found = lineage(connection, f"{kind}:{key}", MAX_DESCENDANTS)
            answers = answers_to(connection, key) if kind == "prompt" else []
            table = question_table(connection, key) if kind == "sample" else None
        return self._with_form(
            "row.html",
            request,
            row=build_row_view(found.subject),
            above=[build_row_view(n) for n in found.above[::-1]],
            below=descendant_rows(found),
            omitted=found.omitted,
            answers=answers,
            table=table,
            links=links,
            summary=list(summary(found)),
            attempts=[format_attempt(row) for row in found.subject.attempts],
        )

    def _read_chain(
        self, request: Request, key: int, links: Mapping[str, str], subject: tuple[str, int]
    ) -> Response:
        with self.store.read() as connection:
            found = read_chain(connection, key)
            if found is None:
                raise HTTPException(404, f"there is no chain {key}")
            lines = list(summary(lineage(connection, f"chain:{key}", MAX_DESCENDANTS)))
            marks = marks_of_chain(connection, found)
        values = {"links": links, "subject": subject, "summary": lines, "marks": marks}
        return self._with_form("chain.html", request, chain=found, **values)

    def _list_query(self, request: Request) -> tuple[Listing, ListQuery]:
        listing = LISTINGS.get(request.path_params["listing"])
        if listing is None:
            raise HTTPException(404, "there is no such page")
        given = request.query_params
        return listing, ListQuery(
            {name: given[name] for name in listing.filters if given.get(name)}, given.get("q", "")
        )

    def go_to_row(self, request: Request) -> Response:
        """Redirect from the search box to a row (`kind:id`), else to a search of answers."""
        text = request.query_params.get("q", "").strip()
        kind, colon, _ = text.partition(":")
        if colon and kind and " " not in text:
            with self.store.read() as connection:
                subject = lineage(connection, text, 0).subject
            return RedirectResponse(link(Ref(subject.kind, subject.id)), 303)
        return RedirectResponse(url("/answers", {"q": text}), 303)

    # SQL -----------------------------------------------------------------------------------------

    def sql(self, request: Request) -> Response:
        """Read-only SQL on the store or its snapshot."""
        return self._render("sql.html", **self.sql_page.values(request.query_params))

    def download(self, request: Request) -> Response:
        """The result of a query as a file."""
        return self.sql_page.download(request.query_params)

    # The rest ------------------------------------------------------------------------------------

    def static(self, request: Request) -> Response:
        """A style sheet or the script."""
        name = request.path_params["name"]
        if name == "code.css":
            return Response(highlight.style_sheet(), media_type="text/css")
        if name == "report.css":
            return Response(report_style(), media_type="text/css")
        if name not in _STATIC:
            raise HTTPException(404, "there is no such file")
        return Response(_static(name), media_type=_STATIC[name])

    def error(self, request: Request, error: Exception) -> Response:
        """The page for an unknown address, or an invalid row name: what there is instead."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        message = error.detail if isinstance(error, HTTPException) else str(error)
        title = "Page not found" if status == 404 else "Not done"
        known = self._ids(request)
        return self._render("error.html", status, title=title, message=message, known=known)

    def _ids(self, request: Request) -> tuple[str, int, int] | None:
        """Return the list that an address is about, and its first and last id; None if unknown."""
        listing = LISTINGS.get(request.url.path.split("/")[1])
        if listing is None:
            return None
        with self.store.read() as connection:
            chosen = select(func.min(listing.key), func.max(listing.key))
            first, last = connection.execute(chosen).one()
        return None if last is None else (listing.name, first, last)


def _figures(store: Database) -> ReportData:
    return collect(store, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))


def _key(request: Request) -> int:
    key: int = request.path_params["id"]
    if key >= 2**63:
        raise HTTPException(404, "there is no row with such an id")
    return key


def _number(request: Request, name: str) -> int | None:
    value = request.query_params.get(name, "")
    return int(value) if value.isdecimal() and len(value) < 19 else None


def _static(name: str) -> str:
    return files("annoy_store.web").joinpath("static", name).read_text(encoding="utf-8")

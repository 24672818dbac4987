"""The pages and their addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.resources import files
from itertools import islice
from typing import Any

from markupsafe import Markup
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from annoy_store.analysis.lineage import lineage
from annoy_store.analysis.lineage_edges import KINDS, TABLES
from annoy_store.analysis.lineage_summary import summary
from annoy_store.analysis.lineage_text import tried
from annoy_store.analysis.snapshot import query as snapshot
from annoy_store.analysis.sql import Described, describe, run_query
from annoy_store.db.engine import Database
from annoy_store.db.tables import verdicts, workers
from annoy_store.errors import UsageError
from annoy_store.queue.counters import funnel
from annoy_store.report.figure import Ref
from annoy_store.report.html_page import section, tiles_of
from annoy_store.report.html_page import style_sheet as report_style
from annoy_store.report.pipeline_figures import FAILURES, FUNNEL, SUBJECT
from annoy_store.web import highlight
from annoy_store.web.figure_cache import Plots
from annoy_store.web.jinja import link, templates, url
from annoy_store.web.listings import LISTINGS, Listing
from annoy_store.web.middleware import Guard
from annoy_store.web.pagination import PAGE, Wish, neighbour, page
from annoy_store.web.row_view import chain_of, read_chain, told, tree, turned_down

SQL_ROWS, SQL_SECONDS = 500, 20.0
FAILED_ROWS = 100
BELOW = 12
_STATIC = {"view.css": "text/css", "view.js": "text/javascript"}


def application(store: Database, names: Iterable[str] = ()) -> Starlette:
    """Return the pages over a store; they are answered under `names` too, and never write."""
    pages = _Pages(store)
    routes = [
        Route("/", pages.home),
        Route("/figures", pages.figures),
        Route("/failures", pages.failures),
        Route("/sql", pages.sql),
        Route("/go", pages.go),
        Route("/static/{name}", pages.static),
        Route("/row/{kind}/{id:int}", pages.row),
        Route("/chain/{id:int}", pages.chain),
        Route("/{listing}", pages.listing),
        Route("/{listing}/{id:int}", pages.read),
    ]
    handlers: dict[Any, Any] = {HTTPException: pages.trouble, UsageError: pages.trouble}
    app = Starlette(
        routes=routes, exception_handlers=handlers, middleware=[Middleware(Guard, names=names)]
    )
    app.state.plots = pages.plots
    return app


class _Pages:
    """One method per page."""

    def __init__(self, store: Database) -> None:
        self.store = store
        self.plots = Plots(store)
        self.templates = templates()
        self.described: list[Described] = []

    def _show(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        shared = {"store": str(self.store), "listings": LISTINGS, "here": template}
        return HTMLResponse(self.templates.get_template(template).render(shared | values), status)

    # How it stands -------------------------------------------------------------------------------

    def home(self, _: Request) -> Response:
        with self.store.read() as connection:
            counted = funnel(connection)
            alive = connection.execute(select(workers).where(workers.c.alive == 1)).all()
        rows = [(stage, state, n) for stage, of in counted.items() for state, n in of.items()]
        drawn = self.plots.latest()
        return self._show(
            "home.html",
            funnel=Markup(section(FUNNEL.draw(rows), link)),
            workers=alive,
            tiles=Markup(tiles_of(drawn.tiles)) if drawn else "",
            at=drawn.at if drawn else "",
        )

    def figures(self, _: Request) -> Response:
        drawn = self.plots.latest()
        sections = [Markup(section(one, link)) for one in drawn.drawn] if drawn else []
        return self._show(
            "figures.html",
            sections=sections,
            drawn=drawn,
            drawing=self.plots.drawing,
            trouble=self.plots.trouble,
        )

    def failures(self, request: Request) -> Response:
        stage, reason = (request.query_params.get(name, "") for name in ("stage", "reason"))
        if not stage:
            with run_query(
                self.store, "SELECT * FROM v_failures ORDER BY jobs DESC LIMIT 200"
            ) as all_:
                groups = [dict(zip(all_.columns, row, strict=True)) for row in all_.rows]
            drawn = FAILURES.draw([tuple(g.values())[:6] for g in map(_failure, groups[:16])])
            return self._show("failures.html", groups=groups, drawn=Markup(section(drawn, link)))
        before = _number(request, "before")
        with self.store.read() as connection:
            rows = turned_down(connection, stage, reason, before, FAILED_ROWS)
        kind = SUBJECT.get(stage, "source")
        older = rows[-1]["subject_id"] if len(rows) == FAILED_ROWS else None
        return self._show(
            "failed.html", rows=rows, stage=stage, reason=reason, kind=kind, older=older
        )

    # Lists and rows ------------------------------------------------------------------------------

    def listing(self, request: Request) -> Response:
        listing, wish = self._wanted(request)
        before, after = (_number(request, name) for name in ("before", "after"))
        with self.store.read() as connection:
            found = page(connection, listing, wish, before=before, after=after)
        return self._show(
            "list.html",
            listing=listing,
            wish=wish,
            page=found,
            full=PAGE,
            newer=found.rows[0]["id"] if found.rows and (before or after) else None,
            choices={name: f.choices for name, f in listing.filters.items()},
        )

    def read(self, request: Request) -> Response:
        listing, wish = self._wanted(request)
        key = _key(request)
        with self.store.read() as connection:
            beside = {
                way: neighbour(connection, listing, wish, key, newer=way == "prev")
                for way in ("prev", "next")
            }
            chain = self._chain_behind(connection, listing.kind, key)
        links = {
            way: url(f"/{listing.name}/{other}", wish.query())
            for way, other in beside.items()
            if other
        }
        links["up"] = url(f"/{listing.name}", {**wish.query(), "before": key + 1})
        if chain is not None:
            return self._read_chain(chain, links, (listing.kind, key))
        return self._read_row(listing.kind, key, links)

    def _chain_behind(self, connection: Any, kind: str, key: int) -> int | None:
        if kind == "verdict":
            chosen = select(verdicts.c.response_id).where(verdicts.c.id == key)
            key = connection.scalar(chosen) or 0
        return chain_of(connection, key) if kind in ("response", "verdict") else None

    def row(self, request: Request) -> Response:
        kind, key = request.path_params["kind"], _key(request)
        if kind not in KINDS:
            raise HTTPException(404, f"there is no kind of row called {kind}")
        if kind == "chain":
            return RedirectResponse(f"/chain/{key}", 303)
        return self._read_row(kind, key, {})

    def chain(self, request: Request) -> Response:
        key = _key(request)
        return self._read_chain(key, {}, ("chain", key))

    def _read_row(self, kind: str, key: int, links: Mapping[str, str]) -> Response:
        with self.store.read() as connection:
            found = lineage(connection, f"{kind}:{key}", BELOW)
        return self._show(
            "row.html",
            row=told(found.subject),
            above=[told(n) for n in found.above[::-1]],
            below=tree(found),
            left_out=found.left_out,
            links=links,
            summary=list(summary(found)),
            tries=[tried(row) for row in found.subject.tries],
        )

    def _read_chain(self, key: int, links: Mapping[str, str], subject: tuple[str, int]) -> Response:
        with self.store.read() as connection:
            found = read_chain(connection, key)
            if found is None:
                raise HTTPException(404, f"there is no chain {key}")
            lines = list(summary(lineage(connection, f"chain:{key}", BELOW)))
        return self._show("chain.html", chain=found, links=links, subject=subject, summary=lines)

    def _wanted(self, request: Request) -> tuple[Listing, Wish]:
        listing = LISTINGS.get(request.path_params["listing"])
        if listing is None:
            raise HTTPException(404, "there is no such page")
        given = request.query_params
        return listing, Wish(
            {name: given[name] for name in listing.filters if given.get(name)}, given.get("q", "")
        )

    def go(self, request: Request) -> Response:
        """From what was typed on top to a row, or else to a search."""
        words = request.query_params.get("q", "").strip()
        kind, colon, _ = words.partition(":")
        if colon and kind and " " not in words:
            with self.store.read() as connection:
                subject = lineage(connection, words, 0).subject
            return RedirectResponse(link(Ref(subject.kind, subject.id)), 303)
        return RedirectResponse(url("/answers", {"q": words}), 303)

    # SQL -----------------------------------------------------------------------------------------

    def sql(self, request: Request) -> Response:
        query, engine = (request.query_params.get(name, "") for name in ("q", "of"))
        columns: tuple[str, ...] = ()
        rows: list[tuple[Any, ...]] = []
        trouble = ""
        if query.strip():
            try:
                ask = snapshot.query if engine == "snapshot" else run_query
                with ask(self.store, query, seconds=SQL_SECONDS) as found:
                    columns, rows = found.columns, list(islice(found.rows, SQL_ROWS + 1))
            except UsageError as error:
                trouble = str(error)
        return self._show(
            "sql.html",
            query=query,
            engine=engine,
            columns=columns,
            rows=rows[:SQL_ROWS],
            cut=len(rows) > SQL_ROWS,
            trouble=trouble,
            described=self._describe(),
            kinds=[_kind_of(name) for name in columns],
            numeric=[_is_numeric(row[i] for row in rows) for i in range(len(columns))],
        )

    def _describe(self) -> list[Described]:
        """Tables and views, asked once; none if the store lacks one of them."""
        if not self.described:
            with suppress(UsageError):
                self.described = describe(self.store)
        return self.described

    # The rest ------------------------------------------------------------------------------------

    def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name == "code.css":
            return Response(highlight.style_sheet(), media_type="text/css")
        if name == "report.css":
            return Response(report_style(), media_type="text/css")
        if name not in _STATIC:
            raise HTTPException(404, "there is no such file")
        return Response(_static(name), media_type=_STATIC[name])

    def trouble(self, _: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        words = error.detail if isinstance(error, HTTPException) else str(error)
        return self._show("trouble.html", status, words=words)


def _failure(group: Mapping[str, Any]) -> Mapping[str, Any]:
    names = ("stage", "state", "reason", "jobs", "example_subject_id", "example_detail")
    return {name: group[name] for name in names}


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


def _is_numeric(values: Iterable[Any]) -> bool:
    filled = [v for v in values if v is not None]
    return bool(filled) and all(isinstance(v, int | float) for v in filled)


def _kind_of(column: str) -> str | None:
    """The kind of row that a column of ids names: that of `last_response_id`, of `turn_2_id`."""
    name = re.sub(r"(_\d+)?_id$", "", column)
    if name == column:
        return None
    return next((k for k in (*TABLES, "chain") if name.endswith(k)), None)

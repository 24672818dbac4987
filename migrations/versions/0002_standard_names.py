"""Standard names for tables, columns and words; one variant of predict and verify per task.

Decisions
- Set-based statements in one transaction: a store may hold millions of answers. Only variants and
  exports, which are few, are read row by row.
- An old variant of predict or verify becomes that of `predict_output` under the same id; a new row
  is entered for `predict_input`. Two variants that differed in the other task alone would get one
  digest: the active one (else the newest) gets it, the others keep the digest that they had as
  `split_from`, so that none is lost.
- What has to be the same in every future version (how a variant is named) is written out here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic import op

from annoy_store.db.sql import restart_ids
from annoy_store.errors import StoreError

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OUTPUT, INPUT = "predict_output", "predict_input"
KINDS = "kind IN ('transform', 'predict_output', 'predict_input')"
STATUSES = (
    "status IN ('correct', 'wrong', 'no_answer', 'bad_args', 'exception', 'cpu_timeout', "
    "'wall_timeout', 'memory', 'crash', 'output_too_large', 'not_json')"
)
SPLITS = "split IN ('train', 'validation', 'test', '{}')"
COLUMNS = (
    ("executions", "rung", "isolation"),
    ("batch_items", "open", "is_open"),
    ("batch_items", "read", "is_read"),
    ("batch_items", "tries", "n_tries"),
)
COMMENTS = {
    "attempts": ("one try of a call, with what it used", "one try of a call, with its usage"),
    "batches": (
        "calls handed to a provider or a file together; tokens are the most they can use",
        "calls submitted to a provider or written to a file together; tokens are an upper bound",
    ),
    "jobs": (
        "the ledger: one unit of work of one stage",
        "one unit of work of one stage, with its state",
    ),
    "pair_checks": (
        "whether a pair holds when it is run again in another world",
        "whether a pair is reproduced by another run with another hash seed, random seed and clock",
    ),
    "retractions": (
        "rows published earlier that an export takes back",
        "rows published earlier that an export withdraws",
    ),
    "splits": (
        "the split that a sample was given with its cluster, for ever",
        "the split that a sample was given with its cluster; it is never given another",
    ),
    "verdicts": ("a checker's judgement of one response", "the result of checking one response"),
}


class Renamed(NamedTuple):
    """A table with a new name; all its columns are NOT NULL."""

    old: str
    new: str
    old_comment: str
    new_comment: str
    columns: Mapping[str, Callable[[], sa.types.TypeEngine[Any]]]
    key: tuple[str, ...]
    unique: tuple[str, ...] = ()


_HORIZONS = "up to which id all rows of a table are committed; the same of seen when writers end"
RENAMED = (
    Renamed(
        "hidden", "hidden_subjects",
        "sources and samples with no allowed origin left",
        "sources and samples with no allowed origin left",
        {"kind": sa.Text, "subject_id": sa.BigInteger},
        ("kind", "subject_id"),
    ),
    Renamed(
        "overlaps", "benchmark_overlaps",
        "what a source or sample shares with a benchmark, with the evidence",
        "what a source or sample shares with a benchmark, with the evidence",
        {"id": sa.BigInteger, "kind": sa.Text, "subject_id": sa.BigInteger, "benchmark": sa.Text,
         "item": sa.Text, "method": sa.Text, "created_at": sa.Text, "evidence": sa.Text},
        ("id",),
        ("kind", "subject_id", "benchmark", "item", "method"),
    ),
    Renamed(
        "probes", "behaviour_probes",
        "inputs on which samples of one shape of parameters are compared, chosen once",
        "inputs on which samples with the same parameter types are compared, chosen once",
        {"shape": sa.Text, "inputs": sa.Text, "created_at": sa.Text},
        ("shape",),
    ),
    Renamed(
        "counters", "job_counters",
        "jobs entered into minus moved out of each state, per worker: their sum is the funnel",
        "jobs moved into minus out of each state, per worker: the sum is the number of jobs in it",
        {"worker_id": sa.BigInteger, "stage": sa.Text, "state": sa.Text, "n": sa.BigInteger},
        ("worker_id", "stage", "state"),
    ),
    Renamed(
        "horizons", "commit_horizons", _HORIZONS, _HORIZONS,
        {"table_name": sa.Text, "upto": sa.BigInteger, "seen": sa.BigInteger, "writers": sa.Text},
        ("table_name",),
    ),
)  # fmt: skip


def upgrade() -> None:
    for table in RENAMED:
        _move(table, table.old, table.new, table.new_comment)
    op.drop_index("uq_batch_items_open", table_name="batch_items")
    for name, old, new in COLUMNS:
        _rename_column(name, old, new)
    _index_open_items("uq_batch_items_is_open", "is_open")
    _widen_turns()
    with op.batch_alter_table("verdicts") as batch:
        batch.drop_constraint(op.f("ck_verdicts_status"), type_="check")
    _rename_split("aside", "excluded")
    _rename_reasons("restless:", "nondeterministic:")
    op.add_column(
        "variants", sa.Column("task", sa.Text(), server_default=sa.text("''"), nullable=False)
    )
    _comment(1)
    _split_predict(_split_variants("predict"))
    _split_imported()
    _split_verify(_split_variants("verify"))


def downgrade() -> None:
    _refuse_other_tasks()
    _join_imported()
    _join_predict()
    _join_verify()
    _comment(0)
    op.drop_column("variants", "task")
    _rename_reasons("nondeterministic:", "restless:")
    _rename_split("excluded", "aside")
    with op.batch_alter_table("verdicts") as batch:
        batch.create_check_constraint(op.f("ck_verdicts_status"), STATUSES)
    _narrow_turns()
    op.drop_index("uq_batch_items_is_open", table_name="batch_items")
    for name, old, new in COLUMNS:
        _rename_column(name, new, old)
    _index_open_items("uq_batch_items_open", "open")
    for table in RENAMED:
        _move(table, table.new, table.old, table.old_comment)


# Tables and columns --------------------------------------------------------------------------


def _move(table: Renamed, old: str, new: str, comment: str) -> None:
    """Make a table under its new name, with the names that follow from it, and copy the rows."""
    unique = [sa.UniqueConstraint(*table.unique, name=op.f(f"uq_{new}_" + "_".join(table.unique)))]
    op.create_table(
        new,
        *(sa.Column(name, kind(), nullable=False) for name, kind in table.columns.items()),
        sa.PrimaryKeyConstraint(*table.key, name=op.f(f"pk_{new}")),
        *(unique if table.unique else ()),
        comment=comment,
    )
    names = ", ".join(table.columns)
    op.execute(f'INSERT INTO "{new}" ({names}) SELECT {names} FROM "{old}"')
    restart_ids(op.get_bind(), [sa.Table(new, sa.MetaData(), *map(sa.Column, table.columns))])
    op.drop_table(old)


def _rename_column(table: str, old: str, new: str) -> None:
    """Rename a column; PostgreSQL names its NOT NULL after it, so that is made anew."""
    alters = op.get_bind().dialect.supports_alter
    if alters:
        op.alter_column(table, old, nullable=True)
    op.execute(f'ALTER TABLE {table} RENAME COLUMN "{old}" TO "{new}"')
    if alters:
        op.alter_column(table, new, nullable=False)


def _index_open_items(name: str, column: str) -> None:
    only = sa.text(f"{column} = 1")
    op.create_index(
        name, "batch_items", ["call_id"], unique=True, sqlite_where=only, postgresql_where=only
    )


def _widen_turns() -> None:
    """Any kind, the sample, and the pairs of a question that is about several."""
    with op.batch_alter_table("turns") as batch:
        batch.drop_constraint(op.f("ck_turns_kind"), type_="check")
        batch.add_column(sa.Column("sample_id", sa.BigInteger(), nullable=True))
        batch.create_foreign_key(
            op.f("fk_turns_sample_id_samples"), "samples", ["sample_id"], ["id"]
        )
    op.execute(
        "UPDATE turns SET sample_id = (SELECT p.sample_id FROM io_pairs p "
        "WHERE p.id = turns.io_pair_id) WHERE io_pair_id IS NOT NULL"
    )
    op.create_index(op.f("ix_turns_sample_id"), "turns", ["sample_id"])
    op.create_table(
        "turn_pairs",
        sa.Column("turn_id", sa.BigInteger(), nullable=False),
        sa.Column("io_pair_id", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["io_pair_id"], ["io_pairs.id"], name=op.f("fk_turn_pairs_io_pair_id_io_pairs")
        ),
        sa.ForeignKeyConstraint(
            ["turn_id"], ["turns.id"], name=op.f("fk_turn_pairs_turn_id_turns")
        ),
        sa.PrimaryKeyConstraint("turn_id", "io_pair_id", name=op.f("pk_turn_pairs")),
        comment="the pairs of a question that is about several",
    )
    op.create_index(op.f("ix_turn_pairs_io_pair_id"), "turn_pairs", ["io_pair_id"])


def _narrow_turns() -> None:
    op.drop_table("turn_pairs")
    op.drop_index(op.f("ix_turns_sample_id"), table_name="turns")
    with op.batch_alter_table("turns") as batch:
        batch.drop_constraint(op.f("fk_turns_sample_id_samples"), type_="foreignkey")
        batch.drop_column("sample_id")
        batch.create_check_constraint(op.f("ck_turns_kind"), KINDS)


def _rename_split(old: str, new: str) -> None:
    with op.batch_alter_table("splits") as batch:
        batch.drop_constraint(op.f("ck_splits_split"), type_="check")
    _execute("UPDATE splits SET split = :new WHERE split = :old", old=old, new=new)
    with op.batch_alter_table("splits") as batch:
        batch.create_check_constraint(op.f("ck_splits_split"), SPLITS.format(new))


def _rename_reasons(old: str, new: str) -> None:
    _execute(
        "UPDATE jobs SET reason = CAST(:new AS TEXT) || substr(reason, :after) "
        "WHERE stage = 'generate' AND state IN ('rejected', 'failed') AND reason LIKE :pattern",
        new=new, after=len(old) + 1, pattern=f"{old}%",
    )  # fmt: skip


def _comment(which: int) -> None:
    if op.get_bind().dialect.supports_comments:
        for table, comments in COMMENTS.items():
            op.create_table_comment(table, comments[which])


def _execute(statement: str, **values: Any) -> sa.CursorResult[Any]:
    return op.get_bind().execute(sa.text(statement), values)


# Variants ------------------------------------------------------------------------------------


class Variant(NamedTuple):
    """A row of `variants` of predict or verify."""

    stage: str
    described: dict[str, Any]
    active: int
    id: int = 0
    task: str = ""

    @property
    def digest(self) -> str:
        text = json.dumps(
            ["variant", self.stage, self.described],
            ensure_ascii=False, separators=(",", ":"), sort_keys=True,
        )  # fmt: skip
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def row(self) -> dict[str, Any]:
        described = json.dumps(
            self.described, ensure_ascii=False, separators=(",", ":"), sort_keys=True
        )
        return {
            "id": self.id, "stage": self.stage, "digest": self.digest, "description": described,
            "active": self.active, "task": self.task,
        }  # fmt: skip


def _variants(stage: str) -> list[Variant]:
    rows = _execute("SELECT * FROM variants WHERE stage = :stage ORDER BY id", stage=stage)
    return [
        Variant(stage, json.loads(row.description), row.active, row.id, row.task) for row in rows
    ]


def _split_variants(stage: str) -> dict[int, int]:
    """Make two variants of each; return the ids of the input variants by those of the output."""
    old = _variants(stage)
    new = [[_of_task(variant, task) for variant in old] for task in (OUTPUT, INPUT)]
    for of_task in new:
        _set_apart(of_task, [variant.digest for variant in old])
    _replace_digests({o.digest: [a.digest, b.digest] for o, a, b in zip(old, *new, strict=True)})
    _rewrite(new[0])
    return {of_output.id: _insert(other) for of_output, other in zip(*new, strict=True)}


def _of_task(variant: Variant, task: str) -> Variant:
    described = {k: v for k, v in variant.described.items() if not k.startswith("template_")}
    if variant.stage == "predict":
        described["template"] = variant.described.get(f"template_{task}", "")
    else:
        described["version"] = _version_of(str(described.get("version", "")), task)
    described["task"] = task
    return Variant(variant.stage, described, variant.active, variant.id, task)


def _version_of(version: str, task: str) -> str:
    """`1, parsing 1, matching 1` for `predict_input 1, predict_output 1, parsing 1, matching 1`."""
    parts = dict(part.rpartition(" ")[::2] for part in version.split(", "))
    shared = [f"{name} {n}" for name, n in parts.items() if name not in (OUTPUT, INPUT)]
    return ", ".join([parts.get(task, "1"), *shared])


def _set_apart(variants: Sequence[Variant], known_as: Sequence[str]) -> None:
    """Give each its own digest, the active one and the newest the plain one."""
    taken: set[str] = set()
    order = sorted(zip(variants, known_as, strict=True), key=lambda v: (-v[0].active, -v[0].id))
    for variant, name in order:
        if variant.digest in taken:
            variant.described["split_from"] = name
        taken.add(variant.digest)


def _rewrite(variants: Iterable[Variant]) -> None:
    for variant in variants:
        _execute(
            "UPDATE variants SET stage = :stage, digest = :digest, description = :description, "
            "task = :task, active = :active WHERE id = :id",
            **variant.row(),
        )


def _insert(variant: Variant) -> int:
    row = {name: value for name, value in variant.row().items() if name != "id"}
    marks = ", ".join(f":{name}" for name in row)
    _execute(f"INSERT INTO variants ({', '.join(row)}) VALUES ({marks})", **row)
    chosen = "SELECT id FROM variants WHERE stage = :stage AND digest = :digest"
    return int(_execute(chosen, stage=variant.stage, digest=variant.digest).scalar_one())


def _replace_digests(names: Mapping[str, Sequence[str]]) -> None:
    """Exports remember the active variants of verify, to tell whether all has to be compared."""
    for row in _execute("SELECT id, seen FROM exports").all():
        content = json.loads(row.seen)
        before = content.get("checkers", [])
        after = sorted({new for name in before for new in names.get(name, [name])})
        if after != before:
            text = json.dumps({**content, "checkers": after}, separators=(",", ":"))
            _execute("UPDATE exports SET seen = :seen WHERE id = :id", seen=text, id=row.id)


# Upwards: jobs and verdicts ------------------------------------------------------------------

_OF_INPUT = f"""
    subject_id IN (SELECT r.id FROM responses r JOIN calls c ON c.id = r.call_id
    JOIN turns t ON t.id = (SELECT MIN(x.id) FROM turns x WHERE x.prompt_id = c.prompt_id)
    WHERE t.kind = '{INPUT}')
"""
_SAME_PROMPT = "state = 'done' AND reason = 'same_prompt'"
_JOB = "stage, subject_id, variant_id, state, priority, attempts, crashes, due_at, reason, detail"


def _listed(ids: Iterable[int]) -> str:
    return ", ".join(map(str, ids)) or "NULL"


def _mapped(ids: Mapping[int, int], table: str = "") -> str:
    cases = " ".join(f"WHEN {a} THEN {b}" for a, b in ids.items())
    return f"CASE {table}variant_id {cases} END"


def _split_predict(inputs: Mapping[int, int]) -> None:
    """One job of a pair becomes one per task; nobody holds the second one."""
    if not inputs:
        return
    mine = f"stage = 'predict' AND variant_id IN ({_listed(inputs)})"
    op.execute(f"""
        INSERT INTO jobs ({_JOB})
        SELECT stage, subject_id, {_mapped(inputs)},
               CASE WHEN {_SAME_PROMPT} THEN 'rejected' WHEN state = 'claimed' THEN 'pending'
                    ELSE state END,
               priority, CASE WHEN state = 'claimed' THEN 0 ELSE attempts END, crashes, due_at,
               reason, detail
        FROM jobs WHERE {mine}
    """)
    op.execute(f"UPDATE jobs SET reason = NULL WHERE {mine} AND {_SAME_PROMPT}")
    _recount("predict")


def _split_imported() -> None:
    """Give the jobs of predict that an import did one variant per task."""
    for old in [v for v in _variants("import") if not v.task]:
        output, other = (
            _insert(Variant("import", {**old.described, "task": task}, old.active, task=task))
            for task in (OUTPUT, INPUT)
        )
        mine = f"stage = 'predict' AND variant_id = {old.id}"
        op.execute(f"UPDATE jobs SET variant_id = {output} WHERE {mine}")
        op.execute(
            f"INSERT INTO jobs ({_JOB}) "
            f"SELECT {_JOB.replace('variant_id', str(other))} FROM jobs "
            f"WHERE stage = 'predict' AND variant_id = {output}"
        )
    _recount("predict")


def _split_verify(inputs: Mapping[int, int]) -> None:
    if not inputs:
        return
    mine = f"variant_id IN ({_listed(inputs)})"
    to_input = f"SET variant_id = {_mapped(inputs)} WHERE {mine}"
    op.execute(f"UPDATE jobs {to_input} AND stage = 'verify' AND {_OF_INPUT}")
    op.execute(f"UPDATE verdicts {to_input} AND checker = '{INPUT}'")


def _recount(stage: str) -> None:
    """Make the counters of a stage add up to its jobs again, by those of no worker."""
    differences = _execute(
        "SELECT state, SUM(n) AS n FROM ("
        "SELECT state, COUNT(*) AS n FROM jobs WHERE stage = :stage GROUP BY state UNION ALL "
        "SELECT state, -SUM(n) FROM job_counters WHERE stage = :stage GROUP BY state) found "
        "GROUP BY state HAVING SUM(n) <> 0",
        stage=stage,
    ).all()
    mine = "worker_id = 0 AND stage = :stage"
    for row in differences:
        values = {"stage": stage, "state": row.state, "n": int(row.n)}
        known = _execute(
            f"UPDATE job_counters SET n = n + :n WHERE {mine} AND state = :state", **values
        )
        if not known.rowcount:
            _execute("INSERT INTO job_counters VALUES (0, :stage, :state, :n)", **values)
    _execute(f"DELETE FROM job_counters WHERE {mine} AND n = 0", stage=stage)


# Downwards -----------------------------------------------------------------------------------


_OF_OTHERS = f"ON v.id = j.variant_id WHERE v.task NOT IN ('', '{OUTPUT}', '{INPUT}')"


def _refuse_other_tasks() -> None:
    """Raise StoreError when there are rows that revision 0001 has no place for."""
    for what, query in (
        ("turns of other tasks", f"SELECT COUNT(*) FROM turns WHERE NOT ({KINDS})"),
        ("verdicts of other statuses", f"SELECT COUNT(*) FROM verdicts WHERE NOT ({STATUSES})"),
        ("questions about several pairs", "SELECT COUNT(*) FROM turn_pairs"),
        (
            "jobs of other tasks",
            f"SELECT COUNT(*) FROM jobs j JOIN variants v {_OF_OTHERS}",
        ),
        (
            "verdicts of other tasks",
            f"SELECT COUNT(*) FROM verdicts j JOIN variants v {_OF_OTHERS}",
        ),
    ):
        if n := _execute(query).scalar_one():
            raise StoreError(
                f"the store has {n:,} {what}, which schema 0001 cannot hold; "
                "go back to a backup made before the upgrade"
            )


def _joined(stage: str) -> tuple[dict[int, int], list[int]]:
    """Make one variant of an output and an input variant with the same settings.

    Returns the ids of the input variants that have a partner by those of the output variants, and
    the ids of those that have none.
    """
    known = _variants(stage)
    outputs, inputs = ([v for v in known if v.task == task] for task in (OUTPUT, INPUT))
    partners = {_place(inputs, v): v for v in inputs}
    pairs = [(v, partners.pop(_place(outputs, v), None)) for v in outputs]
    alone = list(partners.values())
    if stage == "verify" or not outputs:
        pairs += [(v, None) for v in alone]
    spare = max(inputs, key=lambda v: (v.active, v.id), default=None)
    joined = [_of_both(a, b or spare or a) for a, b in pairs]
    _set_apart(joined, [a.digest for a, _ in pairs])
    names = {a.digest: [new.digest] for (a, _), new in zip(pairs, joined, strict=True)}
    both = zip(pairs, joined, strict=True)
    _replace_digests(names | {b.digest: [new.digest] for (_, b), new in both if b})
    _rewrite(joined)
    ids = {a.id: b.id for a, b in pairs if b is not None}
    return ids, [v.id for v in alone if v.id not in {a.id for a, _ in pairs}]


def _place(variants: Sequence[Variant], variant: Variant) -> tuple[str, int]:
    """Its settings, and how many older variants of its task have the same."""
    settings = _settings(variant)
    return settings, sum(v.id < variant.id and _settings(v) == settings for v in variants)


def _settings(variant: Variant) -> str:
    own = ("task", "template", "split_from", "version")
    shared = {k: v for k, v in variant.described.items() if k not in own}
    version = str(variant.described.get("version")).partition(", ")[2]
    return json.dumps([shared, version], sort_keys=True)


def _of_both(output: Variant, other: Variant) -> Variant:
    described = {k: v for k, v in output.described.items() if k not in _OF_TASKS}
    if output.stage == "predict":
        described[f"template_{OUTPUT}"] = output.described.get("template", "")
        described[f"template_{INPUT}"] = other.described.get("template", "")
    else:
        own, _, shared = str(described.get("version", "")).partition(", ")
        of_input = str(other.described.get("version", "")).partition(", ")[0]
        described["version"] = f"{INPUT} {of_input}, {OUTPUT} {own}, {shared}"
    return Variant(output.stage, described, output.active, output.id)


_OF_TASKS = ("task", "template", "split_from")


def _join_imported() -> None:
    known = _variants("import")
    of_task = {v.task: v.id for v in known}
    if "" in of_task and OUTPUT in of_task:
        op.execute(
            f"UPDATE jobs SET variant_id = {of_task['']} "
            f"WHERE stage = 'predict' AND variant_id = {of_task[OUTPUT]}"
        )
    gone = f"({_listed(v.id for v in known if v.task)})"
    op.execute(f"DELETE FROM jobs WHERE stage = 'predict' AND variant_id IN {gone}")
    op.execute(f"DELETE FROM variants WHERE id IN {gone}")


def _join_predict() -> None:
    """Keep the jobs of outputs; those of inputs say whether both questions were asked."""
    pairs, alone = _joined("predict")
    inputs = [*pairs.values(), *alone]
    if pairs:
        mine = f"stage = 'predict' AND variant_id IN ({_listed(pairs)}) AND state = 'done'"
        twin = f"""
            EXISTS (SELECT 1 FROM jobs i WHERE i.stage = 'predict'
            AND i.subject_id = jobs.subject_id AND i.variant_id = {_mapped(pairs, "jobs.")} AND
        """
        op.execute(f"UPDATE jobs SET state = 'pending', reason = NULL WHERE {mine} AND {twin} "
                   "i.state IN ('pending', 'claimed', 'deferred', 'suspect'))")  # fmt: skip
        op.execute(f"UPDATE jobs SET reason = 'same_prompt' WHERE {mine} AND reason IS NULL "
                   f"AND {twin} i.state = 'rejected' AND i.reason = 'same_prompt')")  # fmt: skip
    gone = f"({_listed(inputs)})"
    _adopt_lone_jobs(pairs, inputs)
    op.execute(f"DELETE FROM jobs WHERE stage = 'predict' AND variant_id IN {gone}")
    op.execute(f"DELETE FROM variants WHERE id IN {gone}")
    _recount("predict")


def _adopt_lone_jobs(pairs: Mapping[int, int], inputs: Sequence[int]) -> None:
    """Keep the newest job of a pair that was only asked for its input."""
    homes = [v for v in _variants("predict") if v.id not in inputs]
    home = max(homes, key=lambda v: (v.active, v.id), default=None)
    if home is None or not inputs:
        return
    ids = dict.fromkeys(inputs, home.id) | {b: a for a, b in pairs.items()}
    same = "o.stage = 'predict' AND o.subject_id = jobs.subject_id AND o.variant_id"
    op.execute(
        f"UPDATE jobs SET variant_id = {_mapped(ids)} "
        f"WHERE stage = 'predict' AND variant_id IN ({_listed(inputs)}) AND NOT EXISTS "
        f"(SELECT 1 FROM jobs o WHERE {same} IN ({_listed(v.id for v in homes)})) AND variant_id = "
        f"(SELECT MAX(o.variant_id) FROM jobs o WHERE {same} IN ({_listed(inputs)}))"
    )


def _join_verify() -> None:
    pairs, _ = _joined("verify")
    if not pairs:
        return
    outputs = {b: a for a, b in pairs.items()}
    mine = f"SET variant_id = {_mapped(outputs)} WHERE variant_id IN ({_listed(outputs)})"
    op.execute(f"UPDATE jobs {mine} AND stage = 'verify'")
    op.execute(f"UPDATE verdicts {mine}")
    op.execute(f"DELETE FROM variants WHERE id IN ({_listed(outputs)})")

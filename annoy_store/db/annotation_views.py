"""The views of the marks that readers set: what is marked now, and which answers it concerns.

Decisions
- A mark is a flag, a tag or a note on a row. Setting and removing one are rows of `annotation_log`, and
  the newest row of a mark counts. So a union of the rows of two stores is a merge: its result is the
  same in either order, and a mark of the one never undoes another mark of the other.
- A marked row is named by content: by `root`, the digest of the source, sample, prompt, teacher or
  export that it belongs to, and `subject`, which names it within its root. Rows with equal content,
  as two equal answers to a prompt, share their marks.
- Marks of what takedown rules hide are left out, and shown again when the rules are lifted.
- `tags` is a JSON list in text, sorted, on every database.
"""

from __future__ import annotations

from sqlalchemy import Connection

from annoy_store.db.sql import is_sqlite

_VERDICT_SUBJECT = "r.digest || '/' || v.checker || '/' || w.digest"
_SET = """
    SELECT a.id, a.kind, a.root, a.subject, a.mark, a.value, a.author, a.created_at
    FROM annotation_log a
    WHERE a.is_set = 1 AND (a.mark = 'flag' OR a.value <> '') AND NOT EXISTS (
        SELECT 1 FROM annotation_log n
        WHERE n.root = a.root AND n.subject = a.subject AND n.kind = a.kind AND n.mark = a.mark
        AND n.value = a.value AND (n.created_at > a.created_at
                                   OR (n.created_at = a.created_at AND n.digest > a.digest)))
"""
_HIDDEN = "SELECT 1 FROM hidden_subjects x WHERE x.kind = '{}' AND x.subject_id = {}"
_SOURCE = f"NOT EXISTS ({_HIDDEN.format('source', 's.id')})"
_SAMPLE = f"NOT EXISTS ({_HIDDEN.format('sample', 's.id')})"
_PROMPT = f"""(NOT EXISTS (SELECT 1 FROM turns h WHERE h.prompt_id = p.id)
       OR EXISTS (SELECT 1 FROM turns h WHERE h.prompt_id = p.id
                  AND NOT EXISTS ({_HIDDEN.format("sample", "h.sample_id")})
                  AND NOT EXISTS ({_HIDDEN.format("source", "h.source_id")})))"""
_OF_PROMPT = "prompts p ON p.digest = m.root"
_ANSWERS = f"""{_OF_PROMPT} JOIN calls c ON c.prompt_id = p.id
    JOIN responses r ON r.call_id = c.id"""
_ROWS = (
    ("source", "s.id", "sources s ON s.digest = m.root", _SOURCE),
    (
        "origin",
        "o.id",
        "sources s ON s.digest = m.root JOIN origins o ON o.digest = m.subject",
        _SOURCE,
    ),
    ("sample", "s.id", "samples s ON s.digest = m.root", _SAMPLE),
    (
        "io_pair",
        "i.id",
        (
            "samples s ON s.digest = m.root JOIN io_pairs i ON i.sample_id = s.id "
            "AND i.input_digest = m.subject"
        ),
        _SAMPLE,
    ),
    ("prompt", "p.id", _OF_PROMPT, _PROMPT),
    ("turn", "t.id", f"{_OF_PROMPT} JOIN turns t ON t.digest = m.subject", _PROMPT),
    ("response", "r.id", f"{_ANSWERS} AND r.digest = m.subject", _PROMPT),
    ("chain", "r.id", f"{_ANSWERS} AND r.digest = m.subject", _PROMPT),
    (
        "verdict",
        "v.id",
        (
            f"{_ANSWERS} JOIN verdicts v ON v.response_id = r.id JOIN variants w "
            f"ON w.id = v.variant_id AND m.subject = {_VERDICT_SUBJECT}"
        ),
        _PROMPT,
    ),
    ("teacher", "b.id", "teachers b ON b.digest = m.root", "1 = 1"),
    ("export", "e.id", "exports e ON e.digest = m.root", "1 = 1"),
)
ANNOTATIONS = f"WITH marks AS ({_SET})" + " UNION ALL ".join(
    f"""
    SELECT m.id AS annotation_id, m.kind, {key} AS subject_id, m.mark, m.value, m.author,
           m.created_at
    FROM marks m JOIN {joined} WHERE m.kind = '{kind}' AND {visible}"""
    for kind, key, joined, visible in _ROWS
)

_ASKED = "JOIN calls c ON c.prompt_id = t.prompt_id JOIN responses r ON r.call_id = c.id"
_OF_SOURCE = f"JOIN turns t ON t.sample_id = o.sample_id {_ASKED}"
_OF_ANSWER = "JOIN calls c ON c.id = r.call_id JOIN turns t ON t.prompt_id = c.prompt_id"
_CONCERNED = (
    ("source", f"sample_origins o ON o.source_id = a.subject_id {_OF_SOURCE}"),
    (
        "origin",
        (
            "origins g ON g.id = a.subject_id "
            f"JOIN sample_origins o ON o.source_id = g.source_id {_OF_SOURCE}"
        ),
    ),
    ("sample", f"turns t ON t.sample_id = a.subject_id {_ASKED}"),
    ("io_pair", f"turns t ON t.io_pair_id = a.subject_id {_ASKED}"),
    (
        "io_pair",
        f"turn_pairs q ON q.io_pair_id = a.subject_id JOIN turns t ON t.id = q.turn_id {_ASKED}",
    ),
    ("prompt", f"turns t ON t.prompt_id = a.subject_id {_ASKED}"),
    ("turn", f"turns t ON t.id = a.subject_id {_ASKED}"),
    ("response", f"responses r ON r.id = a.subject_id {_OF_ANSWER}"),
    (
        "verdict",
        f"verdicts v ON v.id = a.subject_id JOIN responses r ON r.id = v.response_id {_OF_ANSWER}",
    ),
    ("chain", f"responses r ON r.id = a.subject_id {_OF_ANSWER} AND t.number = 1"),
    ("chain", f"turns t ON t.chain_response_id = a.subject_id {_ASKED}"),
)
ANSWER_MARKS = "WITH marked AS (SELECT * FROM v_annotations)" + " UNION ".join(
    f"""
    SELECT COALESCE(t.chain_response_id, r.id) AS chain_id, r.id AS response_id, t.sample_id,
           a.annotation_id, a.kind, a.subject_id, a.mark, a.value, a.author, a.created_at
    FROM marked a JOIN {joined} WHERE a.kind = '{kind}' AND t.sample_id IS NOT NULL"""
    for kind, joined in _CONCERNED
)

TAG_LIST = "{tag_list}"
"""Stands in the SQL of a view for the aggregate that makes a JSON list of the column `value`."""
DUCKDB_TAG_LIST = "CAST(to_json(list(value ORDER BY value)) AS VARCHAR)"
TAGS_OF_CHAINS = f"""(
    SELECT chain_id, {TAG_LIST} AS tags
    FROM (SELECT DISTINCT chain_id, value FROM v_answer_marks WHERE mark = 'tag'
          ORDER BY chain_id, value) tagged GROUP BY chain_id)"""


def tag_list(connection: Connection) -> str:
    """Return the aggregate that `TAG_LIST` stands for, over rows in the order of `value`."""
    if is_sqlite(connection):
        return "json_group_array(value)"
    return """CAST(array_to_json(array_agg(value ORDER BY value COLLATE "C")) AS TEXT)"""

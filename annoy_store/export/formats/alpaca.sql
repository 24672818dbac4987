-- Instruction and output, with earlier turns as history: Alpaca, LLaMA-Factory.
-- record: chain
-- only: correct
-- trainer: {"columns": {"prompt": "instruction", "query": "input", "response": "output", "system": "system", "history": "history"}}
WITH talk AS (
    SELECT
        list_transform(list_filter(messages, lambda m: m.role = 'user'), lambda m: m.content) AS asked,
        list_transform(list_filter(messages, lambda m: m.role = 'assistant'), lambda m: m.content) AS said,
        coalesce(system, '') AS system
    FROM records)
SELECT
    asked[-1] AS instruction,
    '' AS input,
    said[-1] AS output,
    system,
    list_transform(range(1, len(said)), lambda i: [asked[i], said[i]]) AS history
FROM talk
